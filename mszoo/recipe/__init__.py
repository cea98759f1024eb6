"""Recipes: YAML in, validated configuration out, every fault with its place."""

from mszoo.recipe.schema import (
    SIGMAS,
    DataConfig,
    DatasetConfig,
    EvaluationConfig,
    ModelConfig,
    NamedConfig,
    PublicationConfig,
    Recipe,
    ScaleConfig,
    TrainingConfig,
)
from mszoo.recipe.source import Source, differences, read_recipe

__all__ = [
    "SIGMAS",
    "DataConfig",
    "DatasetConfig",
    "EvaluationConfig",
    "ModelConfig",
    "NamedConfig",
    "PublicationConfig",
    "Recipe",
    "ScaleConfig",
    "Source",
    "TrainingConfig",
    "differences",
    "read_recipe",
]
