"""The demo: the astronaut's face, noisy, blurred as well as blurring can, and denoised by a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.filters
import torch
from torch import Tensor

from mszoo.data.images import encode, to_unit
from mszoo.data.photographs import photograph
from mszoo.evaluation.denoising import psnr
from mszoo.inference import denoise_image
from mszoo.model import MultiScaleModel

__all__ = ["Panel", "astronaut_demo", "astronaut_face", "best_blur", "draw"]


@dataclass(frozen=True)
class Panel:
    """One noise level: images (1, C, H, W), clean, noisy, blurred and denoised."""

    sigma: float
    clean: Tensor
    noisy: Tensor
    blurred: Tensor
    denoised: Tensor

    def psnr(self) -> tuple[float, float, float]:
        """PSNR in dB of the noisy, the blurred and the denoised image."""
        noisy, blurred, denoised = (
            psnr(image, self.clean).item() for image in (self.noisy, self.blurred, self.denoised)
        )
        return noisy, blurred, denoised


def astronaut_face(channels: int = 1) -> Tensor:
    """The astronaut's face: rows 0 to 160, columns 140 to 300 of the photograph; (1, C, 160, 160) in [0, 1]."""
    return to_unit(photograph("astronaut", channels))[None, :, :160, 140:300]


def astronaut_demo(model: MultiScaleModel, sigmas: tuple[float, ...] = (0.1, 0.2, 0.4)) -> list[Panel]:
    """Noise the face at each level (NumPy's default_rng(0)), blur it, denoise it."""
    clean = astronaut_face(model.channels)
    unit = np.random.default_rng(0).standard_normal(tuple(clean.shape)).astype(np.float32)
    panels = []
    for sigma in sigmas:
        noisy = clean + sigma * torch.from_numpy(unit)
        denoised = denoise_image(model, noisy, None if model.blind else sigma)
        panels.append(Panel(sigma, clean, noisy, best_blur(noisy, clean), denoised))
    return panels


def best_blur(noisy: Tensor, clean: Tensor) -> Tensor:
    """The Gaussian blur, of all widths from 0.3 to 6 pixels, that comes closest to the clean image."""
    array = noisy.numpy()[0]
    blurs = [
        torch.from_numpy(skimage.filters.gaussian(array, sigma=width, channel_axis=0))[None]
        for width in np.geomspace(0.3, 6, 40)
    ]
    return max(blurs, key=lambda blurred: psnr(blurred, clean).item())


def draw(panels: list[Panel], name: str, path: Path) -> None:
    """Write a picture: a row for each noise level; clean, noisy, best blur and denoised side by side.

    Args:
        panels: one for each noise level.
        name: the model's, for the title.
        path: the file.
    """
    from matplotlib.figure import Figure

    from mszoo.evaluation.plots import label, save_figure

    figure = Figure(figsize=(11, 2.95 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 4, squeeze=False)
    for row, panel in zip(axes, panels, strict=True):
        noisy, blurred, denoised = (f"{value:.1f} dB" for value in panel.psnr())
        columns = [
            (panel.clean, "clean"),
            (panel.noisy, f"noisy, sigma {panel.sigma:g}: {noisy}"),
            (panel.blurred, f"best Gaussian blur: {blurred}"),
            (panel.denoised, f"{label(name)}: {denoised}"),
        ]
        for axis, (image, title) in zip(row, columns, strict=True):
            axis.imshow(encode(image[0]), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axis.set_title(title, fontsize=8)
            axis.set_axis_off()
    save_figure(figure, path, dpi=100)
