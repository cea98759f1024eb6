"""Energies of large images in tiles, to bound the memory.

A place's share in the energy depends on what is near it. A tile that sees as far around itself as that reaches has the
same shares as the whole image, up to rounding; at the image's border it ends where the image does.
"""

from __future__ import annotations

import math
from itertools import groupby
from operator import itemgetter

import torch
from torch import Tensor

from mszoo.heads import EnergyHead
from mszoo.inference.tiling import Tile, tiles

__all__ = ["TILE", "energy_map", "total_energy"]

TILE = 512  # places of a scale on each side


def total_energy(head: EnergyHead, y: Tensor, t: Tensor, cond: Tensor | None) -> Tensor:
    """``head.energy(y, t, cond)``, (B,), of a large image in tiles.

    Args:
        head: whose energy it is.
        y, t, cond: as the head takes them.
    """
    cut = _cut(head, y) if head.has_map else []
    if len(cut) <= 1:
        return head.energy(y, t, cond)
    return torch.stack([_seen(head, y, t, cond, tile).flatten(1).sum(1) for tile in cut]).sum(0)


def energy_map(head: EnergyHead, y: Tensor, t: Tensor, cond: Tensor | None) -> Tensor:
    """``head.energy_map(y, t, cond)``, (B, H, W), of a large image in tiles.

    Args:
        head: whose energy it is.
        y, t, cond: as the head takes them.
    """
    parts = [(tile.area[0].start, _seen(head, y, t, cond, tile)) for tile in _cut(head, y)]
    return torch.cat([torch.cat([part for _, part in row], -1) for _, row in groupby(parts, itemgetter(0))], -2)


def _cut(head: EnergyHead, y: Tensor) -> list[Tile]:
    grid = math.lcm(head.conditioner.unit, head.conditioner.stride)
    return tiles(y.shape[-2], y.shape[-1], TILE, head.map_reach, grid)


def _seen(head: EnergyHead, y: Tensor, t: Tensor, cond: Tensor | None, tile: Tile) -> Tensor:
    """The map of one tile, which sees what is around it."""
    around, within = (..., *tile.around), (..., *tile.within)
    return head.energy_map(y[around], t, None if cond is None else cond[around])[within]
