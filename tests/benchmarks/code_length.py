"""Bits per pixel of photographs: the dequantized log p of a model, beside lossless coders.

    python tests/benchmarks/code_length.py FOLDER [--model photographs-energy] [--side 256] [--draws 2]

The middle SIDE x SIDE pixels of every image (all of it with --side 0, cut to what the model takes), in grey. What a
model has is an upper bound on the code length of the 8-bit image, and no coder; what a coder has is its file less what
an image of one pixel needs. JPEG XL and JPEG-LS need the package `imagecodecs`, and are left out without it.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from PIL import Image

import mszoo
from mszoo.data.images import to_unit
from mszoo.evaluation.probability import cut
from mszoo.pictures.listing import find_images

Coder = Callable[[Image.Image], bytes | bytearray]


def pillow(suffix: str, **options: object) -> Coder:
    """Pillow's writer of a format."""

    def write(image: Image.Image) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, suffix, **options)
        return buffer.getvalue()

    return write


def coders() -> dict[str, Coder]:
    """Lossless, at their slowest."""
    webp = pillow("webp", lossless=True, quality=100, method=6, exact=True)
    found: dict[str, Coder] = {"PNG": pillow("png", optimize=True), "WebP": webp}
    try:
        import imagecodecs  # pyright: ignore[reportMissingImports]
    except ImportError:
        print("JPEG XL and JPEG-LS are left out: pip install imagecodecs")
    else:
        found["JPEG XL"] = lambda image: imagecodecs.jpegxl_encode(np.asarray(image), lossless=True, effort=9)
        found["JPEG-LS"] = lambda image: imagecodecs.jpegls_encode(np.asarray(image))
    return found


def main() -> None:
    """Print a row for each image, and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", action="append")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--draws", type=int, default=2, help="of the noise that is uniform within a grey level")
    given = parser.parse_args()
    models = {name: mszoo.load(name) for name in given.model or ["photographs-energy"]}
    lossless, rows = coders(), []
    empty = {name: len(code(Image.new("L", (1, 1)))) for name, code in lossless.items()}
    names = [*(f"{name}{kind}" for name in models for kind in ("", ", not dequantized")), *lossless]
    for path in map(Path, find_images(str(given.folder))):
        image = Image.open(path).convert("L")
        x = to_unit(torch.from_numpy(np.array(image)))[None]
        side = given.side or min(x.shape[-2:])
        if given.side:
            top, left = ((size - side) // 2 for size in x.shape[-2:])
            x = x[..., top : top + side, left : left + side]
        x = cut(x, max(model.unit for model in models.values()))
        image = Image.fromarray((x[0] * 255).round().byte().numpy())
        pixels, row = x[0].numel(), []
        with torch.no_grad():
            for model in models.values():
                draws = [model.nll(x[None], dequantize=True, generator=seed).item() for seed in range(given.draws)]
                row += [fmean(draws), model.nll(x[None]).item()]
        row += [8 * (len(code(image)) - empty[name]) / pixels for name, code in lossless.items()]
        rows.append(row)
        print(f"{path.name:>20} " + "  ".join(f"{v:6.3f}" for v in row), flush=True)
    print(f"bits per pixel, mean of {len(rows)} images in grey:")
    for name, *values in zip(names, *rows, strict=True):
        print(f"  {name:<40} {fmean(values):.3f}")


if __name__ == "__main__":
    main()
