"""A plain stack of 3 x 3 convolutions with ReLUs between: DnCNN, BF-CNN and IRCNN, their norms merged into it.

DnCNN: *Beyond a Gaussian denoiser* (Zhang, Zuo, Chen, Meng, Zhang, 2017, arXiv 1608.03981). BF-CNN: *Solving linear
inverse problems using the prior implicit in a denoiser* (Kadkhodaie, Simoncelli, 2020, arXiv 2007.13640). IRCNN:
*Learning deep CNN denoiser prior for image restoration* (Zhang, Zuo, Gu, Zhang, 2017, arXiv 1704.03264).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import pydantic
import torch.nn.functional as F
from torch import Tensor, nn

from mszoo.conditioners import Conditioner

__all__ = ["Stack"]

_Positive = Annotated[int, pydantic.Field(ge=1, le=1024)]


class Stack(Conditioner):
    """Convolutions, a ReLU after each but the last; the output is the noise. Blind.

    Args:
        channels: of y and of the output.
        cond_channels: of the clean coarser image; 0 for none.
        width: channels between the layers.
        depth: number of convolutions.
        bias: whether they have biases; without, the network is homogeneous of degree 1.
        dilations: of each convolution; None: 1.
    """

    batch_independent = True

    def __init__(
        self,
        channels: int,
        cond_channels: int = 0,
        *,
        width: _Positive = 64,
        depth: Annotated[int, pydantic.Field(ge=2, le=256)] = 17,
        bias: bool = True,
        dilations: Sequence[_Positive] | None = None,
    ) -> None:
        super().__init__(channels, cond_channels)
        dilations = [1] * depth if dilations is None else list(dilations)
        if len(dilations) != depth:
            raise ValueError(f"{depth} layers have {len(dilations)} dilations")
        widths = [channels + cond_channels, *[width] * (depth - 1), channels]
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=d, dilation=d, bias=bias)
            for a, b, d in zip(widths[:-1], widths[1:], dilations, strict=True)
        )
        self._receptive_field = 2 * sum(dilations) + 1

    @property
    def receptive_field(self) -> int | None:
        """Twice the sum of the dilations, and one."""
        return self._receptive_field

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        """See :meth:`mszoo.conditioners.Conditioner.forward`."""
        h = self.join(y, cond)
        for layer in self.layers[:-1]:
            h = F.relu(layer(h))
        return self.layers[-1](h)
