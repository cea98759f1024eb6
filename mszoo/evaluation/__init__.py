"""Evaluation: what a model is worth, in numbers anyone can measure again."""

from mszoo.evaluation.comparison import ComparisonRow, compare, write_csv
from mszoo.evaluation.denoising import PsnrRow, psnr, psnr_curve, psnr_of
from mszoo.evaluation.filters import adaptive_filters
from mszoo.evaluation.results import Result, read_results, write_result

__all__ = [
    "ComparisonRow",
    "PsnrRow",
    "Result",
    "adaptive_filters",
    "compare",
    "psnr",
    "psnr_curve",
    "psnr_of",
    "read_results",
    "write_csv",
    "write_result",
]
