"""Trackers of runs, by Accelerate's names: TensorBoard, Weights & Biases and others."""

from __future__ import annotations

from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from torch import Tensor

from mszoo.errors import OptionsError, TrainingError, suggest
from mszoo.recipe import Recipe, TrainingConfig

__all__ = ["FOLDER", "Tracker", "check_tracker"]

FOLDER = "tracking"  # in the run's folder, of trackers that write files


def check_tracker(settings: TrainingConfig) -> None:
    """Raises :class:`OptionsError` if Accelerate knows no such tracker, or its package is not installed."""
    if settings.tracker is None:
        return
    name, known = settings.tracker.name, sorted(map(str, LOGGER_TYPE_TO_CLASS))
    if name not in known:
        text = f"Accelerate has no tracker {name!r}{suggest(name, known)}; there are {', '.join(known)}"
    elif name not in map(str, get_available_trackers()):
        package = "'mszoo[track]'" if name == "tensorboard" else name
        text = f"{name} is not installed: pip install {package}"
    else:
        return
    raise OptionsError("recipe", [(("training", "tracker"), text)])


class Tracker:
    """What a recipe's ``training.tracker`` shows of a run; without one, nothing. All processes make it together.

    Args:
        accelerator: made with the tracker's name.
        recipe: its name and its values are shown, and ``training.tracker`` may have the tracker's own options.
        start: steps done before this start: what TensorBoard holds past them, of a run that was killed, is dropped.

    Raises:
        TrainingError: the tracker cannot start, for want of a login, say.
    """

    def __init__(self, accelerator: Accelerator, recipe: Recipe, start: int) -> None:
        self._accelerator, chosen = accelerator, recipe.training.tracker
        if chosen is None:
            return
        given = {"purge_step": start + 1} if chosen.name == "tensorboard" else {}
        try:
            accelerator.init_trackers(
                recipe.name, _flat(recipe.model_dump()), init_kwargs={chosen.name: {**given, **chosen.options}}
            )
        except Exception as error:  # each tracker has its own
            raise TrainingError(f"training.tracker: {chosen.name} cannot start: {error}") from error

    def numbers(self, values: dict[str, float], step: int) -> None:
        """Show numbers after a step; nothing on other processes than the main one."""
        self._accelerator.log(values, step)

    def pictures(self, images: dict[str, Tensor], step: int) -> None:
        """Show images (C, H, W) in [0, 1] after a step, where the tracker shows pictures."""
        for tracker in self._accelerator.trackers:
            if hasattr(tracker, "log_images"):
                arrays = {name: _colour(image)[None] for name, image in images.items()}
                more = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
                tracker.log_images(arrays, step, **more)  # pyright: ignore[reportAttributeAccessIssue]  # not in its base


def _colour(image: Tensor) -> np.ndarray:
    """(C, H, W) in [0, 1], clipped, as (H, W, 3) uint8."""
    array = (image.detach().cpu().float().clamp(0, 1) * 255).round().byte().numpy()
    return np.moveaxis(np.repeat(array, 3, 0) if len(array) == 1 else array[:3], 0, -1)


def _flat(values: Any, name: str = "") -> dict[str, int | float | str | bool]:
    """Nested values by their key paths: trackers take numbers and texts."""
    if isinstance(values, dict):
        inner = [_flat(value, f"{name}.{key}" if name else key) for key, value in values.items()]
        return {key: value for one in inner for key, value in one.items()}
    return {name: values if isinstance(values, (int, float, str, bool)) else str(values)}
