"""Heads: what turns a conditioner into a denoiser, or into an energy."""

from mszoo.heads.base import EnergyHead, Head
from mszoo.heads.denoiser import Denoiser
from mszoo.heads.inner_product import InnerProductEnergy

__all__ = ["Denoiser", "EnergyHead", "Head", "InnerProductEnergy"]
