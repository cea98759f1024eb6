"""Put together a model whose scales were trained by different runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mszoo.checkpoint.folder import CONFIG
from mszoo.errors import TrainingError
from mszoo.model import MultiScaleModel
from mszoo.recipe import Source, differences, read_recipe
from mszoo.training.folder import hold

__all__ = ["assemble"]


def assemble(out: Path, runs: Sequence[Path], overwrite: bool = False) -> MultiScaleModel:
    """Take each scale from the run that trained it, and write the whole model.

    The stored recipe is the first run's; where another run's differs, a comment at its top says so.

    Args:
        out: folder of the assembled checkpoint.
        runs: folders of runs of the same model, each with ``training.scales`` in its recipe.
        overwrite: replace the model that ``out`` holds.

    Raises:
        TrainingError: runs of different models, or a scale that no run trained, or more than one; or ``out`` holds a
            model, or is one of the runs.
        CheckpointError: a folder that is no whole checkpoint.
    """
    if out.resolve() in {run.resolve() for run in runs}:
        raise TrainingError(f"{out} is one of the runs, whose model would be replaced; choose another folder")
    if (out / "state").exists():
        raise TrainingError(f"{out} holds a run, which would no longer go on from its own model; choose another folder")
    if (out / CONFIG).exists() and not overwrite:
        raise TrainingError(f"{out} holds a model; choose another folder, or let it be replaced with --overwrite")
    models = [MultiScaleModel.from_pretrained(run) for run in runs]
    recipes = [_recipe(run) for run in runs]
    model, first = models[0], recipes[0]
    for run, other in zip(runs[1:], models[1:], strict=True):
        if other.config() != model.config():
            raise TrainingError(f"{run} is of another model than {runs[0]}: their bases, networks or heads differ")
    trained = [_trained(recipe, model.levels) for recipe in recipes]
    for j in range(model.levels + 1):
        by = [k for k, scales in enumerate(trained) if j in scales]
        if len(by) != 1:
            which = ", ".join(str(runs[k]) for k in by) or "none of the runs"
            raise TrainingError(f"scale {j} was trained by {which}; exactly one run must have it in training.scales")
        model.scales[j].load_state_dict(models[by[0]].scales[j].state_dict())
        model.largest_t[j] = models[by[0]].largest_t[j]
        if j == model.levels:  # the constant is the coarsest scale's
            model.constants = models[by[0]].constants
    notes = [
        f"# scales {sorted(scales)}{': ' + changed if changed else ''}"
        for recipe, scales in zip(recipes, trained, strict=True)
        for changed in [", ".join(d for d in differences(first.values, recipe.values) if "training.scales=" not in d)]
    ]
    first.values.get("training", {}).pop("scales", None)
    with hold(out):
        model.save_pretrained(
            out, beside={"recipe.yaml": "\n".join(["# assembled from runs of", *notes, first.text()])}
        )
    return model


def _recipe(run: Path) -> Source:
    path = run / "recipe.yaml"
    if not path.is_file():
        raise TrainingError(f"{run} has no recipe.yaml, which says what scales it trained")
    return read_recipe(path)


def _trained(recipe: Source, levels: int) -> set[int]:
    """The scales that a run trained, as its recipe says, which somebody may have edited since."""
    training = recipe.values.get("training", {})
    scales = training.get("scales") if isinstance(training, dict) else "?"
    if scales is None:
        return set(range(levels + 1))
    if not isinstance(scales, list) or not all(type(j) is int and 0 <= j <= levels for j in scales):
        raise recipe.error([(("training", "scales"), f"should list scales from 0 to {levels}, which the run trained")])
    return set(scales)
