"""The page's second tab: a small photograph, enlarged with details that are drawn from the model."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from mszoo.inference import super_resolve
from mszoo.web.layout import Layout
from mszoo.web.models import loaded, offered
from mszoo.web.photographs import Photo, at_most, given, picture

__all__ = ["enlarge", "tab"]

LARGEST = 96  # side of what is enlarged; mszoo super-resolve takes any


def enlarge(
    photo: Photo | None, name: str, factor: int, seed: int, on_step: Callable[..., None] | None = None
) -> tuple[tuple[np.ndarray, np.ndarray], str]:
    """Enlarge a photograph, brought down to at most 96 pixels a side.

    Args:
        photo: that was chosen.
        name: of the model.
        factor: 2 or 4.
        seed: of the details.
        on_step: see :func:`mszoo.inference.super_resolve`.

    Returns:
        The picture with its pixels repeated, and enlarged; and a line about them.
    """
    photo, model = given(photo), loaded(name)
    image = photo.own if model.channels == 1 else photo.of(model.channels)
    low = at_most(image, LARGEST, model.unit)
    batch = (low[:, None] if model.channels == 1 else low[None]).to(model.device)
    began = time.perf_counter()
    with torch.no_grad():
        large = super_resolve(model, batch, factor, generator=seed, on_step=on_step)
    large = large.flatten(0, 1)
    before = low.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
    sizes = [f"{x.shape[-1]} x {x.shape[-2]}" for x in (low, large)]
    return (
        picture(before),
        picture(large),
    ), f"**{name}**; {sizes[0]} to {sizes[1]}; {time.perf_counter() - began:.1f} s"


def tab(page: Layout) -> None:
    """Lay the tab out."""
    gr = page.gr
    names = offered(lambda model: model.levels >= 2)
    first = "photographs-haar-rf13"
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            gr.Markdown(f"Details are drawn from the model, from a copy of at most {LARGEST} pixels a side.")
            model = gr.Dropdown(names, value=first if first in names else names[0], label="Model")
            factor = gr.Radio([2, 4], value=2, label="Factor")
            seed = gr.Number(0, precision=0, minimum=0, label="Seed: another one draws other details")
            button = gr.Button("Enlarge", variant="primary", elem_id="enlarge-button")
        with gr.Column(scale=2, min_width=280):
            slider = gr.ImageSlider(label="pixels | enlarged", format="png", elem_id="enlarge-result")
            line = gr.Markdown(elem_id="enlarge-line")

    def run(photo: Any, name: str, factor: int, seed: int, progress: Any = gr.Progress()) -> Any:
        def on_step(j: int, k: int, _: Any, sigma: Any) -> None:
            progress((k, None), desc=f"scale {j}, noise {sigma.max().item():.3f}")

        return enlarge(photo, name, int(factor), int(seed), on_step)

    button.click(page.telling(run), [page.photo, model, factor, seed], [slider, line])
