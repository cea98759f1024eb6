"""Which images a step sees, and how they are cut: a function of (seed, step) alone.

The training set is an endless stream: one shuffled pass after another. Step k takes the samples k B ... (k + 1) B - 1
of it, whatever the number of processes, and a resumed run starts at its step without reading what came before. An image
that cannot be used when its turn comes is replaced by one that is drawn by (seed, step, its place in the stream).

A set that is fetched block by block is shuffled so that a pass goes through its blocks, in a random order, some at a
time: the images of these among each other.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from mszoo.data import LOOKED_AT, Blocks, ImageDataset, spread
from mszoo.errors import DataError, TrainingError
from mszoo.randomness import Draw, keyed_generator
from mszoo.recipe import DatasetConfig, TrainingConfig

__all__ = ["Batches", "choose"]

_ORDER, _CUT, _INSTEAD = -1, -2, -3  # streams of random numbers, apart from those of the scales
_ATTEMPTS = 100  # images that are tried for one place
_SOME = 1000  # images of a large set that are looked at before any is used
_NAMED = 20  # of those that cannot be used, how many are named

# A cut image, its step, its index in the stream, and why the images before it could not be used.
_Sample = tuple[Tensor, int, int, list[str]]


def choose(images: Sequence[int], config: DatasetConfig) -> list[int]:
    """Which of the images are used: those of ``part``, at most ``limit``. Raises :class:`DataError` if none is."""
    first, parts = config.part or (0, 1)
    part = images[first::parts]
    if not part:
        raise DataError(f"part: [{first}, {parts}] is empty: the set has {len(images)} image(s)")
    return [part[i] for i in spread(len(part), config.limit)]


class Batches:
    """The batches of a run, for one of its processes.

    Args:
        dataset: full images.
        cut: ``crop``, ``zoom``, ``flip``, ``dequantize``, ``part`` and ``limit``.
        training: ``batch_size``, ``accumulate``, ``seed`` and ``workers``.
        rank, processes: which share of each batch to read.

    Attributes:
        replaced: how many images could not be used so far, and were replaced; the first are named in warnings.

    Raises:
        TrainingError: the batch cannot be shared evenly.
        DataError: no image can be used.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        cut: DatasetConfig,
        training: TrainingConfig,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        shares = training.accumulate * processes
        if training.batch_size % shares:
            raise TrainingError(
                f"batch_size {training.batch_size} cannot be shared by {processes} processes in "
                f"{training.accumulate} parts each; make it a multiple of {shares}"
            )
        self._cuts = _Cuts(dataset, cut, training.seed)
        self._training, self._rank, self._processes = training, rank, processes
        self.replaced = 0
        self._named: set[str] = set()

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Heights and widths of what steps see, each once: the crop's, or without one those of the images looked at."""
        return self._cuts.sizes()

    @property
    def together(self) -> int:
        """Images in one forward pass."""
        return self._training.batch_size // (self._training.accumulate * self._processes)

    def first(self) -> Tensor:
        """The first image (C, H, W) of the first step, cut."""
        return self._cuts[0, 0][0]

    def whole(self) -> Batches:
        """The same batches, undivided: alike on every process."""
        undivided = copy.copy(self)  # with a count of its own, and the same names
        undivided._rank, undivided._processes = 0, 1
        return undivided

    def steps(self, start: int, stop: int) -> Iterator[tuple[Tensor, Draw]]:
        """Images (B, C, H, W) and random numbers of steps start ... stop - 1, ``accumulate`` parts for each.

        ``training.workers`` are forked where that is the system's way. A forked child of a process that has computed
        with several threads hangs as soon as it does so itself; these compute with one, as torch sets it in each.
        """
        training = self._training
        shares = _Shares(start, stop, training.batch_size, training.accumulate, self._rank, self._processes)
        loader = DataLoader(
            self._cuts,
            batch_sampler=shares,
            num_workers=training.workers,
            collate_fn=_stack,
            generator=torch.Generator(),  # else the loader draws its workers' seed from the user's generator
        )
        for images, step, indices, faults in loader:
            self._note(faults)
            yield images, Draw(training.seed, step, indices)

    def _note(self, faults: list[str]) -> None:
        """Count images that could not be used, and name each of the first once."""
        self.replaced += len(faults)
        for fault in faults:
            if fault not in self._named and len(self._named) < _NAMED:
                self._named.add(fault)
                more = " (more are counted, and not named)" if len(self._named) == _NAMED else ""
                warnings.warn(f"replaced by another image: {fault}{more}", stacklevel=3)


class _Shares(Sampler[list[tuple[int, int]]]):
    """Lists of (step, index in the stream), one list for each part of each step."""

    def __init__(self, start: int, stop: int, size: int, parts: int, rank: int, processes: int) -> None:
        self._steps, self._size, self._parts = range(start, stop), size, parts
        self._rank, self._processes = rank, processes

    def __len__(self) -> int:
        return len(self._steps) * self._parts

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        share = self._size // (self._parts * self._processes)
        for step in self._steps:
            for part in range(self._parts):
                first = step * self._size + (part * self._processes + self._rank) * share
                yield [(step, index) for index in range(first, first + share)]


class _Cuts(Dataset[_Sample]):
    """Random crops, magnifications and flips of the stream's images."""

    def __init__(self, dataset: ImageDataset, cut: DatasetConfig, seed: int) -> None:
        self._dataset, self._crop, self._zoom, self._flip = dataset, cut.crop, cut.zoom, cut.flip
        self._dequantize = cut.dequantize
        self._seed = seed
        self._least = 1.0 if cut.crop is None else cut.crop / (cut.zoom[1] if cut.zoom else 1)
        self._used = np.asarray(choose(self._large_enough(), cut))
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def sizes(self) -> list[tuple[int, int]]:
        if self._crop is not None:
            return [(self._crop, self._crop)]
        numbers = _looked_at(self._used, self._dataset.blocks)
        return list(dict.fromkeys(size for size in map(self._size, numbers) if isinstance(size, tuple)))

    def _large_enough(self) -> Sequence[int]:
        """The images that a crop fits into; the others are named once. Of a large set, all, and some are looked at."""
        count, blocks = len(self._dataset), self._dataset.blocks
        if self._crop is None:
            return range(count)
        fits, small, broken = [], [], []
        for i in _looked_at(np.arange(count), blocks):
            size = self._size(i)
            group = broken if isinstance(size, str) else fits if min(size) >= self._least else small
            group.append(i)
        if not fits:
            raise DataError(f"no training image is as large as data.train.crop: {self._crop}; use a smaller crop")
        if count > LOOKED_AT or blocks is not None:  # the others are found when their turn comes
            return range(count)
        if small:
            shown = ", ".join(map(self._dataset.label, small[:5])) + (", ..." if len(small) > 5 else "")
            warnings.warn(f"{len(small)} image(s) smaller than crop: {self._crop} left out: {shown}", stacklevel=2)
        for i in broken:
            warnings.warn(f"skipped: {self._size(i)}", stacklevel=2)
        return fits

    def _size(self, i: int) -> tuple[int, int] | str:
        """Of an image; or why it cannot be read."""
        try:
            return self._dataset.size(i)
        except DataError as error:
            return str(error)

    def _shuffled(self, epoch: int) -> Tensor:
        generator, blocks = keyed_generator(self._seed, epoch, _ORDER), self._dataset.blocks
        order = torch.randperm(len(self._used), generator=generator)
        if blocks is None:
            return order
        turns = torch.randperm(len(blocks.ends), generator=generator).numpy() // blocks.together
        block = np.searchsorted(blocks.ends, self._used[order.numpy()], side="right")
        return order[torch.from_numpy(np.argsort(turns[block], kind="stable"))]

    def __getitem__(self, key: tuple[int, int]) -> _Sample:
        step, index = key
        image, faults = self._usable(step, index)
        generator = keyed_generator(self._seed, step, _CUT, index)
        if self._crop is not None:
            height, width = image.shape[-2:]
            side = self._side(min(height, width), generator)
            top = int(torch.randint(height - side + 1, (), generator=generator))
            left = int(torch.randint(width - side + 1, (), generator=generator))
            image = image[..., top : top + side, left : left + side]
            if side != self._crop:
                image = F.interpolate(image[None], size=(self._crop, self._crop), mode="bicubic", antialias=True)[0]
                image = image.clamp(0, 1)
        if self._flip and torch.rand((), generator=generator) < 0.5:
            image = image.flip(-1)
        if self._dequantize:
            image = image + (torch.rand(image.shape, generator=generator) - 0.5) / 255
        return image, step, index, faults

    def _usable(self, step: int, index: int) -> tuple[Tensor, list[str]]:
        """The image at a place of the stream, or the first after it that can be used; and what is wrong with others."""
        epoch, position = divmod(index, len(self._used))
        which, faults = int(self._order(epoch)[position]), []
        while len(faults) < _ATTEMPTS:
            number = int(self._used[which])
            try:
                image = self._dataset[number]
                height, width = image.shape[-2:]
                if min(height, width) >= self._least:
                    return image, faults
                faults.append(f"{self._dataset.label(number)} is {height}x{width}, smaller than crop: {self._crop}")
            except DataError as error:
                faults.append(str(error))
            generator = keyed_generator(self._seed, step, _INSTEAD, index, len(faults))
            which = int(torch.randint(len(self._used), (), generator=generator))
        raise DataError(f"of {_ATTEMPTS} training images, drawn at random, none can be used: {faults[-1]}")

    def _side(self, largest: int, generator: torch.Generator) -> int:
        """Side of the square that becomes a crop."""
        assert self._crop is not None
        if self._zoom is None:
            return self._crop
        least, greatest = (math.log(zoom) for zoom in self._zoom)
        least = max(least, math.log(self._crop / largest))
        zoom = math.exp(least + (greatest - least) * float(torch.rand((), generator=generator)))
        return min(max(round(self._crop / zoom), 1), largest)

    def __getstate__(self) -> dict[str, Any]:  # for workers that are spawned
        return {k: v for k, v in self.__dict__.items() if k != "_order"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._order = lru_cache(maxsize=2)(self._shuffled)


def _stack(samples: list[_Sample]) -> tuple[Tensor, int, list[int], list[str]]:
    images, steps, indices, faults = zip(*samples, strict=True)
    sizes = sorted({tuple(i.shape[-2:]) for i in images})
    if len(sizes) > 1:
        shown = ", ".join(f"{h}x{w}" for h, w in sizes[:4])
        raise DataError(f"training images of different sizes ({shown}) make no batch; set crop under data.train")
    return torch.stack(images), steps[0], list(indices), [fault for several in faults for fault in several]


def _looked_at(numbers: np.ndarray, blocks: Blocks | None) -> list[int]:
    """Which of the images are looked at before any is used: all, or some of many; or else those of the first block."""
    if blocks is not None:
        first = np.searchsorted(blocks.ends, numbers[0], side="right")
        numbers = numbers[: np.searchsorted(numbers, blocks.ends[first])]
    count = len(numbers)
    return [int(numbers[k]) for k in spread(count, count if count <= LOOKED_AT else _SOME)]
