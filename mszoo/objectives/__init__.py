"""Objectives: how clean coefficients are corrupted, and what a head pays for its answer."""

from mszoo.objectives.base import Objective
from mszoo.objectives.contrastive import Contrastive
from mszoo.objectives.denoising import Denoising
from mszoo.objectives.score_matching import DualScoreMatching, ScoreMatching
from mszoo.randomness import Draw

__all__ = ["Contrastive", "Denoising", "Draw", "DualScoreMatching", "Objective", "ScoreMatching"]
