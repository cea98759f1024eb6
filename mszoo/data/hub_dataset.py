"""Data sets of the Hugging Face Hub, and what else the library ``datasets`` opens: Parquet files, folders."""

from __future__ import annotations

from typing import Any

from pydantic import PositiveInt

from mszoo.data.base import Blocks
from mszoo.data.encoded import EncodedImages
from mszoo.data.fetching import is_url
from mszoo.data.images import Grey
from mszoo.data.kept import cache_folder
from mszoo.data.row_groups import RowGroups
from mszoo.errors import DataError, suggest

__all__ = ["HubDataset"]


class HubDataset(EncodedImages):
    """A column of images of a data set, which ``datasets`` keeps on the disk (``HF_HOME``) and maps into memory.

    With ``streaming`` it is not fetched at the start. Of Parquet files, the Hub's usual kind, the ends are read, and
    then row group by row group when its turn comes.

    Args:
        channels: 1 or 3; images are converted.
        path: ``owner/name`` on the Hub, a local folder, or one of the library's builders: ``parquet``, ``imagefolder``.
        subset: one of its configurations; None: the only one.
        split: which of its splits, also ``train[:10%]``.
        column: that has the images.
        files: what a builder reads: a path, a glob or a URL, or several.
        revision: of the Hub: a branch, tag or commit.
        streaming: fetch row groups when their turn comes. Training then shuffles the row groups, and the images of half
            of those that are kept among each other.
        keep: when streaming, how many row groups stay on the disk.
        cache: when streaming, the folder for them; None: the user's, of mszoo.
        grey: how colour becomes grey: ``luma`` (Pillow's weights) or ``mean`` (of red, green and blue: paper A's).

    Raises:
        DataError: ``datasets`` is not installed, or finds no such data set, split or column of images; or it is to be
            streamed, and is not made of Parquet files.
    """

    def __init__(
        self,
        channels: int,
        *,
        path: str,
        subset: str | None = None,
        split: str = "train",
        column: str = "image",
        files: str | list[str] | None = None,
        revision: str | None = None,
        streaming: bool = False,
        keep: PositiveInt = 16,
        cache: str | None = None,
        grey: Grey = "luma",
    ) -> None:
        self._path = path
        given = {"name": subset, "data_files": files, "revision": revision}
        if streaming:
            self._rows = RowGroups(_find(path, split, given), column, cache_folder(cache), keep)
        else:
            self._rows = _Table(_open(path, column, split, given), column)
        super().__init__(channels, len(self._rows), grey)

    @property
    def blocks(self) -> Blocks | None:
        """The row groups, when streaming."""
        return self._rows.blocks

    def content(self, i: int) -> bytes:
        """See :meth:`EncodedImages.content`."""
        try:
            return self._rows.content(i)
        except (TypeError, OSError) as error:
            raise DataError(f"{self.label(i)} cannot be read: {error}") from None

    def label(self, i: int) -> str:
        """The path and the number of the row."""
        return f"{self._path}[{i}]"


class _Table:
    """A column of a table that the library keeps."""

    blocks = None

    def __init__(self, rows: Any, column: str) -> None:
        self._rows, self._column = rows, column

    def __len__(self) -> int:
        return len(self._rows)

    def content(self, i: int) -> bytes:
        found = self._rows[i][self._column]
        if found["bytes"] is not None:
            return found["bytes"]
        with open(found["path"], "rb") as file:
            return file.read()


def _open(path: str, column: str, split: str, given: dict[str, Any]) -> Any:
    """The rows of a split, which the library has fetched."""
    datasets = _library()
    try:
        rows = datasets.load_dataset(path, split=split, **given)
    except Exception as error:  # each builder has its own
        raise DataError(f"{path} cannot be opened: {error}") from None
    pictures = [name for name, kind in rows.features.items() if isinstance(kind, datasets.Image)]
    if column not in pictures:
        told = f"its columns of images: {', '.join(pictures)}" if pictures else "it has none of images"
        raise DataError(f"{path} has no column of images {column!r}{suggest(column, pictures)}; {told}")
    if not len(rows):
        raise DataError(f"{path}: split {split} is empty")
    return rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))


def _find(path: str, split: str, given: dict[str, Any]) -> list[str]:
    """The addresses of the Parquet files of a split, none of which is fetched."""
    written = given["data_files"] or []
    written = [written] if isinstance(written, str) else written
    if path == "parquet" and written and all(map(is_url, written)):
        found = {"train": written}  # as the library calls it, which would fetch them
    else:
        try:
            found = _library().load_dataset_builder(path, **given).config.data_files or {}
        except Exception as error:  # each builder has its own
            raise DataError(f"{path} cannot be opened: {error}") from None
    splits = sorted(map(str, found))
    if split not in splits:
        told = f"there are {', '.join(splits)}, and none in part when streaming" if splits else "it names no files"
        raise DataError(f"{path} has no split {split!r}{suggest(split, splits)}; {told}")
    files = list(map(str, found[split]))
    others = [file for file in files if not file.endswith(".parquet")]
    if others:
        raise DataError(
            f"{path} cannot be streamed: {others[0]} is no Parquet file. The Hub has most data sets as such too: "
            f"revision: refs/convert/parquet; tar files are for webdataset; or leave streaming out"
        )
    return files


def _library() -> Any:
    try:
        import datasets
    except ImportError:
        raise DataError("data sets of the Hub need the library datasets: pip install 'mszoo[data]'") from None
    return datasets
