"""A picture of any depth, with transparency and metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from mszoo.errors import DataError

__all__ = ["Metadata", "Page", "Picture", "Range"]


@dataclass(frozen=True)
class Range:
    """The stored values that are black and white: 0 and 1 of the image.

    Example:
        >>> twelve_bits = Range(0, 4095)
        >>> twelve_bits.to_unit(np.array([0, 4095], np.uint16)).tolist()
        [0.0, 1.0]
        >>> twelve_bits.to_stored(np.array([0.0, 1.0]), np.dtype(np.uint16)).tolist()
        [0, 4095]
    """

    low: float
    high: float

    def to_unit(self, stored: np.ndarray) -> np.ndarray:
        """Stored values to float32, 0 to 1 within the range."""
        if self.low == 0:
            return stored.astype(np.float32) / np.float32(self.high)
        return ((stored.astype(np.float64) - self.low) / (self.high - self.low)).astype(np.float32)

    def to_stored(self, unit: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """The inverse of values (H, ...), rounded and clipped to an integer type."""
        stored = np.empty(unit.shape, dtype)
        for top in range(0, len(unit), 256):  # some rows at a time: a large image in double precision is larger
            values = unit[top : top + 256].astype(np.float64) * (self.high - self.low) + self.low
            if dtype.kind != "f":
                limits = np.iinfo(dtype)
                values = np.clip(np.round(values), limits.min, limits.max)
            stored[top : top + 256] = values
        return stored

    def in_type(self, given: np.dtype, written: np.dtype) -> Range:
        """Black and white of values of type ``given`` that were written as another type."""
        return self if written == given else Range(0, np.iinfo(written).max)


@dataclass
class Page:
    """One image of a file.

    Attributes:
        stored: (H, W) or (H, W, 3), as stored, brought upright.
        alpha: (H, W) of the same type, or None.
        seconds: how long an animation shows it; None for a still.
    """

    stored: np.ndarray
    alpha: np.ndarray | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.stored.ndim == 3 and self.stored.shape[2] == 1:
            self.stored = self.stored[..., 0]

    def part(self, area: tuple[slice, slice]) -> Page:
        """Some rows and columns, without copying."""
        return Page(self.stored[area], None if self.alpha is None else self.alpha[area], self.seconds)

    def to_unit(self, scale: Range) -> np.ndarray:
        """(C, H, W) float32."""
        unit = scale.to_unit(self.stored)
        return unit[None] if unit.ndim == 2 else np.ascontiguousarray(np.moveaxis(unit, -1, 0))

    def with_unit(self, unit: np.ndarray, scale: Range) -> Page:
        """The same page with other colours, (C, H, W); DataError if they are not finite."""
        if not np.isfinite(unit).all():
            raise DataError("the result has values that are not finite; nothing is written")
        stored = scale.to_stored(unit[0] if len(unit) == 1 else np.moveaxis(unit, 0, -1), self.stored.dtype)
        return Page(stored, self.alpha, self.seconds)


@dataclass
class Metadata:
    """A file's metadata.

    Attributes:
        icc: the colour profile.
        exif: what the camera wrote, with the orientation reset; descriptive tags alone.
        dpi: pixels per inch, horizontally and vertically.
        resolution: of a deep TIFF file, as stored: pixels per unit in both directions, and the unit's number.
        big: a TIFF file that may need the format for more than 4 GB.
        description: of a TIFF file; microscopes keep theirs there.
        loop: how often an animation is repeated, 0 for ever; None: a still.
        lossless: a WebP image that was written without loss.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    resolution: tuple[float, float, int] | None = None
    big: bool = False
    description: str | None = None
    loop: int | None = None
    lossless: bool = False


@dataclass
class Picture:
    """An image file: its pages are read one at a time, each time they are asked for.

    Attributes:
        name: what to call it in messages.
        count: how many pages it has.
        read: reads them.
        scale: the stored values of black and white; None: those of each page's type.
        metadata: what the file says beside its pixels.
        notes: what was converted on reading, each a phrase.
    """

    name: str
    count: int
    read: Callable[[], Iterator[Page]]
    scale: Range | None = None
    metadata: Metadata = field(default_factory=Metadata)
    notes: list[str] = field(default_factory=list)

    def range_of(self, page: Page) -> Range:
        """The stored values of black and white on a page.

        Raises:
            DataError: values that are not finite, or a type with no range that everybody means: ``--range`` says it.
        """
        stored = page.stored
        dtype, (low, high) = stored.dtype, (stored.min().item(), stored.max().item())
        if dtype.kind == "f" and not np.isfinite(stored).all():
            raise DataError(f"{self.name} has values that are not finite (NaN or infinite)")
        if self.scale is not None:
            return self.scale
        if dtype.kind == "u" and dtype.itemsize <= 2:
            return Range(0, np.iinfo(dtype).max)
        if dtype.kind == "f" and -1 <= low <= high <= 2:  # noise goes beyond black and white
            return Range(0, 1)
        raise DataError(
            f"{self.name} holds {dtype} values from {low:g} to {high:g}, and does not say which are black and white; "
            f"say it with --range LOW:HIGH"
        )

    def uses_a_sliver(self, page: Page, scale: Range) -> str | None:
        """A warning if a page of more than 8 bits uses less than a sixteenth of its range."""
        low, high = page.stored.min().item(), page.stored.max().item()
        share = (high - low) / (scale.high - scale.low)
        if page.stored.dtype == np.uint8 or not 0 < share < 1 / 16:
            return None
        return (
            f"{self.name}: its values, {low:g} to {high:g}, are {100 * share:.2g}% of {scale.low:g} to {scale.high:g}; "
            f"to the model it is nearly flat. --range LOW:HIGH says which are black and white: 0:4095 for 12 bits"
        )
