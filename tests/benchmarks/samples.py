"""How like the data samples are, in what can be counted: mean, variance, brightness and power spectrum.

    python tests/benchmarks/samples.py ARCHIVE.zip [--model cifar10-grey-energy] [--count 128] [--sampler ascent]

ARCHIVE has images of 32 x 32 in a folder ``test``. Prints the samples' numbers over those of 1,000 of its images, with
the standard error that so few samples have, and
for an anchored head the share of the brightness's variance that its lowest band has: brightness is decided at noise so
strong that the learned correction is shut off there.
"""

from __future__ import annotations

import argparse
import io
import zipfile

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import mszoo
from mszoo.heads import AnchoredEnergy


def read(archive: str) -> Tensor:
    with zipfile.ZipFile(archive) as z:
        names = sorted(n for n in z.namelist() if "test/" in n and not n.endswith("/"))
        chosen = names[:: max(1, len(names) // 1000)][:1000]
        grey = [np.asarray(Image.open(io.BytesIO(z.read(n))).convert("L")) for n in chosen]
    return torch.from_numpy(np.stack(grey)).float()[:, None] / 255


def spectrum(x: Tensor) -> Tensor:
    """Power in octaves of the frequency, without the mean."""
    power = torch.fft.fft2(x - x.mean((2, 3), keepdim=True)).abs().square().mean((0, 1))
    f = torch.fft.fftfreq(x.shape[-1])
    octave = torch.hypot(f[:, None], f).clamp_min(1e-9).log2().floor().clamp(-5, -1)
    return torch.stack([power[octave == k].mean() for k in range(-5, 0)])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("archive")
    parser.add_argument("--model", default="cifar10-grey-energy")
    parser.add_argument("--count", type=int, default=128)
    parser.add_argument("--sampler", default="ascent", help="NAME or NAME:STEPS: ascent, heun:40, ...")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    data, model = read(given.archive), mszoo.load(given.model)
    name, _, steps = given.sampler.partition(":")
    x = model.sample(
        given.count, 32, sampler={"name": name, **({"steps": int(steps)} if steps else {})}, generator=given.seed
    )
    print(f"{given.count} samples of {given.model} by {given.sampler}; over {len(data)} test images:")
    print(f"mean {x.mean() / data.mean():.3f}, variance {x.var() / data.var():.3f}")
    bright = [images.mean((1, 2, 3)).var() for images in (x, data)]
    print(f"variance of the brightness {bright[0] / bright[1]:.3f}, within images {within(x) / within(data):.3f}")
    each = torch.stack([spectrum(image[None]) for image in x]) / spectrum(data)
    error = each.std(0) / len(x) ** 0.5
    shown = (f"{mean:.3f} ({by:.3f})" for mean, by in zip(each.mean(0).tolist(), error.tolist(), strict=True))
    print("power by octave of frequency, low to high (and its standard error):", *shown)
    head = model.coarse
    if isinstance(head, AnchoredEnergy) and not model.levels:
        share = head.low_variance.mean() / (x[0].numel() * bright[1])
        print(f"variance of the anchor's lowest band over the brightness's: {share:.3f}")


def within(x: Tensor) -> Tensor:
    return x.var((2, 3)).mean()


if __name__ == "__main__":
    main()
