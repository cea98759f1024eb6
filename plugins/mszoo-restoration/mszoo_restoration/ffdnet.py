"""FFDNet: *Toward a fast and flexible solution for CNN-based image denoising* (Zhang, Zuo, Zhang, 2018, arXiv
1710.04026).
"""

from __future__ import annotations

import itertools
from typing import Annotated

import pydantic
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mszoo.conditioners import Conditioner
from mszoo.errors import UnsupportedError

__all__ = ["FFDNet"]


class FFDNet(Conditioner):
    """Convolutions of the four images of half the size, and of a map of sigma; its own output is the clean image.

    What it returns is the noise, y minus its own output, so that the head ``denoiser`` gives the clean image. An odd
    side is padded by its last row or column.

    Args:
        channels: of y and of the output.
        cond_channels: of the clean coarser image; 0 for none.
        width: channels between the layers; the published ones have 64 (grey) and 96 (colour).
        depth: number of convolutions; the published ones have 15 (grey) and 12 (colour).
    """

    takes_t = True
    batch_independent = True

    def __init__(
        self,
        channels: int,
        cond_channels: int = 0,
        *,
        width: Annotated[int, pydantic.Field(ge=1, le=1024)] = 64,
        depth: Annotated[int, pydantic.Field(ge=2, le=256)] = 15,
    ) -> None:
        super().__init__(channels, cond_channels)
        widths = [4 * (channels + cond_channels) + 1, *[width] * (depth - 1), 4 * channels]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths))

    @property
    def receptive_field(self) -> int | None:
        """Four pixels for each layer, and three."""
        return 4 * len(self.layers) + 3

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        """See :meth:`mszoo.conditioners.Conditioner.forward`. Raises UnsupportedError without t."""
        if t is None:
            raise UnsupportedError("FFDNet is not blind: give the noise level (sigma, or t)")
        height, width = y.shape[-2:]
        h = F.pad(self.join(y, cond), (0, width % 2, 0, height % 2), mode="replicate")
        h = F.pixel_unshuffle(h, 2)
        sigma = t.sqrt().to(y.dtype)[:, None, None, None].expand(-1, 1, *h.shape[-2:])
        h = torch.cat([h, sigma], 1)
        for layer in self.layers[:-1]:
            h = F.relu(layer(h))
        return y - F.pixel_shuffle(self.layers[-1](h), 2)[..., :height, :width]
