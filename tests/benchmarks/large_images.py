"""log p of large photographs: seconds and memory by size, each in a process of its own.

    python tests/benchmarks/large_images.py [--model photographs-energy] [MEGAPIXELS ...]

The photograph is scikit-image's camera (or astronaut, for a model in colour), magnified; the peak is that of the
process, less what it had before the image was made.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time

import torch
import torch.nn.functional as F
from skimage import data

import mszoo


def measure(name: str, megapixels: float) -> tuple[str, float, float, float]:
    """Size, seconds, peak in GB, and bits per dimension."""
    model = mszoo.load(name)
    shown = torch.from_numpy(data.camera() if model.channels == 1 else data.astronaut()).float() / 255
    x = shown[None, None] if model.channels == 1 else shown.movedim(-1, 0)[None]
    with torch.no_grad():
        model.nll(x[..., :64, :64])  # what is done once
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sides = (round((megapixels * 1e6 * ratio) ** 0.5) for ratio in (2 / 3, 3 / 2))
        height, width = (side // model.unit * model.unit for side in sides)
        x = F.interpolate(x, (height, width), mode="bilinear")
        start = time.perf_counter()
        bits = model.nll(x).item()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return f"{width}x{height}", seconds, peak / 2**20, bits


def main() -> None:
    """Print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("megapixels", type=float, nargs="*", default=[0.25, 1, 4, 12, 24])
    parser.add_argument("--model", default="photographs-energy")
    given = parser.parse_args()
    print(f"{given.model}, {torch.get_num_threads()} threads")
    for megapixels in given.megapixels:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            size, seconds, peak, bits = pool.apply(measure, (given.model, megapixels))
        rate = seconds / megapixels
        print(
            f"{size:>10}  {seconds:6.1f} s, {rate:5.2f} s a megapixel, {peak:5.2f} GB, {bits:.3f} bits/dim", flush=True
        )


if __name__ == "__main__":
    main()
