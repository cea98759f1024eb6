"""From a model to a checkpoint folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from mszoo.checkpoint import folder as checkpoint
from mszoo.checkpoint.claims import claims_of
from mszoo.model import MultiScaleModel

__all__ = ["save_model"]


def save_model(model: MultiScaleModel, folder: str | Path, beside: Mapping[str, str] | None = None) -> None:
    """Write a checkpoint folder that :func:`mszoo.load` reads.

    Args:
        model: whose parts came from the registry.
        folder: made if it is not there; an older checkpoint in it is replaced.
        beside: text of further files, by name (``recipe.yaml``, ``README.md``).

    Raises:
        UnsupportedError: a part that was built directly, which no configuration can name.
        CheckpointError: there is a file of the folder's name.
    """
    config = {
        "library_name": "mszoo",
        "model": model.config(),
        "components": claims_of(p for m in model.modules() if (p := getattr(m, "part", None)) is not None),
        "constants": [asdict(c) for c in model.constants.values()],
        "largest_t": model.largest_t,
        "trained_size": model.trained_size,
    }
    checkpoint.write(Path(folder), config, model.state_dict(), beside)
