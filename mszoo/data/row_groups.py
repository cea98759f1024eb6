"""Parquet files, of which the row groups are fetched when an image of theirs is asked for."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mszoo.data.base import Blocks
from mszoo.data.fetching import open_far, persist
from mszoo.data.kept import Kept, digest
from mszoo.errors import DataError, MszooError, suggest

__all__ = ["RowGroups"]

_AT_ONCE = 16  # files whose ends are read at once
_OFFSET = np.dtype("<i8")


class RowGroups:
    """A column of images, the bytes of image files, in Parquet files.

    At the start the end of each file is read, where it says which rows are where, and kept. A row group is fetched
    whole, and some of them stay on the disk, for all processes of the machine.

    Args:
        files: paths and URLs (``http``, ``https``, ``hf``).
        column: of bytes, or as the library ``datasets`` writes images: with a field ``bytes``.
        folder: where they are kept.
        keep: how many row groups stay.

    Raises:
        DataError: a file cannot be fetched, is no Parquet file, or has no such column; or pyarrow is not installed.
    """

    def __init__(self, files: Sequence[str], column: str, folder: Path, keep: int) -> None:
        try:
            importlib.import_module("pyarrow.parquet")
        except ImportError:
            raise DataError("Parquet files need pyarrow: pip install 'mszoo[data]'") from None
        self._files, self._column, self._keep = list(files), column, keep
        own = digest("\0".join([column, *files]))
        self._ends, self._kept = Kept(folder / "parquet"), Kept(folder / f"groups-{own}", keep)
        try:
            with ThreadPoolExecutor(_AT_ONCE) as threads:
                found = list(threads.map(self._rows, files))
        except MszooError as error:
            raise DataError(str(error)) from None
        self._places = [(file, group) for file, rows in enumerate(found) for group in range(len(rows))]
        self._starts = np.cumsum([0, *(count for rows in found for count in rows)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def blocks(self) -> Blocks:
        """The row groups."""
        return Blocks(self._starts[1:], max(1, self._keep // 2))

    def content(self, i: int) -> bytes:
        """The bytes of a row's image, none if it has none. Raises :class:`MszooError` if they cannot be fetched."""
        group = int(np.searchsorted(self._starts, i, side="right")) - 1
        row, count = i - int(self._starts[group]), int(self._starts[group + 1] - self._starts[group])
        with self._kept.open(str(group), lambda part: self._fetch(group, part)) as file:
            file.seek(row * _OFFSET.itemsize)
            first, last = map(int, np.frombuffer(file.read(2 * _OFFSET.itemsize), _OFFSET))
            file.seek((count + 1) * _OFFSET.itemsize + first)
            return file.read(last - first)

    def _rows(self, url: str) -> list[int]:
        """How many rows each row group of a file has."""

        def read(part: Path) -> None:
            part.write_text(json.dumps(persist(lambda: _about(url), url)), encoding="utf-8")

        with self._ends.open(digest(url), read) as file:
            about = json.load(file)
        if self._column not in about["columns"]:
            told = ", ".join(about["columns"]) or "none"
            raise DataError(
                f"{url} has no column of images {self._column!r}{suggest(self._column, about['columns'])}; "
                f"those that may hold images: {told}"
            )
        return about["rows"]

    def _fetch(self, group: int, part: Path) -> None:
        """A row group as a file: where the bytes of each row begin, and where the last end; and then the bytes."""
        file, number = self._places[group]
        contents = persist(lambda: _contents(self._files[file], number, self._column), self._files[file])
        ends = np.cumsum([0, *map(len, contents)], dtype=_OFFSET)
        part.write_bytes(ends.tobytes() + b"".join(contents))


def _about(url: str) -> dict[str, list]:
    """The numbers of rows of a file's row groups, and the columns that may hold images."""
    from pyarrow import parquet, types

    with open_far(url) as source:
        file = parquet.ParquetFile(source)
        kinds = {field.name: field.type for field in file.schema_arrow}
        columns = [name for name, kind in kinds.items() if types.is_binary(kind) or types.is_struct(kind)]
        rows = [file.metadata.row_group(k).num_rows for k in range(file.metadata.num_row_groups)]
    return {"rows": rows, "columns": columns}


def _contents(url: str, group: int, column: str) -> list[bytes]:
    from pyarrow import parquet

    with open_far(url) as source:
        values = parquet.ParquetFile(source).read_row_group(group, [column])[column].to_pylist()
    return [(value.get("bytes") if isinstance(value, dict) else value) or b"" for value in values]
