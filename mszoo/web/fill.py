"""The page's third tab: a hole that is painted into a photograph, and filled."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from mszoo.errors import DataError
from mszoo.inference import Inpainting, solve
from mszoo.web.layout import Layout
from mszoo.web.models import CHOSEN, loaded, named, offered
from mszoo.web.photographs import Photo, at_most, given, picture

__all__ = ["canvas", "fill", "tab"]

LARGEST = 192  # side of what is filled; mszoo solve takes any
_UNIT = 8  # a multiple of what every packaged model needs


def canvas(photo: Photo | None) -> dict[str, Any] | None:
    """What is painted on: the photograph, brought down to at most 192 pixels a side."""
    if photo is None or min(photo.own.shape[-2:]) < _UNIT:
        return None
    return {"background": picture(at_most(photo.own, LARGEST, _UNIT)), "layers": [], "composite": None}


def fill(
    photo: Photo | None,
    painted: dict[str, Any] | None,
    name: str,
    seed: int,
    on_step: Callable[..., None] | None = None,
) -> tuple[tuple[np.ndarray, np.ndarray], str]:
    """Fill what was painted over.

    Args:
        photo: that was chosen.
        painted: the layers (H, W, 4) that were painted on it; what is not transparent in one is the hole.
        name: of the model, or :data:`~mszoo.web.models.CHOSEN`.
        seed: of what is drawn.
        on_step: see :func:`mszoo.inference.solve`.

    Returns:
        The picture with its hole, and filled; and a line about them.
    """
    photo = given(photo)
    name = named(name, len(photo.own))
    model = loaded(name)
    x = at_most(photo.own if model.channels == 1 else photo.of(model.channels), LARGEST, _UNIT)
    hole = np.zeros(x.shape[-2:], bool)
    for layer in (painted or {}).get("layers", ()):
        if layer.shape[:2] != hole.shape:
            raise DataError("what is painted is of another photograph; paint the hole again")
        hole |= layer[..., 3] > 0
    if not hole.any():
        raise DataError("paint a hole into the photograph first, with the brush")
    if hole.all():
        raise DataError("nothing is left of the photograph; paint a smaller hole")
    batch = (x[:, None] if model.channels == 1 else x[None]).to(model.device)
    operator = Inpainting(torch.from_numpy(~hole).to(model.device))
    began = time.perf_counter()
    with torch.no_grad():
        filled = solve(model, operator.forward(batch), operator, generator=seed, on_step=on_step)
    holed = torch.where(torch.from_numpy(hole), 1.0, x)
    line = f"**{name}**; {hole.sum():,} of {hole.size:,} pixels filled; {time.perf_counter() - began:.1f} s"
    return (picture(holed), picture(filled.flatten(0, 1))), line


def tab(page: Layout) -> Any:
    """Lay the tab out; returns the editor, whose value is :func:`canvas`."""
    gr = page.gr
    names = offered(lambda model: model.blind and model.channels in (1, 3))
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            editor = gr.ImageEditor(
                label="Paint a hole",
                image_mode="RGBA",
                sources=(),
                transforms=(),
                layers=False,
                brush=gr.Brush(default_size=12, colors=["#ff2d55"], color_mode="fixed"),
                buttons=[],
                height=340,
                elem_id="fill-editor",
            )
            model = gr.Dropdown([CHOSEN, *names], value=CHOSEN, label="Model", elem_id="fill-model")
            seed = gr.Number(0, precision=0, minimum=0, label="Seed: another one draws another filling")
            button = gr.Button("Fill", variant="primary", elem_id="fill-button")
        with gr.Column(scale=2, min_width=280):
            slider = gr.ImageSlider(label="hole | filled", format="png", elem_id="fill-result")
            line = gr.Markdown(elem_id="fill-line")

    def run(photo: Any, painted: Any, name: str, seed: int, progress: Any = gr.Progress()) -> Any:
        def on_step(k: int, _: Any, sigma: Any) -> None:
            progress((k, None), desc=f"noise {sigma.max().item():.3f}")

        return fill(photo, painted, name, int(seed), on_step)

    button.click(page.telling(run), [page.photo, editor, model, seed], [slider, line])
    return editor
