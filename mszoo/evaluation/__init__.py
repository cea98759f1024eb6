"""Evaluation: what a model is worth, in numbers anyone can measure again."""

from mszoo.evaluation.denoising import PsnrRow, psnr, psnr_curve

__all__ = ["PsnrRow", "psnr", "psnr_curve"]
