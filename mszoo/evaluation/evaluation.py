"""The whole evaluation of a model: how well it denoises and, where it is a density, how probable images are."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mszoo.data import ImageDataset, ImageFolder, Photographs
from mszoo.errors import ImageSizeError
from mszoo.evaluation.denoising import PsnrRow, psnr_curve
from mszoo.evaluation.probability import large_enough, shared_probabilities
from mszoo.evaluation.results import LONGEST_NAME, Likelihood, Result, likelihood_of
from mszoo.inference import has_density
from mszoo.model import MultiScaleModel
from mszoo.processes import ALONE, Processes
from mszoo.recipe import SIGMAS
from mszoo.text import one_line

__all__ = ["Evaluation", "check_fits", "evaluate", "name_of", "open_images"]

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Evaluation:
    """How good a model is on one data set.

    Attributes:
        psnr: of its estimates, for each noise level.
        likelihood: mean log p; None for a model without a density, or images that it cannot split.
        seconds: wall-clock time of one process for an image at each noise level, the mean.
    """

    psnr: Result
    likelihood: Likelihood | None
    seconds: list[float]

    @property
    def results(self) -> list[Result | Likelihood]:
        """What a checkpoint keeps; see :func:`mszoo.evaluation.write_result`."""
        return [self.psnr] if self.likelihood is None else [self.psnr, self.likelihood]


def evaluate(
    model: MultiScaleModel,
    data: ImageDataset | str | Path | None = None,
    *,
    sigmas: Sequence[float] = SIGMAS,
    seed: int = 0,
    views: int = 1,
    name: str | None = None,
    progress: Progress | None = None,
    processes: Processes = ALONE,
) -> Evaluation:
    """Measure a model: PSNR of its estimates at several noise levels and, where it has a density, log p.

    The model is used as it is: give ``mszoo.inference.fast(model)`` to have it quicker. Several processes that call it
    together share the images, and each has the whole result, to the last bit that of one.

    Args:
        model: in eval mode.
        data: a data set, or a folder, zip file, glob or file of images; None: the photograph that comes for tests. A
            grey model takes each channel of a colour data set as an image of its own (and tells no log p of them).
        sigmas: noise levels, standard deviations for images in [0, 1].
        seed: the noise of image i depends on (seed, i) alone, and is scaled by sigma.
        views: over how many views of each image to average; see :func:`mszoo.inference.denoise_image`.
        name: what to call the data in results; None: the path's last part without its suffix, or the data set's name.
        progress: called with the images measured so far, and with how many there will be; of several processes, each
            takes the others to be as far as itself.
        processes: which of them this is; the model is on its device.

    Raises:
        DataError: there are no images.
        ImageSizeError: of another number of channels than the model's; nothing is measured then.

    Example:
        >>> import mszoo
        >>> from mszoo.evaluation import evaluate
        >>> found = evaluate(mszoo.load("photographs-haar-rf13"), sigmas=[0.1])
        >>> [row] = found.psnr.rows
        >>> row.noisy < 21 < 29 < row.denoised
        True
    """
    images = data if isinstance(data, ImageDataset) else open_images(data, model.channels)
    check_fits(model, images)
    called = name_of(data) if name is None else one_line(name)[:LONGEST_NAME]
    with processes.one_voice():
        dense = has_density(model) and images.channels == model.channels and _any_fits(model, images)
    total, done = len(images) * (len(sigmas) + dense), iter(range(1, len(images) * (len(sigmas) + 1) + 1))

    def advance() -> None:
        if progress is not None:
            progress(min(next(done) * processes.count, total), total)

    rows: list[PsnrRow] = []
    seconds: list[float] = []
    began = time.perf_counter()
    for row in psnr_curve(model, images, sigmas, seed, views, advance, processes=processes):
        rows.append(row)
        now = time.perf_counter()
        seconds.append((now - began) * processes.count / row.images)
        began = now
    measured = shared_probabilities(model, images, processes, advance=advance) if dense else None
    likelihood = None if measured is None else likelihood_of(called, measured)
    return Evaluation(Result(called, seed, rows, views), likelihood, seconds)


def open_images(data: str | Path | None, channels: int) -> ImageDataset:
    """A folder, zip file, glob or file of images as a data set; None: the photograph that comes for tests.

    Example:
        >>> open_images(None, channels=1)[0].shape
        torch.Size([1, 512, 512])
    """
    if data is None:
        return Photographs(channels, split="test")
    return ImageFolder(channels, path=str(data))


def check_fits(model: MultiScaleModel, images: ImageDataset) -> None:
    """Raise :class:`ImageSizeError` for images of channels that the model cannot take.

    Example:
        >>> import mszoo
        >>> check_fits(mszoo.load("photographs-haar-rf13"), open_images(None, channels=3))  # grey: channel by channel
        >>> check_fits(mszoo.load("photographs-colour-fast"), open_images(None, channels=1))
        Traceback (most recent call last):
        ...
        mszoo.errors.ImageSizeError: this model takes 3 channels, the images have 1; measure it on others
    """
    if model.channels not in (1, images.channels):
        raise ImageSizeError(
            f"this model takes {model.channels} channels, the images have {images.channels}; measure it on others"
        )


def name_of(data: ImageDataset | str | Path | None) -> str:
    """What results call a data set that came to :func:`evaluate` without a name.

    Example:
        >>> name_of("data/set12.zip")
        'set12'
    """
    if data is None:
        name = "photographs"
    elif isinstance(data, ImageDataset):
        part = getattr(data, "part", None)
        name = type(data).__name__ if part is None else part.name
    else:
        path = Path(data)
        name = path.stem or path.resolve().stem or "images"
    return one_line(name)[:LONGEST_NAME]


def _any_fits(model: MultiScaleModel, images: ImageDataset) -> bool:
    """Whether the model can split any of the images; if not, a warning says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each small image is named when it is skipped
        try:
            return bool(large_enough(images, model.unit))
        except ImageSizeError as error:
            reason = str(error)
    warnings.warn(f"log p is not measured: {reason}", stacklevel=3)
    return False
