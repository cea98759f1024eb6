"""Cut a large image into tiles, each with as much around it as a model reaches: they bound memory, and do not show."""

from __future__ import annotations

from dataclasses import dataclass

from mszoo.model import MultiScaleModel

__all__ = ["Tile", "tiles"]

Area = tuple[slice, slice]


@dataclass(frozen=True)
class Tile:
    """A rectangle of an image, by its rows and columns; tiles do not overlap.

    Attributes:
        area: of the image, what the tile is responsible for.
        around: of the image, what the model must be given for it.
        within: of what the model gives back, the tile.
    """

    area: Area
    around: Area
    within: Area


def tiles(model: MultiScaleModel, height: int, width: int, side: int | None) -> list[Tile]:
    """The tiles of an image, row by row; one where the image is not much larger, or the model sees the whole of it.

    Args:
        model: whose reach and grid they respect.
        height, width: of the image, in pixels.
        side: of a tile, rounded to the model's grid; None: one tile.

    Example:
        >>> import mszoo
        >>> [tile.area for tile in tiles(mszoo.load("photographs-grey"), 768, 1200, side=768)]
        [(slice(0, 768, None), slice(0, 768, None)), (slice(0, 768, None), slice(768, 1200, None))]
    """
    reach, grid = model.reach, model.grid
    if side is None or reach is None or max(height, width) <= side + 2 * reach:
        whole = slice(0, height), slice(0, width)
        return [Tile(whole, whole, whole)]
    side, margin = max(grid, side // grid * grid), -(-reach // grid) * grid
    rows, columns = _cut(height, side, margin), _cut(width, side, margin)
    return [Tile(*zip(row, column, strict=True)) for row in rows for column in columns]


def _cut(length: int, side: int, margin: int) -> list[tuple[slice, slice, slice]]:
    """Area, around and within along one axis."""
    parts = []
    for start in range(0, length, side):
        end, first = min(start + side, length), max(0, start - margin)
        parts.append((slice(start, end), slice(first, min(end + margin, length)), slice(start - first, end - first)))
    return parts
