"""What the verbs that draw images share: the model with its image, the schedule, the status line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mszoo.cli.output import errors
from mszoo.errors import MszooError

__all__ = ["ascending", "open_both", "schedule"]


def open_both(name: str, path: Path, device: str) -> tuple[Any, Any]:
    """A model, and an image as a batch for it: a grey model takes each channel as an image of its own."""
    import mszoo
    from mszoo.data.images import read_image
    from mszoo.inference import fast

    model = fast(mszoo.load(name, device))
    image = read_image(path, str(path), None if model.channels == 1 else model.channels).to(device)
    return model, image[:, None] if model.channels == 1 else image[None]


def schedule(base: Any, **given: float | None) -> Any:
    """A schedule with the options that were given; an impossible one is a user's error."""
    try:
        return replace(base, **{name: value for name, value in given.items() if value is not None})
    except ValueError as error:
        raise MszooError(str(error)) from None


@contextmanager
def ascending() -> Iterator[Any]:
    """A status line that tells scale, step and the largest noise level left."""
    with errors.status("starting") as status:
        yield lambda j, k, y, sigma: status.update(f"scale {j}, step {k}: noise {sigma.max().item():.4f}")
