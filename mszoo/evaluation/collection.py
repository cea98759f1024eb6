"""log p of a whole collection of images, by several processes, in a table in the order of the images.

Each process appends what it measures to a file of its own, in a folder beside the table; an end before the time loses
no more than the batch that is being measured. Batches are those that one process alone would make, and so the numbers
are the same to the last bit, for any number of processes, and however often the measurement is ended and gone on with.
"""

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from torch import Tensor

from mszoo.data import ImageDataset
from mszoo.errors import DataError, ImageSizeError, MszooError
from mszoo.evaluation.probability import ProbabilityRow, batches, measure, row_of
from mszoo.evaluation.rows import Rows
from mszoo.evaluation.tables import write_table
from mszoo.model import MultiScaleModel
from mszoo.processes import Processes

__all__ = ["Joined", "log_prob_table"]

_ROW = np.dtype([("image", "<i8"), ("height", "<i4"), ("width", "<i4"), ("log_prob", "<f8")])  # no height: broken


class Joined(ImageDataset):
    """Several data sets, one after the other.

    Args:
        parts: of the same number of channels, at least one.
    """

    def __init__(self, parts: Sequence[ImageDataset]) -> None:
        super().__init__(parts[0].channels)
        self._parts, self._ends = list(parts), list(accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, i: int) -> Tensor:
        """See :meth:`ImageDataset.__getitem__`."""
        part, k = self._find(i)
        return part[k]

    def size(self, i: int) -> tuple[int, int]:
        """Its part's."""
        part, k = self._find(i)
        return part.size(k)

    def label(self, i: int) -> str:
        """Its part's."""
        part, k = self._find(i)
        return part.label(k)

    def _find(self, i: int) -> tuple[ImageDataset, int]:
        if not 0 <= i < len(self):
            raise IndexError(i)
        which = bisect_right(self._ends, i)
        return self._parts[which], i - (self._ends[which] - len(self._parts[which]))


def log_prob_table(
    model: MultiScaleModel,
    images: ImageDataset,
    out: Path,
    processes: Processes,
    *,
    weights: str,
    resume: bool = False,
    progress: Callable[[int], object] = lambda done: None,
) -> int:
    """Measure log p of every image; the first process writes the table. All processes call it together.

    Images that are too small for the model, or cannot be read, are named in warnings and have no row. Besides the
    images of a batch a process holds 25 bytes for each image of the collection.

    Args:
        model: with an energy head at every scale, in eval mode, on this process's device.
        images: the same on every process.
        out: a ``.csv`` or ``.parquet`` file; until it is written there is a folder ``OUT.part``.
        processes: which of them this is.
        weights: checksum of the model's weights: the rows of another's are refused.
        resume: go on with what is there.
        progress: called after each batch with the number of images that all processes have measured.

    Returns:
        How many rows the table has; on the other processes 0.

    Raises:
        UnsupportedError: the model has no density.
        MszooError: there are rows that are not to be gone on with, of another model, or of other images.
        ImageSizeError: no image could be measured.

    Example:
        >>> import tempfile
        >>> import mszoo
        >>> from mszoo.data import Photographs
        >>> from mszoo.processes import find_processes
        >>> model = mszoo.load("photographs-energy")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     out = Path(folder) / "log-prob.csv"
        ...     log_prob_table(model, Photographs(1, split="test"), out, find_processes("cpu"), weights="any")
        1
    """
    rows = Rows(Path(f"{out}.part"), processes.rank, _ROW)
    done = rows.begin(images, processes, {"weights": weights}, resume)
    fits = _Fits(images, model.unit, tell=processes.first)
    left = (batch for batch in batches(images, model.unit, numbers=fits) if not done[batch].all())
    for batch in processes.share(left):
        measured = measure(model, images, batch)
        height, width = (side // model.unit * model.unit for side in images.size(batch[0]))
        rows.add([(i, height, width, measured[i]) if i in measured else (i, 0, 0, 0.0) for i in batch])
        progress(rows.count())
    processes.wait()
    if not processes.first:
        return 0
    found = rows.all(len(images))
    if len(found) + fits.left_out < len(images):
        raise MszooError(f"{len(images) - len(found) - fits.left_out} image(s) have no row: go on with --resume")
    found = found[found["height"] > 0]
    if not len(found):
        raise ImageSizeError("no image could be measured")
    write_table((_described(row, images) for row in found), out)
    rows.remove()
    return len(found)


class _Fits:
    """The numbers of images that are large enough, one after the other; the others are counted, and named."""

    def __init__(self, images: ImageDataset, unit: int, tell: bool) -> None:
        self._images, self._unit, self._tell, self.left_out = images, unit, tell, 0

    def __iter__(self) -> Iterator[int]:
        unit = self._unit
        for i in range(len(self._images)):
            try:
                height, width = self._images.size(i)
                if min(height, width) >= unit:
                    yield i
                    continue
                fault = f"{self._images.label(i)} is {height}x{width}, the model needs {unit}x{unit}"
            except DataError as error:
                fault = str(error)
            self.left_out += 1
            if self._tell:
                warnings.warn(f"skipped: {fault}", stacklevel=2)


def _described(row: np.void, images: ImageDataset) -> ProbabilityRow:
    size = images.channels, int(row["height"]), int(row["width"])
    return row_of(images.label(int(row["image"])), size, float(row["log_prob"]))
