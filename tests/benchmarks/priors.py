"""What a model is worth as a prior, each against a named peer; every line of output is a measurement.

    python tests/benchmarks/priors.py faces MODEL [--out sheet.png]      samples, and how many a face detector accepts
    python tests/benchmarks/priors.py enlarge MODEL [--out pair.png]     4x of the astronaut's face, against bicubic
    python tests/benchmarks/priors.py inpaint MODEL IMAGES               half the pixels, against biharmonic filling
    python tests/benchmarks/priors.py project MODEL IMAGES               10% random projections, against wavelet ISTA

MODEL is anything ``mszoo.load`` takes; for the authors' face models first ``mszoo convert``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import skimage.data
import skimage.feature
import skimage.restoration
import torch
import torch.nn.functional as F
from torch import Tensor

import mszoo
from mszoo.data.images import write_image
from mszoo.evaluation import psnr
from mszoo.evaluation.plots import save_figure, sheet
from mszoo.experiments.demo import astronaut_face
from mszoo.inference import Inpainting, Operator, RandomProjections, downsample, fast


def faces(model: mszoo.MultiScaleModel, out: Path | None) -> None:
    began = time.perf_counter()
    samples = model.sample(16, 160, generator=0)
    print(f"16 samples of 160 x 160 in {time.perf_counter() - began:.1f} s")
    distances = torch.cdist(samples.flatten(1), samples.flatten(1)) / 160
    print(f"closest pair: {(distances + torch.eye(16) * 9).min():.3f} root mean square apart")
    noise = torch.rand(16, 1, 160, 160, generator=torch.Generator().manual_seed(0))
    rows = torch.linspace(-1, 1, 160)
    blobs = torch.stack([torch.exp(-(rows[:, None] ** 2 + rows**2) / w)[None] for w in torch.linspace(0.2, 1.2, 16)])
    for name, images in (("samples", samples), ("white noise", noise), ("smooth blobs", blobs)):
        print(f"faces found by the detector in {sum(map(has_face, images))} of 16 {name}")
    if out is not None:
        save_figure(sheet([[(str(4 * i + j), samples[4 * i + j]) for j in range(4)] for i in range(4)], "samples"), out)


def has_face(image: Tensor) -> bool:
    """Whether OpenCV's frontal-face cascade, as scikit-image ships it, finds a face of a third of the image or more."""
    detector = skimage.feature.Cascade(skimage.data.lbp_frontal_face_cascade_filename())
    pixels = (image[0].clamp(0, 1) * 255).byte().numpy()
    found = detector.detect_multi_scale(
        img=pixels, scale_factor=1.1, step_ratio=1, min_size=(50, 50), max_size=(160, 160)
    )
    return len(found) > 0


def enlarge(model: mszoo.MultiScaleModel, out: Path | None) -> None:
    x = astronaut_face()
    low = downsample(model, x, 4)
    samples = model.super_resolve(low.repeat(16, 1, 1, 1), 4, generator=0)
    one, mean = samples[:1], samples.mean(0, keepdim=True)
    bicubic = F.interpolate(low, scale_factor=4, mode="bicubic")
    print(f"low-pass of the sample differs by {(downsample(model, one, 4) - low).abs().max():.1e} from the given one")
    for name, image in (("bicubic", bicubic), ("a sample", one), ("mean of 16 samples", mean)):
        print(f"{name}: {psnr(image, x).item():.2f} dB, fine energy {fine_difference(image, x):+.2f} dB")
    each = [fine_difference(sample[None], x) for sample in samples]
    print(f"the 16 samples: fine energy {min(each):+.2f} to {max(each):+.2f} dB, mean {np.mean(each):+.2f}")
    if out is not None:
        write_image(torch.cat([x, bicubic, one, mean], 3)[0], out)


def fine_difference(image: Tensor, x: Tensor) -> float:
    """Energy of the high frequencies, in dB of that of ``x``."""
    return float(10 * np.log10(fine_energy(image) / fine_energy(x)))


def fine_energy(x: Tensor) -> float:
    """Energy beyond half of the Nyquist frequency in either direction."""
    window = torch.hann_window(x.shape[-1])[:, None] * torch.hann_window(x.shape[-1])
    power = torch.fft.fft2((x - x.mean()) * window).abs().square()[0, 0]
    high = torch.fft.fftfreq(x.shape[-1]).abs() > 0.25
    return float(power[high[:, None] | high].sum())


def inpaint(model: mszoo.MultiScaleModel, images: list[Tensor], mean_of: int) -> None:
    rows = []
    for i, x in enumerate(images):
        operator = Inpainting.random_pixels((x.shape[-2], x.shape[-1]), 0.5, seed=i)
        found = model.solve(operator.forward(x), operator, generator=i, mean_of=mean_of)
        peer = skimage.restoration.inpaint_biharmonic(operator.forward(x)[0, 0].numpy(), ~operator.mask.numpy())
        rows.append(report(f"image {i}", x, found, torch.from_numpy(peer).float()[None, None], operator))
    summary(f"half the pixels missing, mean of {mean_of} solution(s)", "inpaint_biharmonic", rows)


def project(model: mszoo.MultiScaleModel, images: list[Tensor], mean_of: int) -> None:
    rows = []
    for i, x in enumerate(images):
        operator = RandomProjections((1, x.shape[-2], x.shape[-1]), 0.1, seed=i)
        found = model.solve(operator.forward(x), operator, generator=i, mean_of=mean_of)
        rows.append(report(f"image {i}", x, found, ista(operator, x), operator))
    summary(f"10% random projections, mean of {mean_of} solution(s)", "ISTA, best threshold", rows)


def ista(operator: Operator, x: Tensor, steps: int = 150) -> Tensor:
    """Iterated soft thresholding of 4 levels of db4 details, with the threshold that comes closest to x."""
    basis, m = mszoo.create("basis", "db4"), operator.forward(x)
    best = torch.zeros_like(x)
    for threshold in (0.005, 0.01, 0.02, 0.04, 0.08):
        estimate = operator.adjoint(m)
        for _ in range(steps):
            low, details = estimate + operator.adjoint(m - operator.forward(estimate)), []
            for _ in range(4):
                low, detail = basis.analyze(low)
                details.append(detail.sign() * (detail.abs() - threshold).clamp_min(0))
            for detail in reversed(details):
                low = basis.synthesize(low, detail)
            estimate = low
        best = max(best, estimate, key=lambda image: psnr(image, x).item())
    return best


def report(name: str, x: Tensor, found: Tensor, peer: Tensor, operator: Operator) -> tuple[float, float]:
    missed = (operator.forward(found) - operator.forward(x)).square().mean().sqrt()
    ours, theirs = psnr(found, x).item(), psnr(peer, x).item()
    print(f"{name}: {ours:.2f} dB, peer {theirs:.2f} dB; measurement met to {missed:.1e}", flush=True)
    return ours, theirs


def summary(what: str, peer: str, rows: list[tuple[float, float]]) -> None:
    ours, theirs = (sum(column) / len(rows) for column in zip(*rows, strict=True))
    print(f"{what}: mean {ours:.2f} dB, {peer} {theirs:.2f} dB, {ours - theirs:+.2f} dB on {len(rows)} images")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("faces", "enlarge", "inpaint", "project"))
    parser.add_argument("model")
    parser.add_argument("images", nargs="?", help="folder of images; the middle of each of the first 12")
    parser.add_argument("--size", type=int, default=256, help="side of the middle that is taken")
    parser.add_argument("--mean-of", type=int, default=1, help="solutions to average")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    model = fast(mszoo.load(given.model))
    print(f"{given.model}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    if given.what in ("faces", "enlarge"):
        {"faces": faces, "enlarge": enlarge}[given.what](model, given.out)
        return
    if given.images is None:
        parser.error(f"{given.what} needs a folder of images")
    found = mszoo.create("dataset", "image_folder", 1, path=given.images)
    images = []
    for i in range(min(12, len(found))):
        height, width = found[i].shape[-2:]
        top, left = (height - given.size) // 2, (width - given.size) // 2
        images.append(found[i][None, :, top : top + given.size, left : left + given.size])
    {"inpaint": inpaint, "project": project}[given.what](model, images, given.mean_of)


if __name__ == "__main__":
    main()
