"""The contract of a data set: whole images in a fixed order, also in another process."""

from __future__ import annotations

import pickle

import torch

from mszoo.data import ImageDataset
from mszoo.errors import MszooError
from mszoo.testing.kit import Check, ContractError, Subject, require

__all__ = ["CHECKS"]

_WHERE = "mszoo.data.ImageDataset"
_LOOKED_AT = 4


def gives_images(subject: Subject) -> None:
    """An item is (C, H, W) float32 in [0, 1], finite, of the channels asked for."""
    for channels in (1, 3):
        try:
            images = subject.make(channels)
        except MszooError:
            if channels == 1:
                raise
            continue
        require(len(images) > 0, "it is empty", _WHERE)
        for i in range(min(_LOOKED_AT, len(images))):
            x = images[i]
            shape = tuple(x.shape)
            require(x.ndim == 3 and shape[0] == channels, f"image {i} is {shape}, not ({channels}, H, W)", _WHERE)
            require(x.dtype == torch.float32, f"image {i} is {x.dtype}, not float32", _WHERE)
            low, high = float(x.min()), float(x.max())
            require(0 <= low <= high <= 1, f"image {i} has values from {low:g} to {high:g}, outside [0, 1]", _WHERE)


def gives_the_same_again(subject: Subject) -> None:
    """Image i is the same at every call, and in another data set made alike."""
    one, other = subject.make(1), subject.make(1)
    for i in range(min(_LOOKED_AT, len(one))):
        same = torch.equal(one[i], one[i]) and torch.equal(one[i], other[i])
        require(same, f"image {i} is not the same at every call", f"{_WHERE}.__getitem__")


def ends(subject: Subject) -> None:
    """Past the end there is an IndexError, and iterating gives every image once."""
    images = subject.make(1)
    try:
        images[len(images)]
    except IndexError:
        pass
    else:
        require(False, "there is an image past the end, not an IndexError", f"{_WHERE}.__getitem__")


def knows_sizes(subject: Subject) -> None:
    """size(i) is the height and width of image i."""
    images: ImageDataset = subject.make(1)
    for i in range(min(_LOOKED_AT, len(images))):
        size, true = tuple(images.size(i)), tuple(images[i].shape[-2:])
        require(size == true, f"image {i} is {true}, and size says {size}", f"{_WHERE}.size")


def has_labels(subject: Subject) -> None:
    """label(i) is a text, another for another image."""
    images = subject.make(1)
    labels = [images.label(i) for i in range(min(_LOOKED_AT, len(images)))]
    require(all(isinstance(text, str) and text for text in labels), f"labels are {labels}", f"{_WHERE}.label")
    require(len(set(labels)) == len(labels), f"two images have one label: {labels}", f"{_WHERE}.label")


def has_blocks_that_cover_it(subject: Subject) -> None:
    """blocks, where there are any, end one after the other, the last one where the data set ends."""
    images: ImageDataset = subject.make(1)
    if images.blocks is not None:
        ends, together = [0, *map(int, images.blocks.ends)], images.blocks.together
        require(ends == sorted(ends), f"its blocks end at {ends[1:9]}, not in order", f"{_WHERE}.blocks")
        require(ends[-1] == len(images), f"its blocks end at {ends[-1]}, it at {len(images)}", f"{_WHERE}.blocks")
        require(together >= 1, f"{together} blocks are to be shuffled among each other", f"{_WHERE}.blocks")


def travels_to_workers(subject: Subject) -> None:
    """It can be pickled, after use too, and gives the same images: training reads it in worker processes."""
    images = subject.make(1)
    first = images[0]
    try:
        travelled = pickle.loads(pickle.dumps(images))  # our own, just made
    except Exception as error:
        raise ContractError(f"it cannot be pickled: {error} (the contract: {_WHERE})") from None
    require(torch.equal(travelled[0], first), "its pickled copy gives another image", _WHERE)


CHECKS: tuple[Check, ...] = (
    gives_images,
    gives_the_same_again,
    ends,
    knows_sizes,
    has_labels,
    has_blocks_that_cover_it,
    travels_to_workers,
)
