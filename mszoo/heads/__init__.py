"""Heads: what turns a conditioner into a denoiser, or into an energy."""

from mszoo.heads.anchored import AnchoredEnergy
from mszoo.heads.base import EnergyHead, Head
from mszoo.heads.denoiser import Denoiser
from mszoo.heads.inner_product import InnerProductEnergy
from mszoo.heads.predictive import PredictiveEnergy
from mszoo.heads.score import Score
from mszoo.heads.squared_norm import SquaredNormEnergy

__all__ = [
    "AnchoredEnergy",
    "Denoiser",
    "EnergyHead",
    "Head",
    "InnerProductEnergy",
    "PredictiveEnergy",
    "Score",
    "SquaredNormEnergy",
]
