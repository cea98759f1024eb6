"""How well the noise level of small photographs is found: by maximum likelihood, and by others.

    python tests/benchmarks/noise_levels.py FOLDER [--model cifar10-grey-energy] [--size 32] [--limit 68]

One random crop of each image of FOLDER, in grey, with noise of sigma 0.02 to 1. Prints the median over the images of
the relative error |found / sigma - 1|, and below it over all noise levels: of ``model.noise_level``, of scikit-image's
``estimate_sigma`` (the median of the finest wavelet coefficients), and of the residual of a blind denoiser.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from skimage.restoration import estimate_sigma
from torch import Tensor

import mszoo
from mszoo.data import ImageFolder
from mszoo.randomness import keyed_generator

SIGMAS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
BLIND = "photographs-haar-rf13"


def crop(image: Tensor, size: int, i: int) -> Tensor:
    generator = keyed_generator(0, i)
    top, left = (int(torch.randint(side - size + 1, (), generator=generator)) for side in image.shape[-2:])
    return image[:, top : top + size, left : left + size]


def by_wavelets(y: Tensor) -> Tensor:
    return torch.tensor([float(estimate_sigma(image[0].double().numpy())) for image in y])


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="cifar10-grey-energy")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--limit", type=int)
    given = parser.parse_args()
    images = ImageFolder(1, path=str(given.folder))
    x = torch.stack([crop(images[i], given.size, i) for i in range(len(images))][: given.limit])
    model, blind = mszoo.load(given.model), mszoo.load(BLIND)
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        given.model: lambda y: model.noise_level(y).sqrt(),
        "estimate_sigma": by_wavelets,
        f"residual of {BLIND}": lambda y: (blind.denoise(y) - y).flatten(1).square().mean(1).sqrt(),
    }
    print(f"median relative error on {len(x)} crops of {given.size} x {given.size}")
    print("  ".join(["sigma", *ways]))
    errors: dict[str, list[Tensor]] = {way: [] for way in ways}
    for k, sigma in enumerate(SIGMAS):
        y = x + sigma * torch.randn(x.shape, generator=keyed_generator(1, k))
        for way, find in ways.items():
            errors[way].append((find(y) / sigma - 1).abs())
        print("  ".join([f"{sigma:5g}", *(f"{100 * errors[way][-1].median():{len(way) - 1}.1f}%" for way in ways)]))
    print("  ".join(["  all", *(f"{100 * torch.cat(errors[way]).median():{len(way) - 1}.1f}%" for way in ways)]))


if __name__ == "__main__":
    main()
