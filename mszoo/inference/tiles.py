"""Energies of large images in tiles, to bound the memory.

A place's share in the energy depends on what is near it. A tile that sees as far around itself as that reaches has the
same shares as the whole image, up to rounding; at the image's border it ends where the image does.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mszoo.heads import EnergyHead

__all__ = ["TILE", "energy_map", "total_energy"]

TILE = 512  # places of a scale on each side


def total_energy(head: EnergyHead, y: Tensor, t: Tensor, cond: Tensor | None) -> Tensor:
    """``head.energy(y, t, cond)``, (B,), of a large image in tiles.

    Args:
        head: whose energy it is.
        y, t, cond: as the head takes them.
    """
    if not _is_cut(head, y):
        return head.energy(y, t, cond)
    return torch.stack([part.flatten(1).sum(1) for row in _tiles(head, y, t, cond) for part in row]).sum(0)


def energy_map(head: EnergyHead, y: Tensor, t: Tensor, cond: Tensor | None) -> Tensor:
    """``head.energy_map(y, t, cond)``, (B, H, W), of a large image in tiles.

    Args:
        head: whose energy it is.
        y, t, cond: as the head takes them.
    """
    if not _is_cut(head, y):
        return head.energy_map(y, t, cond)
    return torch.cat([torch.cat(row, -1) for row in _tiles(head, y, t, cond)], -2)


def _is_cut(head: EnergyHead, y: Tensor) -> bool:
    return head.has_map and head.map_reach is not None and max(y.shape[-2:]) > TILE + 2 * head.map_reach


def _tiles(head: EnergyHead, y: Tensor, t: Tensor, cond: Tensor | None) -> list[list[Tensor]]:
    """Maps of the tiles, in rows."""
    assert head.map_reach is not None
    unit = math.lcm(head.conditioner.unit, head.conditioner.stride)
    side, margin = max(1, TILE // unit) * unit, -(-head.map_reach // unit) * unit
    height, width = y.shape[-2:]
    rows: list[list[Tensor]] = []
    for top in range(0, height, side):
        row: list[Tensor] = []
        for left in range(0, width, side):
            first_row, first_column = max(0, top - margin), max(0, left - margin)
            window = ..., slice(first_row, top + side + margin), slice(first_column, left + side + margin)
            seen = head.energy_map(y[window], t, None if cond is None else cond[window])
            above, before = top - first_row, left - first_column
            row.append(seen[..., above : above + side, before : before + side])
        rows.append(row)
    return rows
