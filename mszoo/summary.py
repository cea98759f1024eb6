"""What a model is made of, scale by scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from mszoo.heads import Head

__all__ = ["COLUMNS", "ScaleSummary", "summarize"]

COLUMNS = ("scale", "conditioner", "receptive field", "head", "parameters")


@dataclass(frozen=True)
class ScaleSummary:
    """One scale.

    Attributes:
        scale: ``0 (details)`` is the finest; the last is ``(coarse)``.
        conditioner, head: their registered names; of parts that were built directly, their classes'.
        receptive_field: side of the neighbourhood that the network sees, in its coefficients; None: the whole image.
        parameters: how many it has.
    """

    scale: str
    conditioner: str
    receptive_field: int | None
    head: str
    parameters: int

    @property
    def cells(self) -> tuple[str, ...]:
        """As text, under :data:`COLUMNS`."""
        field = "whole image" if self.receptive_field is None else str(self.receptive_field)
        return self.scale, self.conditioner, field, self.head, f"{self.parameters:,}"


def summarize(scales: Sequence[Head]) -> list[ScaleSummary]:
    """A row for each scale, finest first."""
    rows = []
    for j, head in enumerate(scales):
        kind = "details" if j < len(scales) - 1 else "coarse"
        count = sum(p.numel() for p in head.parameters())
        network = _name(head.conditioner)
        rows.append(ScaleSummary(f"{j} ({kind})", network, head.receptive_field, _name(head), count))
    return rows


def _name(module: nn.Module) -> str:
    part = getattr(module, "part", None)
    return type(module).__name__ if part is None else part.name
