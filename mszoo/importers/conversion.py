"""Find the importer for a file, and convert it."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mszoo.discovery import registry
from mszoo.errors import CheckpointError, MszooError
from mszoo.importers.base import Importer, Source
from mszoo.model import MultiScaleModel

__all__ = ["Conversion", "convert", "import_files"]

_SHOWN = 4  # tensors of an unknown file


@dataclass(frozen=True)
class Conversion:
    """A converted checkpoint.

    Attributes:
        model: in eval mode.
        importer: name of the importer that made it.
        refused: names of what the files hold beside tensors and plain values; nothing of it was built.
        license: what the checkpoint may be used for, where its publisher restricts it.

    Example:
        >>> import tempfile, mszoo
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = import_files(mszoo.create("importer", "paper_a").write_example(Path(folder)))
        >>> isinstance(found, Conversion), found.model.levels, found.importer, found.refused
        (True, 1, 'paper_a', [])
    """

    model: MultiScaleModel
    importer: str
    refused: list[str]
    license: str | None


def convert(*files: str | Path, importer: str | None = None, **options: Any) -> MultiScaleModel:
    """Turn somebody else's checkpoint into a model, in eval mode. Only tensors and plain values are read of it.

    Args:
        files: one or more files, or a folder, as the importer's layout has them.
        importer: name of an importer (``mszoo components importer``); None: the one that recognizes the files.
        options: of the importer.

    Raises:
        CheckpointError: a damaged file, or one of a layout that no importer knows; the message says what it holds.

    Example:
        >>> import tempfile, mszoo
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     theirs = mszoo.create("importer", "paper_a").write_example(Path(folder))
        ...     model = mszoo.convert(*theirs)
        ...     model.save_pretrained(Path(folder, "ours"))
        >>> model.levels, model.blind
        (1, True)
    """
    return import_files([Path(file) for file in files], importer, **options).model


def import_files(paths: Sequence[Path], importer: str | None = None, **options: Any) -> Conversion:
    """The same as :func:`convert`, with the importer's name, refused objects and license.

    Args:
        paths: files, or a folder.
        importer: a name, or None.
        options: of the importer.

    Example:
        >>> import tempfile, mszoo
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     scale0, low = mszoo.create("importer", "paper_a").write_example(Path(folder))
        ...     import_files([low]).model.levels, import_files([scale0, low]).model.levels
        (0, 1)
    """
    for path in paths:
        if not path.exists():
            raise CheckpointError(f"no such file: {path}")
    source = Source(paths)
    name = importer if importer is not None else _recognized_by(source)
    chosen: Importer = registry().create("importer", name, **options)
    return Conversion(chosen.convert(source), name, source.refused, chosen.license)


def _recognized_by(source: Source) -> str:
    names, faults = registry().names("importer"), []
    fitting = []
    for name in names:
        try:
            if registry().create("importer", name).recognizes(source):
                fitting.append(name)
        except CheckpointError:  # of the file
            raise
        except Exception as error:  # of a plugin; another importer may know the file
            faults.append(f"{name} failed: {type(error).__name__}: {error}")
    if len(fitting) == 1:
        return fitting[0]
    files = " ".join(map(str, source.paths))
    if fitting:
        raise MszooError(f"{files}: {' and '.join(fitting)} recognize it; choose one with --as")
    said = "".join(f"; {fault}" for fault in faults)
    raise CheckpointError(
        f"{files}: no importer recognizes it; known are {', '.join(names)} (a plugin can add one){said}\n"
        + "\n".join(_described(source))
    )


def _described(source: Source) -> list[str]:
    """A line for each file: what it holds."""
    lines = []
    for path, names in zip(source.paths, source.names, strict=True):
        if names:
            state = source.state(path)
            shown = [f"{reprlib.repr(name)} {tuple(t.shape)}" for name, t in list(state.items())[:_SHOWN]]
            more = f" and {len(state) - _SHOWN} more" if len(state) > _SHOWN else ""
            lines.append(f"{path} holds {', '.join(shown)}{more}")
        elif path.is_dir():
            lines.append(
                f"{path} is a folder of {', '.join(sorted(p.name for p in path.iterdir())[:_SHOWN]) or 'nothing'}"
            )
        else:
            value = source.read(path)
            keys = f" with {reprlib.repr(list(value))}" if isinstance(value, dict) else ""
            lines.append(f"{path} holds no state dict of tensors, but a {type(value).__name__}{keys}")
    if source.refused:
        lines.append(f"refused, and not built: {', '.join(source.refused[:_SHOWN])}")
    return lines
