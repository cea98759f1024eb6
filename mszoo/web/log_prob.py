"""The page's fourth tab: how probable a photograph is, at which scale, and where it is not."""

from __future__ import annotations

import io
import math
import time

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from mszoo.evaluation.plots import drawing, maps_figure
from mszoo.evaluation.probability import cut
from mszoo.inference import has_density, log_prob_map
from mszoo.web.layout import Layout
from mszoo.web.models import loaded, offered
from mszoo.web.photographs import Photo, at_most, given

__all__ = ["probability", "tab"]

LARGEST = 768  # side of what is measured; mszoo log-prob takes any


def probability(photo: Photo | None, name: str) -> tuple[str, np.ndarray]:
    """log p of a photograph, of each of its scales, and of every place.

    Args:
        photo: that was chosen; one of more than 768 pixels a side is brought down to these.
        name: of a model with a density.

    Returns:
        A table in Markdown, and a picture of the maps.
    """
    photo, model = given(photo), loaded(name)
    image = cut(at_most(photo.of(model.channels), LARGEST, model.unit), model.unit)
    began = time.perf_counter()
    with torch.no_grad():
        shares = [share[0].cpu() for share in log_prob_map(model, image[None].to(model.device))]
    seconds, d = time.perf_counter() - began, image.numel()
    nats = [share.double().sum().item() for share in shares]
    counts = [share.numel() * model.channels * (1 if j == model.levels else 3) for j, share in enumerate(shares)]
    total = 8 - sum(nats) / (d * math.log(2))
    size = f"{image.shape[-1]} x {image.shape[-2]}"
    lines = [
        f"**{total:.3f} bits/dim** of {size} pixels by **{name}**; {seconds:.1f} s",
        "",
        "| scale | numbers | bits each | bits/dim |",
        "| --- | ---: | ---: | ---: |",
    ]
    for j, (log_p, count) in enumerate(zip(nats, counts, strict=True)):
        each = 8 - log_p / (count * math.log(2))
        called = f"details {j}" if j < model.levels else "coarsest image"
        lines.append(f"| {called} | {count:,} | {each:.3f} | {each * count / d:.3f} |")
    return "\n".join(lines), _drawn(maps_figure(photo.name, image, shares, columns=3))


def tab(page: Layout) -> None:
    """Lay the tab out."""
    gr = page.gr
    names = offered(has_density)
    first = "photographs-energy"
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            gr.Markdown("Fewer bits: more probable. Smooth photographs are the most probable ones.")
            model = gr.Dropdown(names, value=first if first in names else names[0], label="Model")
            button = gr.Button("How probable?", variant="primary", elem_id="log-prob-button")
        with gr.Column(scale=2, min_width=280):
            line = gr.Markdown(elem_id="log-prob-line")
            maps = gr.Image(label="Where it is improbable", format="png", elem_id="log-prob-result")
    button.click(page.telling(probability), [page.photo, model], [line, maps])


def _drawn(figure: Figure) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(drawing(figure))).convert("RGB"))
