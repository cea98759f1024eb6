"""The demo: the astronaut's face, noisy, blurred as well as blurring can, by BM3D if that is there, and by a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.filters
import torch
from torch import Tensor

from mszoo.data.images import encode, to_unit
from mszoo.data.photographs import photograph
from mszoo.evaluation.baselines import denoise_by, installed
from mszoo.evaluation.denoising import psnr
from mszoo.inference import denoise_image
from mszoo.model import MultiScaleModel

__all__ = ["Panel", "astronaut_demo", "astronaut_face", "best_blur", "draw"]


@dataclass(frozen=True)
class Panel:
    """One noise level: images (1, C, H, W).

    Attributes:
        sigma: standard deviation of the noise.
        clean: the image without noise.
        others: with it, and what was made of it, by name.
    """

    sigma: float
    clean: Tensor
    others: dict[str, Tensor]

    def psnr(self) -> dict[str, float]:
        """PSNR in dB of each of the others."""
        return {name: psnr(image, self.clean).item() for name, image in self.others.items()}


def astronaut_face(channels: int = 1) -> Tensor:
    """The astronaut's face: rows 0 to 160, columns 140 to 300 of the photograph; (1, C, 160, 160) in [0, 1]."""
    return to_unit(photograph("astronaut", channels))[None, :, :160, 140:300]


def astronaut_demo(model: MultiScaleModel, name: str, sigmas: tuple[float, ...] = (0.1, 0.2, 0.4)) -> list[Panel]:
    """Noise the face at each level (NumPy's default_rng(0)), blur it, denoise it.

    Args:
        model: in eval mode; it is the last of each panel's others.
        name: what to call it.
        sigmas: standard deviations of the noise.
    """
    clean = astronaut_face(model.channels)
    unit = np.random.default_rng(0).standard_normal(tuple(clean.shape)).astype(np.float32)
    panels = []
    for sigma in sigmas:
        noisy = clean + sigma * torch.from_numpy(unit)
        others = {"noisy": noisy, "best Gaussian blur": best_blur(noisy, clean)}
        if installed("bm3d"):
            others["BM3D, told sigma"] = denoise_by("bm3d", noisy, sigma)
        others[name] = denoise_image(model, noisy, None if model.blind else sigma)
        panels.append(Panel(sigma, clean, others))
    return panels


def best_blur(noisy: Tensor, clean: Tensor) -> Tensor:
    """The Gaussian blur, of all widths from 0.3 to 6 pixels, that comes closest to the clean image."""
    array = noisy.numpy()[0]
    blurs = [
        torch.from_numpy(skimage.filters.gaussian(array, sigma=width, channel_axis=0))[None]
        for width in np.geomspace(0.3, 6, 40)
    ]
    return max(blurs, key=lambda blurred: psnr(blurred, clean).item())


def draw(panels: list[Panel], path: Path) -> None:
    """Write a picture: a row for each noise level, the clean image and the others side by side.

    Args:
        panels: one for each noise level, at least one.
        path: the file.
    """
    from matplotlib.figure import Figure

    from mszoo.evaluation.plots import label, save_figure

    count = 1 + len(panels[0].others)
    figure = Figure(figsize=(2.75 * count, 2.95 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), count, squeeze=False)
    for row, panel in zip(axes, panels, strict=True):
        found = panel.psnr()
        titles = [f"{label(name)}, sigma {panel.sigma:g}" if name == "noisy" else label(name) for name in found]
        shown = [f"{title}: {value:.1f} dB" for title, value in zip(titles, found.values(), strict=True)]
        columns = zip([panel.clean, *panel.others.values()], ["clean", *shown], strict=True)
        for axis, (image, title) in zip(row, columns, strict=True):
            axis.imshow(encode(image[0]), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axis.set_title(title, fontsize=8)
            axis.set_axis_off()
    save_figure(figure, path, dpi=100)
