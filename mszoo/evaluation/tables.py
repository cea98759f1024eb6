"""Rows of measurements as files: CSV, or Parquet."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mszoo.errors import UnsupportedError
from mszoo.files import replace_file

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["import_pyarrow", "write_csv", "write_parquet"]


def write_csv(rows: Sequence[DataclassInstance], path: Path) -> None:
    """Write dataclasses of one kind, at least one, as a table with a header.

    Example:
        >>> import tempfile
        >>> from mszoo.evaluation import PsnrRow
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_csv([PsnrRow(0.1, 20.0, 29.5, 12)], Path(folder) / "table.csv")
        ...     print((Path(folder) / "table.csv").read_text(), end="")
        sigma,noisy,denoised,images
        0.1,20.0,29.5,12
    """
    text = io.StringIO()
    table = csv.DictWriter(text, [f.name for f in fields(rows[0])], lineterminator="\n")
    table.writeheader()
    table.writerows(map(_values, rows))
    replace_file(path, lambda p: p.write_text(text.getvalue(), encoding="utf-8"))


def write_parquet(rows: Sequence[DataclassInstance], path: Path) -> None:
    """Write dataclasses of one kind as a Parquet table. Raises :class:`UnsupportedError` without pyarrow.

    Example:
        >>> from mszoo.evaluation import PsnrRow
        >>> write_parquet([PsnrRow(0.1, 20.0, 29.5, 12)], Path("table.parquet"))  # doctest: +SKIP
    """
    pyarrow = import_pyarrow()
    table = pyarrow.Table.from_pylist(list(map(_values, rows)))
    replace_file(path, lambda p: pyarrow.parquet.write_table(table, p))


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
