"""Blurred photographs become sharper, up to their edges."""

import torch

import mszoo
from mszoo.experiments.demo import astronaut_face
from mszoo.inference import Blur, Schedule, deblur, fast


def test_a_blurred_photograph_becomes_sharper():
    """Blurred as a lens does it: what is beyond the edges is not the opposite side, and opposite edges differ."""
    x = astronaut_face()[:, :, 40:104, 40:103]
    reach = torch.nn.functional.pad(x, [8] * 4, mode="replicate")
    blurred = Blur.gaussian(2.0, (80, 79)).forward(reach)[..., 8:-8, 8:-8]
    quick, seen = Schedule(h0=0.5, beta=0.05, floor=0.01, annealed=True), []
    restored = deblur(
        fast(mszoo.load("photographs-haar-rf13")), blurred, 2.0, generator=0, schedule=quick,
        on_step=lambda k, y, level: seen.append(y.shape),
    )  # fmt: skip
    assert restored.shape == x.shape
    assert seen[0] == (1, 1, 80, 79)  # mirrored as far as the blur reaches
    gained = 10 * torch.log10((blurred - x).square().mean() / (restored - x).square().mean())
    assert gained > 0.5
