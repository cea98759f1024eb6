"""Results that are a table in a file: a row for each image, by all processes."""

from __future__ import annotations

from pathlib import Path

from mszoo.cli.inputs import check_folder
from mszoo.cli.output import console, plain, speaks
from mszoo.cli.targets import check_results

__all__ = ["check_folder_or_table", "is_measured", "is_table"]


def is_table(path: Path) -> bool:
    """Whether results go into a table in a file, not into a folder."""
    return path.suffix in (".csv", ".parquet") and not path.is_dir()


def check_folder_or_table(path: Path | None) -> Path | None:
    """As :func:`check_folder`; of a table, the folder that it goes into."""
    if path is not None and is_table(path):
        check_folder(path.parent)
        return path
    return check_folder(path)


def is_measured(table: Path, resume: bool, overwrite: bool) -> bool:
    """Whether the table that is to be gone on with is there already, which is said.

    Raises:
        MszooError: it is there, and is not to be gone on with or replaced.
        UnsupportedError: it cannot be written, for want of pyarrow.
    """
    if table.exists() and resume:
        if speaks():
            console.print(f"{plain(str(table))} is there: nothing is left to measure", soft_wrap=True)
        return True
    check_results([table], overwrite)
    if table.suffix == ".parquet":
        from mszoo.evaluation.tables import import_pyarrow

        import_pyarrow()
    return False
