"""Rows of a long measurement, on the disk as they are found, so that one that was ended can go on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mszoo.data import ImageDataset
from mszoo.errors import MszooError
from mszoo.files import read_text, replace_file
from mszoo.processes import Processes

__all__ = ["OTHERS", "Rows"]

_ABOUT = "about.json"

# What a measurement is of, and what is said of one that is of something else.
OTHERS = {
    "weights": "another model's",
    "images": "of other images",
    "names": "of other images",
    "sigmas": "at other noise levels",
    "seed": "with noise of another seed",
    "views": "over another number of views",
}


class Rows:
    """What all processes have measured, in the order in which they did: a file for each.

    Args:
        folder: of the files.
        rank: of this process.
        row: what there is of an image; its field ``image`` is the image's number.

    Example:
        >>> import tempfile
        >>> from mszoo.data import Photographs
        >>> from mszoo.processes import ALONE
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     rows = Rows(Path(folder), 0, np.dtype([("image", "<i8"), ("psnr", "<f8")]))
        ...     done = rows.begin(Photographs(1), ALONE, {"weights": "any"}, resume=False)
        ...     rows.add([(2, 29.5), (0, 31.0)])
        ...     print(done.any(), rows.all(3)["psnr"])
        False [31.  29.5]
    """

    def __init__(self, folder: Path, rank: int, row: np.dtype) -> None:
        self._folder, self._file, self._row = folder, folder / f"{rank}.rows", row

    def begin(self, images: ImageDataset, processes: Processes, about: dict[str, object], resume: bool) -> np.ndarray:
        """Make the folder, or find that what it holds can be gone on with. All processes call it together.

        Args:
            images: what is measured.
            processes: which of them this is.
            about: of what else the rows are, by keys of :data:`OTHERS`; values that JSON keeps as they are.
            resume: go on with what is there.

        Returns:
            Which images have a row, the same on all processes, (images,) bool.

        Raises:
            MszooError: there are rows that are not to be gone on with, or of something else.
        """
        if processes.first:
            self._prepare({**about, "images": len(images), "names": _digest(images)}, resume)
        processes.wait()
        done = self.done(len(images))
        processes.wait()  # nobody adds rows before all know the same ones
        return done

    def _prepare(self, about: dict[str, object], resume: bool) -> None:
        try:
            before = json.loads(read_text(self._folder / _ABOUT))
        except FileNotFoundError:
            before = None
        except (OSError, ValueError):
            raise MszooError(f"{self._folder} cannot be read; remove it, and measure again") from None
        if before is not None and not resume:
            raise MszooError(
                f"{self._folder} holds {self.count()} row(s) of a measurement that was ended: go on with --resume, or "
                f"remove it"
            )
        if before is not None and before != about:
            which = next((other for key, other in OTHERS.items() if before.get(key) != about.get(key)), "another one")
            raise MszooError(f"the measurement in {self._folder} is {which}; choose another --out, or remove it")
        self._folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(about) + "\n"
        replace_file(self._folder / _ABOUT, lambda part: part.write_text(text, encoding="utf-8"))
        for file in self._folder.glob("*.rows"):  # a row that was cut off by the end
            with open(file, "r+b") as cut:
                cut.truncate(file.stat().st_size // self._row.itemsize * self._row.itemsize)

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """A batch: on the disk when this returns."""
        with open(self._file, "ab", buffering=0) as file:
            file.write(np.array(rows, self._row).tobytes())

    def count(self) -> int:
        """How many rows there are."""
        return sum(file.stat().st_size for file in self._folder.glob("*.rows")) // self._row.itemsize

    def done(self, images: int) -> np.ndarray:
        """Which images have a row, (images,) bool."""
        done = np.zeros(images, bool)
        for rows in self._read():
            done[rows["image"]] = True
        return done

    def all(self, images: int) -> np.ndarray:
        """The rows in the order of the images, each once."""
        rows = np.zeros(images, self._row)
        for some in self._read():
            rows[some["image"]] = some
        return rows[self.done(images)]

    def remove(self) -> None:
        """All is in the table."""
        shutil.rmtree(self._folder)

    def _read(self) -> Iterator[np.ndarray]:
        for file in sorted(self._folder.glob("*.rows")):
            yield np.fromfile(file, self._row)


def _digest(images: ImageDataset) -> str:
    """Of all names in their order: other images have another one."""
    digest = hashlib.sha256()
    for i in range(len(images)):
        digest.update(images.label(i).encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()
