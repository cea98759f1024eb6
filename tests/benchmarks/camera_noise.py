"""Denoisers on simulated camera noise: photons and read noise, then correlated as by demosaicking.

    python tests/benchmarks/camera_noise.py [IMAGES [MODEL ...]]

IMAGES is a folder; without, the photograph that comes for tests. Each grey image becomes photon counts with read
noise, the variance of a pixel 0.02 x + 0.02^2, and is filtered by Gaussians of 0.6 and 0.8 pixels; the noise alone, so
that the image stays sharp, and scaled so that its variance stays. Prints the mean PSNR in dB of white noise of the same
variances, and of the noise as it is, by models (blind) and by total variation at the best of some weights, which only
somebody who has the clean image can choose.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from statistics import fmean

import torch
from torch import Tensor

import mszoo
from mszoo.evaluation import open_images, psnr
from mszoo.evaluation.baselines import denoise_by
from mszoo.inference import denoise_image, denoise_poisson, fast
from mszoo.objectives.camera import correlate

GAIN, READ, WIDTHS = 0.02, 0.02, (0.6, 0.8)
WEIGHTS = (0.05, 0.08, 0.12, 0.18, 0.25)


def noise_of(x: Tensor, generator: torch.Generator) -> Tensor:
    """Of photons and of reading them out, independent in every pixel."""
    counts = GAIN * torch.poisson(x / GAIN, generator)
    return counts - x + READ * torch.randn(x.shape, generator=generator)


def main() -> None:
    folder, names = sys.argv[1] if len(sys.argv) > 1 else None, sys.argv[2:] or ["photographs-grey"]
    images = [image[None] for image in open_images(folder, 1)]
    models = {name: fast(mszoo.load(name)) for name in names}
    by: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"noisy": lambda y, x: y}
    for name, model in models.items():
        level = None if model.blind else (GAIN / 2 + READ**2) ** 0.5
        by[name] = lambda y, x, model=model, level=level: denoise_image(model, y, level)
        by[f"{name}, --poisson"] = lambda y, x, model=model: denoise_poisson(model, y, GAIN, READ)
    by["tv, the best weight"] = lambda y, x: max(
        (denoise_by("tv", y, weight) for weight in WEIGHTS), key=lambda found: psnr(found, x).item()
    )
    generator = torch.Generator().manual_seed(0)
    noises = [noise_of(x, generator) for x in images]
    widths = torch.tensor([WIDTHS])
    print(f"{len(images)} image(s), PSNR in dB: independent, correlated")
    for name, denoise in by.items():
        values = [
            fmean(psnr(denoise(x + change(noise), x), x).item() for x, noise in zip(images, noises, strict=True))
            for change in (lambda noise: noise, lambda noise: correlate(noise, widths))
        ]
        print(f"{name:<40} {values[0]:.2f} {values[1]:.2f}")


if __name__ == "__main__":
    main()
