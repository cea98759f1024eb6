"""A model whose density is known, so that what is drawn from it can be checked: images of one grey each."""

import torch
from torch import Tensor

import mszoo
from mszoo.conditioners import Conditioner
from mszoo.heads import Denoiser


class Residual(Conditioner):
    """The exact noise estimate where the clean coefficients are constant (coarse) or zero (details)."""

    receptive_field = None

    def __init__(self, channels: int, cond_channels: int = 0) -> None:
        super().__init__(channels, cond_channels)
        self.device_of = torch.nn.Parameter(torch.zeros(()))

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        self.join(y, cond)
        return y if self.cond_channels else y - y.mean((2, 3), keepdim=True)


def constant_images(levels: int = 2, channels: int = 1, basis: str = "haar") -> mszoo.MultiScaleModel:
    detail = [Denoiser(Residual(3 * channels, channels)) for _ in range(levels)]
    split = mszoo.create("basis", basis) if levels else None
    return mszoo.MultiScaleModel(channels, Denoiser(Residual(channels)), split, detail).eval()
