"""Objectives: how clean coefficients are corrupted, and what a head pays for its answer."""

from mszoo.objectives.base import Draw, Objective
from mszoo.objectives.denoising import Denoising

__all__ = ["Denoising", "Draw", "Objective"]
