"""A checkpoint folder: ``config.json`` and ``model.safetensors``, written whole or not at all, read as data only.

The folder counts as a checkpoint once ``config.json`` is there; that file is written last. Nothing in a checkpoint
is ever run: tensors come from safetensors, everything else from JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mszoo.errors import CheckpointError
from mszoo.files import flush, read_text, removed_on_failure

if TYPE_CHECKING:  # listing models reads no tensors, and needs no torch
    from torch import Tensor

__all__ = [
    "CARD",
    "CONFIG",
    "EVALUATION",
    "RECIPE",
    "WEIGHTS",
    "checksum",
    "read_config",
    "read_shapes",
    "read_tensors",
    "write",
]

CONFIG, WEIGHTS, EVALUATION = "config.json", "model.safetensors", "evaluation.json"
RECIPE, CARD = "recipe.yaml", "README.md"

_CHECKSUMS = "weights_sha256"  # of the weights, and of those before them if the model is the same; see `write`

# Bytes, bounded before they are read. A header takes ten times its length once it is parsed.
_LARGEST_HEADER = 2**24


def write(
    folder: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    beside: Mapping[str, str] | None = None,
) -> None:
    """Write a checkpoint. It replaces an older one and its evaluation; readers never see half of it.

    ``config.json`` records the checksum of the weights. Weights of the same model (a run that saves again) are replaced
    with no moment in between: the configuration comes first, and also names the checksum of those that it finds. Of
    another model, the configuration goes first and comes last; what fails in between puts all back.

    Args:
        folder: made if it is not there.
        config: what ``config.json`` holds, apart from the checksum.
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
    checksums = [hashlib.sha256(data).hexdigest()]
    before = _checksums_before(folder, config, beside or {})
    if before:
        checksums += [before[0]] * (before[0] != checksums[0])
    texts = {**(beside or {}), CONFIG: json.dumps({**config, _CHECKSUMS: checksums}, indent=2) + "\n"}
    files = {WEIGHTS: data, **{name: text.encode() for name, text in texts.items()}}
    folder.mkdir(parents=True, exist_ok=True)
    parts = {name: folder / f".{name}.{os.getpid()}.part" for name in files}
    with removed_on_failure(*parts.values()):
        for name, part in parts.items():  # all of it before anything is touched: the disk may be full
            part.write_bytes(files[name])
            flush(part)
        order = [CONFIG, WEIGHTS] if before else [WEIGHTS, *(beside or {}), CONFIG]
        with _set_aside(folder, [EVALUATION] if before else [CONFIG, EVALUATION, *order[:-1]]):
            for name in order:
                os.replace(parts[name], folder / name)
    for name in set(parts) - set(order):
        parts[name].unlink(missing_ok=True)


def _checksums_before(folder: Path, config: Mapping[str, Any], beside: Mapping[str, str]) -> list[str]:
    """The checksums of the checkpoint in a folder if all but its weights is what is to be written; else none."""
    try:
        held = json.loads(read_text(folder / CONFIG))
        before = held.pop(_CHECKSUMS)
        same = held == json.loads(json.dumps(config)) and (folder / WEIGHTS).is_file()
        same = same and all(read_text(folder / name) == text for name, text in beside.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    return before if same and _are_checksums(before) else []


@contextmanager
def _set_aside(folder: Path, names: list[str]) -> Iterator[None]:
    """Files under hidden names; if what is done without them fails, all is as it was, and else they are removed."""
    aside: dict[str, Path | None] = {}
    try:
        for name in names:
            hidden = folder / f".{name}.{os.getpid()}.old.part"
            there = os.path.lexists(folder / name)
            if there:
                os.replace(folder / name, hidden)
            aside[name] = hidden if there else None
        yield
    except BaseException:
        for name, hidden in reversed(aside.items()):
            with suppress(OSError):
                (folder / name).unlink(missing_ok=True) if hidden is None else os.replace(hidden, folder / name)
        raise
    for hidden in aside.values():
        if hidden is not None:
            hidden.unlink(missing_ok=True)


def checksum(path: Path) -> str:
    """sha256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _are_checksums(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= 2
        and all(isinstance(one, str) and re.fullmatch("[0-9a-f]{64}", one) for one in value)
    )


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
    """The tensors, by name, held against the checksum that the configuration records (older ones record none).

    Raises:
        CheckpointError: a file is missing or damaged; the message names it.
    """
    import safetensors.torch

    with _weights(folder) as path:
        found = checksum(path)
        tensors = safetensors.torch.load_file(path)
        config = read_config(folder)  # after the weights: a run that saves meanwhile writes it before them
        if _CHECKSUMS in config:
            recorded = config[_CHECKSUMS]
            if not _are_checksums(recorded):
                raise CheckpointError(f"{folder / CONFIG}: its {_CHECKSUMS} are no checksums")
            if found not in recorded:
                raise CheckpointError(
                    f"{path} is damaged, or of another model: its checksum is {found[:12]}..., and {CONFIG} records "
                    f"{recorded[0][:12]}...; copy both files again from where they came"
                )
        return tensors


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
