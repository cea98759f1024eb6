"""What a report says, measured: denoising beside baselines, samples, log p with its ends and its maps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from mszoo.checkpoint.folder import title_of
from mszoo.data import ImageDataset, spread
from mszoo.errors import ImageSizeError, MszooError
from mszoo.evaluation.baselines import BASELINES, installed
from mszoo.evaluation.denoisers import Compared, measure
from mszoo.evaluation.evaluation import check_fits, open_images
from mszoo.evaluation.probability import ProbabilityRow, cut, probabilities
from mszoo.inference import fast, has_density, log_prob_map, sample
from mszoo.inference.likelihood import check_density
from mszoo.model import MultiScaleModel

__all__ = ["Findings", "Some", "find_out"]

_SAMPLES, _SIDE = 4, 64
_ENDS = 6  # how many of the least and of the most probable images are shown


@dataclass(frozen=True)
class Findings:
    """What was found out.

    Attributes:
        model: that was asked.
        compared: its denoising and the baselines', the model first; empty if it was not measured.
        samples: images (C, H, W) that it drew; empty if it draws none.
        sampling_seconds: of all of them.
        rows: log p of every image, the most probable first; empty without a density.
        ends: the most probable images with their rows, and the least probable.
        maps: of the most and of the least probable image: its row, the image, and the shares of each scale.
        left_out: for each part that does not apply, why.
    """

    model: MultiScaleModel
    compared: list[Compared]
    samples: list[Tensor]
    sampling_seconds: float
    rows: list[ProbabilityRow]
    ends: list[list[tuple[ProbabilityRow, Tensor]]]
    maps: list[tuple[ProbabilityRow, Tensor, list[Tensor]]]
    left_out: dict[str, str]


class Some(ImageDataset):
    """Some of the images of a data set, evenly spaced over it.

    Args:
        images: all of them.
        most: how many at most.

    Example:
        >>> from mszoo.evaluation import open_images
        >>> len(Some(open_images(None, channels=1), most=8))  # there is one
        1
    """

    def __init__(self, images: ImageDataset, most: int) -> None:
        super().__init__(images.channels)
        self._images, self._chosen = images, spread(len(images), most)

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, i: int) -> Tensor:
        """See :meth:`ImageDataset.__getitem__`."""
        return self._images[self._chosen[i]]

    def size(self, i: int) -> tuple[int, int]:
        """See :meth:`ImageDataset.size`."""
        return self._images.size(self._chosen[i])

    def label(self, i: int) -> str:
        """See :meth:`ImageDataset.label`."""
        return self._images.label(self._chosen[i])


def find_out(
    name: str,
    data: str | Path | None,
    sigmas: Sequence[float],
    *,
    beside: Sequence[str] | None = None,
    most: int = 8,
    seed: int = 0,
    device: str = "cpu",
    tell: Callable[[str], object] = lambda text: None,
) -> Findings:
    """Measure all that a report says of a model.

    Args:
        name: of the model, as :func:`mszoo.load` takes it.
        data: a folder, zip file, glob or file of images; None: the photograph that comes for tests.
        sigmas: noise levels, standard deviations for images in [0, 1].
        beside: baselines (:mod:`mszoo.evaluation.baselines`) and other models to hold it against; None: all baselines
            that are installed.
        most: denoise so many of the images, evenly spaced; log p is measured of all.
        seed: of the noise, and of the samples.
        device: where the model computes.
        tell: called with what is measured next.

    Raises:
        DataError: there are no images.
        ImageSizeError: of another number of channels than the model's.
        CheckpointError, HubError: there is no such model.
    """
    model = fast(MultiScaleModel.from_pretrained(name, device=device))
    images = open_images(data, model.channels)
    check_fits(model, images)
    left_out: dict[str, str] = {}
    others = [one for one in BASELINES if installed(one)] if beside is None else beside
    compared = _denoising([name, *others], Some(images, most), sigmas, seed, device, tell, left_out)
    tell("samples")
    began = time.perf_counter()
    samples = _samples(model, seed, left_out)
    seconds = time.perf_counter() - began
    if beside is None and not installed("bm3d"):
        left_out["denoising by bm3d"] = "pip install 'mszoo[bench]'"
    found = _probabilities(model, images, data, tell, left_out)
    rows = [row for row, _ in found]
    ends = [found[:_ENDS], found[-_ENDS:]] if len(found) > _ENDS else [found] * bool(found)
    shown = [[(row, images[i]) for row, i in end] for end in ends]
    maps = []
    for row, i in {row.image: (row, i) for row, i in found[:1] + found[-1:]}.values():
        image = cut(images[i], model.unit)
        with torch.no_grad():
            shares = [share[0].cpu() for share in log_prob_map(model, image[None].to(model.device))]
        maps.append((row, image, shares))
    return Findings(model, compared, samples, seconds, rows, shown, maps, left_out)


def _denoising(
    names: Sequence[str],
    images: ImageDataset,
    sigmas: Sequence[float],
    seed: int,
    device: str,
    tell: Callable[[str], object],
    left_out: dict[str, str],
) -> list[Compared]:
    compared = []
    for one in names:
        tell(f"denoising by {title_of(one)}")
        try:
            compared.append(measure(one, images, sigmas, seed, device))
        except MszooError as error:
            left_out[f"denoising by {title_of(one)}"] = str(error)
            if one == names[0]:
                return []
    return compared


def _samples(model: MultiScaleModel, seed: int, left_out: dict[str, str]) -> list[Tensor]:
    side = min([_SIDE, *(model.trained_size or ())])  # a network that sees the whole image draws others badly
    side = -(-side // model.unit) * model.unit
    try:
        return list(sample(model, _SAMPLES, side, generator=seed).cpu())
    except MszooError as error:
        left_out["samples"] = str(error)
        return []


def _probabilities(
    model: MultiScaleModel,
    images: ImageDataset,
    data: str | Path | None,
    tell: Callable[[str], object],
    left_out: dict[str, str],
) -> list[tuple[ProbabilityRow, int]]:
    """Rows of all images and their numbers, the most probable first."""
    if not has_density(model):
        try:
            check_density(model)
        except MszooError as error:
            left_out["log p, its histogram and its maps"] = str(error)
        return []
    numbers = {images.label(i): i for i in range(len(images))}
    found = []
    try:
        for k, row in enumerate(probabilities(model, images), 1):
            tell(f"log p of {k} of {len(images)} images")
            found.append((replace(row, image=_within(data, row.image)), numbers[row.image]))
    except ImageSizeError as error:
        left_out["log p, its histogram and its maps"] = str(error)
    finite = [(row, i) for row, i in found if row.db_per_dim - row.db_per_dim == 0]
    if len(finite) < len(found):
        left_out["log p of some images"] = f"{len(found) - len(finite)} of {len(found)} have no finite one"
    return sorted(finite, key=lambda one: one[0].db_per_dim, reverse=True)


def _within(data: str | Path | None, label: str) -> str:
    """What to call an image within its folder: where that is on this computer is nobody else's business."""
    within = label.removeprefix(str(data)).lstrip("/\\")
    return within if within and within != label.lstrip("/\\") else Path(label).name
