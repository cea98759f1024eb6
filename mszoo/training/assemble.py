"""Put together a model whose scales were trained by different runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mszoo.errors import TrainingError
from mszoo.model import MultiScaleModel
from mszoo.recipe import Source, differences, read_recipe

__all__ = ["assemble"]


def assemble(out: Path, runs: Sequence[Path]) -> MultiScaleModel:
    """Take each scale from the run that trained it, and write the whole model.

    The stored recipe is the first run's; where another run's differs, a comment at its top says so.

    Args:
        out: folder of the assembled checkpoint.
        runs: folders of runs of the same model, each with ``training.scales`` in its recipe.

    Raises:
        TrainingError: runs of different models, or a scale that no run trained, or more than one.
        CheckpointError: a folder that is no whole checkpoint.
    """
    models = [MultiScaleModel.from_pretrained(run) for run in runs]
    recipes = [_recipe(run) for run in runs]
    model, first = models[0], recipes[0]
    for run, other in zip(runs[1:], models[1:], strict=True):
        if other.config() != model.config():
            raise TrainingError(f"{run} is of another model than {runs[0]}: their bases, networks or heads differ")
    trained = [_trained(recipe, model) for recipe in recipes]
    for j in range(model.levels + 1):
        by = [k for k, scales in enumerate(trained) if j in scales]
        if len(by) != 1:
            which = ", ".join(str(runs[k]) for k in by) or "none of the runs"
            raise TrainingError(f"scale {j} was trained by {which}; exactly one run must have it in training.scales")
        model.scales[j].load_state_dict(models[by[0]].scales[j].state_dict())
        if j == model.levels:  # the constant is the coarsest scale's
            model.constants, model.largest_t = models[by[0]].constants, models[by[0]].largest_t
    notes = [
        f"# scales {sorted(scales)}{': ' + changed if changed else ''}"
        for recipe, scales in zip(recipes, trained, strict=True)
        for changed in [", ".join(d for d in differences(first.values, recipe.values) if "training.scales=" not in d)]
    ]
    first.values["training"].pop("scales", None)
    model.save_pretrained(out, beside={"recipe.yaml": "\n".join(["# assembled from runs of", *notes, first.text()])})
    return model


def _recipe(run: Path) -> Source:
    path = run / "recipe.yaml"
    if not path.is_file():
        raise TrainingError(f"{run} has no recipe.yaml, which says what scales it trained")
    return read_recipe(path)


def _trained(recipe: Source, model: MultiScaleModel) -> set[int]:
    scales = recipe.values.get("training", {}).get("scales")
    return set(range(model.levels + 1)) if scales is None else set(scales)
