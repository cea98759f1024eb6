"""The page's first tab: a photograph and what is left of it without its noise, under one slider."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from mszoo.errors import MszooError
from mszoo.evaluation import psnr
from mszoo.heads import EnergyHead
from mszoo.inference import add_noise, denoise_image, estimate_sigma
from mszoo.model import MultiScaleModel
from mszoo.web.layout import Layout
from mszoo.web.models import CHOSEN, loaded, named, offered
from mszoo.web.photographs import Photo, given, picture

__all__ = ["denoise", "tab"]

FOUND, TOLD = "found by the model", "as below"


def denoise(
    photo: Photo | None,
    name: str,
    noise: float,
    level: str,
    sigma: float,
    on_tile: Callable[[int, int], object] | None = None,
) -> tuple[tuple[np.ndarray, np.ndarray], str]:
    """Denoise a photograph, with noise added before or as it is.

    Args:
        photo: that was chosen.
        name: of the model, or :data:`~mszoo.web.models.CHOSEN`.
        noise: standard deviation of what is added; 0: the photograph is noisy.
        level: :data:`FOUND` or :data:`TOLD`.
        sigma: the noise level that the model is told.
        on_tile: called with the number of a tile, and how many there are.

    Returns:
        The noisy and the denoised picture, and a line about them.
    """
    photo = given(photo)
    name = named(name, len(photo.own))
    model = loaded(name)
    clean = (photo.own if model.channels == 1 else photo.of(model.channels))[None].to(model.device)
    y = add_noise(clean, noise, 0, 0) if noise else clean
    began = time.perf_counter()
    told: Any = None
    said = "it needs no noise level"
    if not model.blind:
        told = sigma if level == TOLD else estimate_sigma(model, y)
        found = told if level == TOLD else told.mean().item()
        said = f"noise level {found:.4f} ({255 * found:.1f}/255) {'told' if level == TOLD else 'found'}"
    with torch.no_grad():
        x = denoise_image(model, y, told, on_tile=on_tile)
    parts = [f"**{name}**", said]
    if noise:
        before, after = psnr(y, clean).item(), psnr(x, clean).item()
        parts.append(f"PSNR {before:.2f} dB before, **{after:.2f} dB** after")
    parts.append(f"{time.perf_counter() - began:.1f} s")
    return (picture(y[0]), picture(x[0])), "; ".join(parts)


def tab(page: Layout) -> None:
    """Lay the tab out."""
    gr = page.gr
    names = offered(_denoises)
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            model = gr.Dropdown([CHOSEN, *names], value=CHOSEN, label="Model", elem_id="denoise-model")
            noise = gr.Slider(
                0, 0.5, value=0, step=0.01, label="Add noise first", info="Standard deviation; white is 1"
            )
            level = gr.Radio([FOUND, TOLD], value=FOUND, label="Noise level", info="Blind models need none.")
            sigma = gr.Slider(0, 1, value=0.1, step=0.005, label="Noise level that the model is told", visible=False)
            button = gr.Button("Denoise", variant="primary", elem_id="denoise-button")
        with gr.Column(scale=2, min_width=280):
            slider = gr.ImageSlider(label="noisy | denoised", format="png", elem_id="denoise-result")
            line = gr.Markdown(elem_id="denoise-line")
    level.change(lambda value: gr.update(visible=value == TOLD), level, sigma, show_progress="hidden")

    def run(photo: Any, name: str, noise: float, level: str, sigma: float, progress: Any = gr.Progress()) -> Any:
        return denoise(photo, name, noise, level, sigma, lambda i, n: progress((i - 1, n), desc="tiles"))

    button.click(page.telling(run), [page.photo, model, noise, level, sigma], [slider, line])


def _denoises(model: MultiScaleModel) -> bool:
    """Whether its noise level is known, needed by nobody, or found."""
    if model.channels not in (1, 3):
        raise MszooError("photographs have 1 or 3 channels")
    return model.blind or all(isinstance(head, EnergyHead) for head in model.scales)
