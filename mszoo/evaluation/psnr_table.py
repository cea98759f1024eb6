"""PSNR of a whole collection of images, by several processes, in a table in the order of the images.

Each process appends what it measures to a file of its own, in a folder beside the table; an end before the time loses
no more than the image that is being measured. The noise of an image depends on its number alone, and so the numbers are
the same to the last bit for any number of processes, and however often the measurement is ended and gone on with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mszoo.data import ImageDataset, readable
from mszoo.errors import DataError
from mszoo.evaluation.denoising import PsnrRow, psnr_of
from mszoo.evaluation.rows import Rows
from mszoo.evaluation.tables import write_table
from mszoo.model import MultiScaleModel
from mszoo.processes import Processes

__all__ = ["ImagePsnrRow", "psnr_table"]


@dataclass(frozen=True)
class ImagePsnrRow:
    """PSNR of one image at one noise level.

    Attributes:
        image: its name.
        height, width: in pixels.
        sigma: standard deviation of the noise, for images in [0, 1].
        noisy, denoised: PSNR in dB, not clipped.
    """

    image: str
    height: int
    width: int
    sigma: float
    noisy: float
    denoised: float


def psnr_table(
    model: MultiScaleModel,
    images: ImageDataset,
    out: Path,
    processes: Processes,
    *,
    sigmas: Sequence[float],
    weights: str,
    seed: int = 0,
    views: int = 1,
    resume: bool = False,
    progress: Callable[[int], object] = lambda done: None,
) -> list[PsnrRow]:
    """Measure every image at every noise level; the first process writes the table. All processes call it together.

    Images that cannot be read are named in warnings and have no row. Besides an image a process holds 16 bytes for each
    image of the collection and 16 for each of its noise levels.

    Args:
        model: in eval mode, on this process's device.
        images: the same on every process.
        out: a ``.csv`` or ``.parquet`` file; until it is written there is a folder ``OUT.part``.
        processes: which of them this is.
        sigmas: noise levels, standard deviations for images in [0, 1].
        weights: checksum of the model's weights: the rows of another's are refused.
        seed: the noise of image i depends on (seed, i) alone, and is scaled by sigma.
        views: over how many views of each image to average; see :func:`mszoo.inference.denoise_image`.
        resume: go on with what is there.
        progress: called after each image with the number of those that all processes have measured.

    Returns:
        The means over the images, of each noise level, as :func:`mszoo.evaluation.psnr_curve` has them; on the other
        processes an empty list.

    Raises:
        MszooError: there are rows that are not to be gone on with, or of something else.
        DataError: no image can be read.

    Example:
        >>> import tempfile
        >>> import mszoo
        >>> from mszoo.data import Photographs
        >>> from mszoo.processes import find_processes
        >>> model, images = mszoo.load("photographs-grey-fast"), Photographs(1, split="test")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     out = Path(folder) / "psnr.csv"
        ...     [row] = psnr_table(model, images, out, find_processes("cpu"), sigmas=[0.1], weights="any")
        ...     print(out.read_text().splitlines()[0], row.images)
        image,height,width,sigma,noisy,denoised 1
    """
    row = np.dtype([("image", "<i8"), ("height", "<i4"), ("width", "<i4"), ("psnr", "<f8", (len(sigmas), 2))])
    rows = Rows(Path(f"{out}.part"), processes.rank, row)
    about = {"weights": weights, "sigmas": list(sigmas), "seed": seed, "views": views}
    done = rows.begin(images, processes, about, resume)
    for i in processes.share(i for i in range(len(images)) if not done[i]):
        found = (i, 0, 0, np.zeros((len(sigmas), 2)))  # no height: broken
        for _, image in readable(images, [i]):
            found = (i, *image.shape[-2:], [psnr_of(model, image, sigma, seed, i, views) for sigma in sigmas])
        rows.add([found])
        progress(rows.count())
    processes.wait()
    if not processes.first:
        return []
    measured = rows.all(len(images))
    measured = measured[measured["height"] > 0]
    if not len(measured):
        raise DataError("there is no image that can be read")
    write_table(_described(measured, images, sigmas), out)
    rows.remove()
    count, means = len(measured), []
    for k, sigma in enumerate(sigmas):
        noisy, denoised = (sum(column) / count for column in measured["psnr"][:, k].T.tolist())
        means.append(PsnrRow(sigma, noisy, denoised, count))
    return means


def _described(measured: np.ndarray, images: ImageDataset, sigmas: Sequence[float]) -> Iterator[ImagePsnrRow]:
    for row in measured:
        for sigma, (noisy, denoised) in zip(sigmas, row["psnr"].tolist(), strict=True):
            size = int(row["height"]), int(row["width"])
            yield ImagePsnrRow(images.label(int(row["image"])), *size, sigma, noisy, denoised)
