"""Evaluation: what a model is worth, in numbers anyone can measure again."""

from mszoo.evaluation.denoising import PsnrRow, psnr, psnr_curve
from mszoo.evaluation.results import Result, read_results, write_result

__all__ = ["PsnrRow", "Result", "psnr", "psnr_curve", "read_results", "write_result"]
