"""How the plots of every verb are written: their format and size."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mszoo.errors import MszooError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FigureFormat", "FigureFormatAlone", "FigureSize", "Figures", "Format"]

_FORMAT = "Of plots: png (300 dpi), or vectors as pdf or svg."
_LARGEST = 50  # inches, 15,000 pixels


class Format(str, Enum):
    """Of plots."""

    png = "png"
    pdf = "pdf"
    svg = "svg"


FigureFormat = Annotated[Format, typer.Option("--format", "--figure-format", help=_FORMAT)]
FigureFormatAlone = Annotated[Format, typer.Option("--figure-format", help=_FORMAT)]  # where --format is a table's
FigureSize = Annotated[
    str | None,
    typer.Option(metavar="WxH", help="Width and height of plots in inches, as 6x4; by default each has its own."),
]


@dataclass(frozen=True)
class Figures:
    """Format and size of the plots of one command.

    Attributes:
        format: png, pdf or svg.
        size: width and height in inches; None: each figure's own.
    """

    format: str
    size: tuple[float, float] | None

    @classmethod
    def of(cls, format: Format, size: str | None) -> Figures:
        """By the options ``--format`` and ``--figure-size``.

        Raises:
            MszooError: the size is none.
        """
        if size is None:
            return cls(format.value, None)
        if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?[xX][0-9]{1,3}(\.[0-9]{1,3})?", size):
            raise MszooError(f"--figure-size: {size[:40]!r} is no width and height in inches; write 6x4")
        width, height = map(float, size.lower().split("x"))
        if not (1 <= width <= _LARGEST and 1 <= height <= _LARGEST):
            raise MszooError(f"--figure-size: {size}: each side must be 1 to {_LARGEST} inches")
        return cls(format.value, (width, height))

    def name(self, stem: str) -> str:
        """The file of a plot."""
        return f"{stem}.{self.format}"

    def write(self, figure: Figure, path: Path) -> None:
        """Write a plot, in the size that was asked for. What shows images keeps its own: save that by itself."""
        from mszoo.evaluation.plots import save_figure

        if self.size is not None:
            figure.set_size_inches(self.size)
        save_figure(figure, path)
