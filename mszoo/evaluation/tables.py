"""Rows of measurements as files: CSV, or Parquet."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Iterable
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mszoo.errors import UnsupportedError
from mszoo.files import replace_file

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["import_pyarrow", "write_csv", "write_parquet", "write_table"]

_GROUP = 2**16  # rows of a Parquet table that are written together


def write_csv(rows: Iterable[DataclassInstance], path: Path) -> None:
    """Write dataclasses of one kind, at least one, as a table with a header; they are not held in memory.

    Example:
        >>> import tempfile
        >>> from mszoo.evaluation import PsnrRow
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_csv([PsnrRow(0.1, 20.0, 29.5, 12)], Path(folder) / "table.csv")
        ...     print((Path(folder) / "table.csv").read_text(), end="")
        sigma,noisy,denoised,images
        0.1,20.0,29.5,12
    """
    values = map(_values, rows)
    first = next(values)

    def write(part: Path) -> None:
        with open(part, "w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(first), lineterminator="\n")
            table.writeheader()
            table.writerows(chain([first], values))

    replace_file(path, write)


def write_parquet(rows: Iterable[DataclassInstance], path: Path) -> None:
    """Write dataclasses of one kind, at least one, as a Parquet table, a group of rows at a time.

    Raises:
        UnsupportedError: pyarrow is not installed.

    Example:
        >>> from mszoo.evaluation import PsnrRow
        >>> write_parquet([PsnrRow(0.1, 20.0, 29.5, 12)], Path("table.parquet"))  # doctest: +SKIP
    """
    pyarrow = import_pyarrow()
    values = map(_values, rows)
    first = pyarrow.Table.from_pylist(list(islice(values, _GROUP)))

    def write(part: Path) -> None:
        with pyarrow.parquet.ParquetWriter(part, first.schema) as file:
            file.write_table(first)
            while group := list(islice(values, _GROUP)):
                file.write_table(pyarrow.Table.from_pylist(group, first.schema))

    replace_file(path, write)


def write_table(rows: Iterable[DataclassInstance], path: Path) -> None:
    """As :func:`write_parquet` into a ``.parquet`` file, as :func:`write_csv` into any other.

    Example:
        >>> import tempfile
        >>> from mszoo.evaluation import PsnrRow
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_table([PsnrRow(0.1, 20.0, 29.5, 12)], Path(folder) / "table.csv")
    """
    write = write_parquet if path.suffix == ".parquet" else write_csv
    write(rows, path)


def _values(row: DataclassInstance) -> dict[str, Any]:
    r"""Values for a UTF-8 table: bytes of a file name that are not UTF-8 are written as ``\udce9``."""
    values = asdict(row).items()
    return {k: v.encode("utf-8", "backslashreplace").decode() if isinstance(v, str) else v for k, v in values}


def import_pyarrow() -> Any:
    """The module that writes Parquet. Raises :class:`UnsupportedError` without it."""
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError:
        raise UnsupportedError("Parquet needs pyarrow: pip install pyarrow, or write .csv") from None
