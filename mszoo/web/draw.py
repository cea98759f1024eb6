"""The page's last tab: samples of a model."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from mszoo.errors import OptionsError
from mszoo.inference import sample
from mszoo.web.layout import Layout
from mszoo.web.models import loaded, offered
from mszoo.web.photographs import picture

__all__ = ["draw", "tab"]

MOST, LARGEST = 8, 128


def draw(
    name: str, count: int, size: int, seed: int, on_step: Callable[..., None] | None = None
) -> tuple[list[np.ndarray], str]:
    """Draw images.

    Args:
        name: of the model.
        count: how many, up to 8.
        size: side in pixels, up to 128.
        seed: of them.
        on_step: see :func:`mszoo.inference.sample`.

    Returns:
        The pictures, and a line about them.
    """
    if not (1 <= count <= MOST and 8 <= size <= LARGEST):
        raise OptionsError("draw", [(("size",), f"up to {MOST} images of 8 to {LARGEST} pixels are drawn here")])
    model = loaded(name)
    size = max(1, size // model.unit) * model.unit
    began = time.perf_counter()
    with torch.no_grad():
        images = sample(model, count, size, generator=seed, on_step=on_step)
    line = f"**{name}**; {count} of {size} x {size} pixels, seed {seed}; {time.perf_counter() - began:.1f} s"
    return [picture(image) for image in images], line


def tab(page: Layout) -> None:
    """Lay the tab out."""
    gr = page.gr
    names = offered(lambda model: model.channels in (1, 3))
    first = "photographs-haar-rf13"
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            model = gr.Dropdown(names, value=first if first in names else names[0], label="Model")
            count = gr.Slider(1, MOST, value=4, step=1, label="How many")
            size = gr.Slider(16, LARGEST, value=64, step=16, label="Side in pixels")
            seed = gr.Number(0, precision=0, minimum=0, label="Seed")
            button = gr.Button("Draw", variant="primary", elem_id="draw-button")
        with gr.Column(scale=2, min_width=280):
            gallery = gr.Gallery(label="Samples", columns=4, format="png", object_fit="contain", elem_id="draw-result")
            line = gr.Markdown(elem_id="draw-line")

    def run(name: str, count: int, size: int, seed: int, progress: Any = gr.Progress()) -> Any:
        def on_step(j: int, k: int, _: Any, sigma: Any) -> None:
            progress((k, None), desc=f"scale {j}, noise {sigma.max().item():.3f}")

        return draw(name, int(count), int(size), int(seed), on_step)

    button.click(page.telling(run), [model, count, size, seed], [gallery, line])
