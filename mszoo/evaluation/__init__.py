"""Evaluation: what a model is worth, in numbers anyone can measure again."""

from mszoo.evaluation.comparison import ComparisonRow, compare
from mszoo.evaluation.denoising import PsnrRow, psnr, psnr_curve, psnr_of
from mszoo.evaluation.filters import adaptive_filters
from mszoo.evaluation.probability import ProbabilityRow, probabilities
from mszoo.evaluation.results import Result, read_results, write_result
from mszoo.evaluation.tables import write_csv, write_parquet

__all__ = [
    "ComparisonRow",
    "ProbabilityRow",
    "PsnrRow",
    "Result",
    "adaptive_filters",
    "compare",
    "probabilities",
    "psnr",
    "psnr_curve",
    "psnr_of",
    "read_results",
    "write_csv",
    "write_parquet",
    "write_result",
]
