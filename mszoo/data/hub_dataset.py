"""Data sets of the Hugging Face Hub, and what else the library ``datasets`` opens: Parquet files, folders."""

from __future__ import annotations

from typing import Any

from mszoo.data.encoded import EncodedImages
from mszoo.data.images import Grey
from mszoo.errors import DataError, suggest

__all__ = ["HubDataset"]


class HubDataset(EncodedImages):
    """A column of images of a data set, which ``datasets`` keeps on the disk (``HF_HOME``) and maps into memory.

    Args:
        channels: 1 or 3; images are converted.
        path: ``owner/name`` on the Hub, a local folder, or one of the library's builders: ``parquet``, ``imagefolder``.
        subset: one of its configurations; None: the only one.
        split: which of its splits, also ``train[:10%]``.
        column: that has the images.
        files: what a builder reads: a path, a glob or a URL.
        revision: of the Hub: a branch, tag or commit.
        grey: how colour becomes grey: ``luma`` (Pillow's weights) or ``mean`` (of red, green and blue: paper A's).

    Raises:
        DataError: ``datasets`` is not installed, or finds no such data set, split or column of images.
    """

    def __init__(
        self,
        channels: int,
        *,
        path: str,
        subset: str | None = None,
        split: str = "train",
        column: str = "image",
        files: str | None = None,
        revision: str | None = None,
        grey: Grey = "luma",
    ) -> None:
        self._path, self._column = path, column
        self._rows = _open(path, column, name=subset, split=split, data_files=files, revision=revision)
        super().__init__(channels, len(self._rows), grey)

    def content(self, i: int) -> bytes:
        """See :meth:`EncodedImages.content`."""
        found = self._rows[i][self._column]
        try:
            if found["bytes"] is not None:
                return found["bytes"]
            with open(found["path"], "rb") as file:
                return file.read()
        except (TypeError, OSError) as error:
            raise DataError(f"{self.label(i)} cannot be read: {error}") from None

    def label(self, i: int) -> str:
        """The path and the number of the row."""
        return f"{self._path}[{i}]"


def _open(path: str, column: str, **given: Any) -> Any:
    try:
        import datasets
    except ImportError:
        raise DataError("data sets of the Hub need the library datasets: pip install 'mszoo[data]'") from None
    try:
        rows = datasets.load_dataset(path, **given)
    except Exception as error:  # each builder has its own
        raise DataError(f"{path} cannot be opened: {error}") from None
    pictures = [name for name, kind in rows.features.items() if isinstance(kind, datasets.Image)]
    if column not in pictures:
        told = f"its columns of images: {', '.join(pictures)}" if pictures else "it has none of images"
        raise DataError(f"{path} has no column of images {column!r}{suggest(column, pictures)}; {told}")
    if not len(rows):
        raise DataError(f"{path}: split {given['split']} is empty")
    return rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))
