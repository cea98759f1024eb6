"""Masks: which pixels of an image are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mszoo.errors import DataError, ImageSizeError
from mszoo.pictures.reading import open_picture

__all__ = ["read_mask"]


def read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """A mask from an image file: white pixels are known; black or transparent ones are holes.

    Of an image with two values the larger is known, so that 0 and 1 serve as well as 0 and 255; of one with more
    values, what is above half of white. Transparency counts where the colour says nothing.

    Args:
        path: the image file.
        size: height and width that it must have.

    Returns:
        (H, W) bool, true where the pixel is known.

    Raises:
        DataError: not an image, or it is not clear what is known, or all or nothing is.
        ImageSizeError: another size.
    """
    picture = open_picture(path)
    if picture.count > 1:
        raise DataError(f"the mask {path} has {picture.count} pages; save the one that is meant")
    page = next(picture.read())
    values = page.stored.astype(np.float64)
    values = values.mean(-1) if values.ndim == 3 else values
    if values.shape != size:
        raise ImageSizeError(f"the mask is {values.shape}, the image {size}: they must be the same")
    opaque = page.alpha is None or bool((page.alpha == page.alpha.flat[0]).all())
    levels = np.unique(values)
    if not opaque:
        alpha = np.asarray(page.alpha)
        if len(levels) > 1:
            visible = np.unique(values[alpha > 0])
            if len(visible) > 1:
                raise DataError(
                    f"the mask {path} has both holes by colour and by transparency; save it with one of them"
                )
        return alpha > alpha.max() / 2
    if len(levels) == 1:
        visible = levels[0] > 0 and (page.alpha is None or page.alpha.flat[0] > 0)
        known = "all pixels are known" if visible else "no pixel is known"
        raise DataError(f"the mask {path} has one value: {known}, and there is nothing to solve")
    if len(levels) == 2:
        return values == levels[1]
    half = picture.range_of(page).high / 2
    if levels[-1] <= half:
        raise DataError(
            f"the mask {path} has values up to {levels[-1]:g} of {2 * half:g}: make it white where pixels are known"
        )
    return values > half
