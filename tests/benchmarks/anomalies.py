"""Does the map of log p find what does not belong? Patches of another photograph, scratches, noise and blur.

    python tests/benchmarks/anomalies.py FOLDER [--model photographs-energy] [--side 256]

Into the middle SIDE x SIDE pixels of every photograph one fault is put; the area under the ROC curve says how often a
place in the fault is stranger than one outside it, 0.5 is chance. Strangeness is the bits per place of the map (all
scales together, averaged over 9 x 9 pixels); for the blur, which makes a place more probable, it is their lack. Beside
it, as a peer, the local standard deviation; and what the map of the photograph without a fault has at the same place.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import mszoo
from mszoo.data.images import to_unit
from mszoo.pictures.listing import find_images

FAULTS = ("patch", "seam", "scratch", "noise", "blur")


def spoilt(x: Tensor, other: Tensor, fault: str, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """An image (H, W) with a fault, and where it is."""
    size, side = x.shape[-1], x.shape[-1] // 5
    top, left = (int(torch.randint(0, size - side, (1,), generator=generator)) for _ in range(2))
    where = torch.zeros_like(x, dtype=torch.bool)
    y = x.clone()
    if fault == "scratch":
        rows = torch.arange(size)
        columns = (left + (rows - size // 2) * 0.3).round().long().clamp(0, size - 2)
        for offset in (0, 1):
            where[rows, columns + offset] = True
        return torch.where(where, 0.9 * torch.ones_like(x), x), where
    window = slice(top, top + side), slice(left, left + side)
    where[window] = True
    if fault in ("patch", "seam"):
        y[window] = other[window]
        if fault == "seam":  # within a patch a photograph is a photograph
            where[top + 4 : top + side - 4, left + 4 : left + side - 4] = False
    elif fault == "noise":
        y[window] += 0.05 * torch.randn(side, side, generator=generator)
    else:
        y[window] = F.avg_pool2d(F.pad(x[None, None], (2, 2, 2, 2), mode="reflect"), 5, 1)[0, 0][window]
    return (y.clamp(0, 1) * 255).round() / 255, where


def smooth(x: Tensor) -> Tensor:
    """Mean over 9 x 9 pixels of (H, W)."""
    return F.avg_pool2d(F.pad(x[None, None], (4, 4, 4, 4), mode="replicate"), 9, 1)[0, 0]


def strangeness(model: mszoo.MultiScaleModel, x: Tensor) -> Tensor:
    """Nats by which every pixel (H, W) is improbable."""
    total = torch.zeros_like(x)
    with torch.no_grad():
        for share in model.log_prob_map(x[None, None]):
            times = x.shape[-1] // share.shape[-1]
            total -= share[0].repeat_interleave(times, 0).repeat_interleave(times, 1) / times**2
    return smooth(total)


def area(scores: Tensor, where: Tensor) -> float:
    """Under the ROC curve."""
    ranks = scores.flatten().argsort().argsort().double() + 1
    inside = where.flatten()
    n, m = int(inside.sum()), int((~inside).sum())
    return ((ranks[inside].sum() - n * (n + 1) / 2) / (n * m)).item()


def main() -> None:
    """Print the areas, means over the photographs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="photographs-energy")
    parser.add_argument("--side", type=int, default=256)
    given = parser.parse_args()
    model, generator = mszoo.load(given.model), torch.Generator().manual_seed(0)
    photographs = []
    for path in map(Path, find_images(str(given.folder))):
        x = to_unit(torch.from_numpy(np.array(Image.open(path).convert("L"))))
        top, left = ((side - given.side) // 2 for side in x.shape)
        photographs.append(x[top : top + given.side, left : left + given.side])
    print(f"area under the ROC curve, {len(photographs)} photographs")
    print(f"{'':>8} {given.model:>24} {'local deviation':>16} {'without the fault':>18}")
    for fault in FAULTS:
        rows = []
        for i, x in enumerate(photographs):
            y, where = spoilt(x, photographs[i - 1], fault, generator)
            sign = -1 if fault == "blur" else 1
            deviation = (smooth(y.square()) - smooth(y).square()).clamp_min(0).sqrt()
            scores = sign * strangeness(model, y), sign * deviation, sign * strangeness(model, x)
            rows.append([area(score, where) for score in scores])
        ours, peer, clean = (fmean(column) for column in zip(*rows, strict=True))
        print(f"{fault:>8} {ours:>24.3f} {peer:>16.3f} {clean:>18.3f}", flush=True)


if __name__ == "__main__":
    main()
