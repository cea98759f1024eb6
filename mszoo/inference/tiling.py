"""Cut a large image into tiles, each with as much around it as a network reaches: memory is bounded, no seam shows."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Tile", "tiles"]

Area = tuple[slice, slice]


@dataclass(frozen=True)
class Tile:
    """A rectangle of an image, by its rows and columns; tiles do not overlap.

    Attributes:
        area: of the image, what the tile is responsible for.
        around: of the image, what the network must be given for it.
        within: of what the network gives back, the tile.
    """

    area: Area
    around: Area
    within: Area


def tiles(height: int, width: int, side: int | None, reach: int | None, grid: int) -> list[Tile]:
    """The tiles of an image, row by row; one where the image is not much larger, or all of it is seen at once.

    Args:
        height, width: of the image, in pixels.
        side: of a tile, rounded to the grid; None: one tile.
        reach: pixels to each side that one of the result depends on; None: the whole image.
        grid: at multiples of it a tile may begin.

    Example:
        >>> [tile.area for tile in tiles(768, 1200, side=768, reach=53, grid=4)]
        [(slice(0, 768, None), slice(0, 768, None)), (slice(0, 768, None), slice(768, 1200, None))]
    """
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
