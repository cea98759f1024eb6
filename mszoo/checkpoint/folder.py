"""A checkpoint folder: ``config.json`` and ``model.safetensors``, written whole or not at all, read as data only.

The folder counts as a checkpoint once ``config.json`` is there; that file is written last. Nothing in a checkpoint
is ever run: tensors come from safetensors, everything else from JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    "title_of",
    "write",
]

CONFIG, WEIGHTS, EVALUATION = "config.json", "model.safetensors", "evaluation.json"
RECIPE, CARD = "recipe.yaml", "README.md"

_CHECKSUMS = "weights_sha256"  # of the weights, and of those before them if the model is the same; see `write`
_REPLACED = "replaced"  # the configuration of another model, whose weights may still be there; see `write`

# Bytes, bounded before they are read. A header takes ten times its length once it is parsed.
_LARGEST_HEADER = 2**24


def title_of(name: str) -> str:
    """What tables and legends call a model: its name, or that of its folder; never a path.

    Example:
        >>> title_of("photographs-grey")
        'photographs-grey'
    """
    return Path(name).resolve().name if Path(name).is_dir() else name


def write(
    folder: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    beside: Mapping[str, str] | None = None,
) -> None:
    """Write a checkpoint. It replaces an older one and its evaluation; readers never see half of it.

    ``config.json`` records the checksum of the weights, which are replaced in one moment: the configuration comes
    first, and also tells what it finds. Of the same model (a run that saves again) that is the checksum of the older
    weights, of another model its whole configuration, until the new weights are there. A process that is killed leaves
    one of the two models whole, the older one perhaps without its evaluation; what fails puts all back.

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
    older, texts = _whole(folder), dict(beside or {})
    same = older is not None and _differs_in_weights(folder, older, config, texts)
    if older is not None and same:
        checksums += [older[_CHECKSUMS][0]] * (older[_CHECKSUMS][0] != checksums[0])
    final = {**config, _CHECKSUMS: checksums}
    files = {WEIGHTS: data, **{name: text.encode() for name, text in texts.items()}, CONFIG: _encoded(final)}
    folder.mkdir(parents=True, exist_ok=True)
    parts = {name: folder / f".{name}.{os.getpid()}.part" for name in files}
    between = folder / f".{CONFIG}.{os.getpid()}.both.part"
    with removed_on_failure(*parts.values(), between):
        for name, part in parts.items():  # all of it before anything is touched: the disk may be full
            _write_whole(part, files[name])
        if older is None:
            order = [WEIGHTS, *texts, CONFIG]
            with _set_aside(folder, [CONFIG, EVALUATION, *order[:-1]], os.replace):
                _put(folder, parts, order)
        elif same:
            with _set_aside(folder, [EVALUATION], os.replace):
                _put(folder, parts, [CONFIG, WEIGHTS])
        else:
            _write_whole(between, _encoded({**final, _REPLACED: older}))
            with _set_aside(folder, [CONFIG, EVALUATION, *texts], _copy):
                os.replace(between, folder / CONFIG)
                (folder / EVALUATION).unlink(missing_ok=True)
                _put(folder, parts, [*texts, WEIGHTS])
            _put(folder, parts, [CONFIG])
    for part in parts.values():
        part.unlink(missing_ok=True)


def _encoded(config: Mapping[str, Any]) -> bytes:
    return (json.dumps(config, indent=2) + "\n").encode()


def _write_whole(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    flush(path)


def _put(folder: Path, parts: Mapping[str, Path], names: Sequence[str]) -> None:
    for name in names:
        os.replace(parts[name], folder / name)


def _whole(folder: Path) -> dict[str, Any] | None:
    """The configuration, with checksums, of the checkpoint in a folder, if its weights are those that it means."""
    try:
        config, found = read_config(folder), checksum(folder / WEIGHTS)
    except (CheckpointError, OSError):
        return None
    config.setdefault(_CHECKSUMS, [found])
    return config if _are_checksums(config[_CHECKSUMS]) and found in config[_CHECKSUMS] else None


def _differs_in_weights(
    folder: Path, older: Mapping[str, Any], config: Mapping[str, Any], beside: Mapping[str, str]
) -> bool:
    """Whether all but the weights of the checkpoint in a folder is what is to be written."""
    try:
        same = {k: v for k, v in older.items() if k != _CHECKSUMS} == json.loads(json.dumps(config))
        return same and all(read_text(folder / name) == text for name, text in beside.items())
    except (OSError, ValueError):
        return False


@contextmanager
def _set_aside(folder: Path, names: list[str], keep: Callable[[Path, Path], object]) -> Iterator[None]:
    """Files under hidden names too; if what is done fails, all is as it was, and else the hidden ones are removed.

    Args:
        folder: of the files.
        names: of those to keep; one that is not there is removed on failure.
        keep: moves a file to its hidden name, or copies it.
    """
    aside: dict[str, Path | None] = {}
    try:
        for name in names:
            hidden = folder / f".{name}.{os.getpid()}.old.part"
            there = os.path.lexists(folder / name)
            if there:
                keep(folder / name, hidden)
            aside[name] = hidden if there else None
        yield
    except BaseException:
        for name, hidden in reversed(aside.items()):
            with suppress(OSError):
                if hidden is None:
                    (folder / name).unlink(missing_ok=True)
                else:
                    os.replace(hidden, folder / name)
                    hidden.unlink(missing_ok=True)  # of two names of one file, a renaming leaves both
        raise
    for hidden in aside.values():
        if hidden is not None:
            hidden.unlink(missing_ok=True)


def _copy(path: Path, to: Path) -> None:
    """A second name for a file, or a copy where a file has one name only."""
    with removed_on_failure(to):
        try:
            os.link(path, to)
        except OSError:
            shutil.copyfile(path, to)


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
    if isinstance(config, dict) and _REPLACED in config:
        config = _of_weights(folder, config)
    if not isinstance(config, dict) or not isinstance(config.get("model"), dict):
        raise CheckpointError(f"{folder / CONFIG} does not describe an mszoo model: it has no 'model' mapping")
    return config


def _of_weights(folder: Path, config: dict[str, Any]) -> Any:
    """Of a configuration and the one that it replaced, that whose weights are there: a write was ended in between."""
    replaced = config.pop(_REPLACED)
    held = replaced.get(_CHECKSUMS) if isinstance(replaced, dict) else None
    with suppress(OSError):
        if isinstance(held, list) and checksum(folder / WEIGHTS) in held:
            return replaced
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
