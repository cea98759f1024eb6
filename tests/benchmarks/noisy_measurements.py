"""What it gains to know the noise of a measurement: solved with sigma, and as if the measurement were exact.

    python tests/benchmarks/noisy_measurements.py FOLDER [--model photographs-haar-rf13] [--limit 12] [--size 64]

The middles of the first images of FOLDER, in grey, measured with white noise of 0.05. Prints the mean PSNR.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

import mszoo
from mszoo.data import ImageFolder
from mszoo.evaluation import psnr
from mszoo.inference import Blur, Inpainting, RandomProjections, add_noise, fast, solve

SIGMA = 0.05


def middle(image: Tensor, side: int) -> Tensor:
    top, left = ((length - side) // 2 for length in image.shape[-2:])
    return image[:, top : top + side, left : left + side]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="photographs-haar-rf13")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--limit", type=int, default=12)
    given = parser.parse_args()
    images, side = ImageFolder(1, path=str(given.folder)), given.size
    x = torch.stack([middle(images[i], side) for i in range(min(given.limit, len(images)))])
    model, size = fast(mszoo.load(given.model)), (side, side)
    operators = {
        "half of the pixels": Inpainting.random_pixels(size, 0.5),
        "half of the projections": RandomProjections((1, *size), 0.5),
        "a blur of 1.5 pixels": Blur.gaussian(1.5, size),
    }
    print(f"{len(x)} images of {side} x {side}, noise {SIGMA}, {given.model}: believed exactly, and with sigma")
    for name, operator in operators.items():
        m = add_noise(operator.forward(x), SIGMA, 0, 0)
        found = [psnr(solve(model, m, operator, sigma, generator=0), x).mean().item() for sigma in (None, SIGMA)]
        print(f"{name}: {found[0]:.2f} dB, {found[1]:.2f} dB ({found[1] - found[0]:+.2f})", flush=True)


if __name__ == "__main__":
    main()
