"""A checkpoint folder: ``config.json`` and ``model.safetensors``, written whole or not at all, read as data only.

The folder counts as a checkpoint once ``config.json`` is there; that file is written last. Nothing in a checkpoint
is ever run: tensors come from safetensors, everything else from JSON.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mszoo.errors import CheckpointError
from mszoo.files import read_text

if TYPE_CHECKING:  # listing models reads no tensors, and needs no torch
    from torch import Tensor

__all__ = [
    "CARD",
    "CONFIG",
    "EVALUATION",
    "RECIPE",
    "WEIGHTS",
    "read_config",
    "read_shapes",
    "read_tensors",
    "write",
]

CONFIG, WEIGHTS, EVALUATION = "config.json", "model.safetensors", "evaluation.json"
RECIPE, CARD = "recipe.yaml", "README.md"

# Bytes, bounded before they are read. A header takes ten times its length once it is parsed.
_LARGEST_HEADER = 2**24


def write(
    folder: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    beside: Mapping[str, str] | None = None,
) -> None:
    """Write a checkpoint. It replaces an older one and its evaluation; readers never see half of it.

    Args:
        folder: made if it is not there.
        config: what ``config.json`` holds.
        tensors: the model's state.
        beside: text of further files, by name (``recipe.yaml``, ``README.md``).

    Raises:
        CheckpointError: there is a file of the folder's name.
    """
    import safetensors.torch

    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder} is a file; give a folder for the model")
    contiguous = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    data = safetensors.torch.save(contiguous, metadata={"format": "pt"})  # may fail: before anything is touched
    texts = {**(beside or {}), CONFIG: json.dumps(config, indent=2) + "\n"}
    files = {WEIGHTS: data, **{name: text.encode() for name, text in texts.items()}}  # the config last
    folder.mkdir(parents=True, exist_ok=True)
    parts = {name: folder / f".{name}.{os.getpid()}.part" for name in files}
    try:
        for name, part in parts.items():  # all of it before anything is touched: the disk may be full
            with open(part, "wb") as file:
                file.write(files[name])
                file.flush()
                os.fsync(file.fileno())
        if not all(_holds(folder / name, text) for name, text in texts.items()):
            # a folder must never hold the weights of one model and the config or recipe of another
            (folder / CONFIG).unlink(missing_ok=True)
        (folder / EVALUATION).unlink(missing_ok=True)  # what was measured of other weights
        for name, part in parts.items():
            os.replace(part, folder / name)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8", errors="replace") == text
    except OSError:
        return False


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a checkpoint. Raises :class:`CheckpointError` if there is none to read."""
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder")
    try:
        config = json.loads(read_text(folder / CONFIG))
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder} has no {CONFIG}, so it is not a checkpoint (or one whose training was stopped before the "
            f"first save); give a folder that `mszoo train --out` or save_pretrained wrote"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{folder / CONFIG} cannot be read: {error}") from None
    if not isinstance(config, dict) or not isinstance(config.get("model"), dict):
        raise CheckpointError(f"{folder / CONFIG} does not describe an mszoo model: it has no 'model' mapping")
    return config


def read_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors, from the header of the file alone.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    import safetensors

    with _weights(folder) as path, safetensors.safe_open(path, framework="pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (no mapping)


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors, by name. Raises :class:`CheckpointError` naming the file that is missing or damaged."""
    import safetensors.torch

    with _weights(folder) as path:
        return safetensors.torch.load_file(path)


@contextmanager
def _weights(folder: Path) -> Iterator[Path]:
    import safetensors

    path = folder / WEIGHTS
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise CheckpointError(f"{path} is damaged or no safetensors file: it is no file")
        with open(path, "rb") as file:
            header = int.from_bytes(file.read(8), "little")
        if header > _LARGEST_HEADER:
            raise CheckpointError(f"{path} is damaged or no safetensors file: it claims a header of {header:,} bytes")
        yield path
    except FileNotFoundError:
        raise CheckpointError(f"{folder} has no {WEIGHTS}; copy it there, or save the model again") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file: {error}") from None
