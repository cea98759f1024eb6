"""Evaluation: how good a model is, in numbers that anyone can measure again."""

from mszoo.evaluation.collection import Joined, log_prob_table
from mszoo.evaluation.comparison import ComparisonRow, comparison
from mszoo.evaluation.denoising import PsnrRow, psnr, psnr_curve, psnr_of
from mszoo.evaluation.evaluation import Evaluation, check_fits, evaluate, name_of, open_images
from mszoo.evaluation.probability import ProbabilityRow, probabilities
from mszoo.evaluation.psnr_table import ImagePsnrRow, psnr_table
from mszoo.evaluation.results import Likelihood, Result, likelihood_of, read_likelihoods, read_results, write_result
from mszoo.evaluation.tables import write_csv, write_parquet

__all__ = [
    "ComparisonRow",
    "Evaluation",
    "ImagePsnrRow",
    "Joined",
    "Likelihood",
    "ProbabilityRow",
    "PsnrRow",
    "Result",
    "check_fits",
    "comparison",
    "evaluate",
    "likelihood_of",
    "name_of",
    "open_images",
    "probabilities",
    "psnr",
    "psnr_curve",
    "psnr_of",
    "psnr_table",
    "read_likelihoods",
    "read_results",
    "log_prob_table",
    "write_csv",
    "write_parquet",
    "write_result",
]
