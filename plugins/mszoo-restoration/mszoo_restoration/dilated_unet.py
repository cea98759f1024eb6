"""The small U-Net of *Robust and interpretable blind image denoising via bias-free convolutional neural networks*
(Mohan, Kadkhodaie, Simoncelli, Fernandez-Granda, 2020, arXiv 1906.05478): one halving, dilated layers inside.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mszoo.conditioners import Conditioner

__all__ = ["DilatedUNet"]


class DilatedUNet(Conditioner):
    """Two layers, half the resolution for four, two layers; its own output is the clean image. Blind.

    What it returns is the noise, y minus its own output, so that the head ``denoiser`` gives the clean image. An odd
    side is padded by a row or column of zeros.

    Args:
        channels: of y and of the output.
        cond_channels: of the clean coarser image; 0 for none.
        width: channels at the full resolution; twice as many at half of it.
        bias: whether the convolutions have biases; without, the network is homogeneous of degree 1.
    """

    batch_independent = True

    def __init__(self, channels: int, cond_channels: int = 0, *, width: int = 32, bias: bool = False) -> None:
        super().__init__(channels, cond_channels)

        def layer(inputs: int, outputs: int, size: int = 3, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
            padding = size // 2 * dilation
            return nn.Conv2d(inputs, outputs, size, stride, padding, dilation, bias=bias)

        self.conv1 = layer(channels + cond_channels, width, 5)
        self.conv2 = layer(width, width)
        self.conv3 = layer(width, 2 * width, stride=2)
        self.conv4 = layer(2 * width, 2 * width)
        self.conv5 = layer(2 * width, 2 * width, dilation=2)
        self.conv6 = layer(2 * width, 2 * width, dilation=4)
        self.conv7 = nn.ConvTranspose2d(2 * width, 2 * width, 4, stride=2, padding=1, bias=bias)
        self.conv8 = layer(3 * width, width)
        self.conv9 = layer(width, channels, 5)

    @property
    def receptive_field(self) -> int | None:
        """51: 7 pixels to each side by the layers before and after, 18 by those between."""
        return 51

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        """See :meth:`mszoo.conditioners.Conditioner.forward`."""
        height, width = y.shape[-2:]
        h = F.pad(self.join(y, cond), (0, width % 2, 0, height % 2))
        skipped = F.relu(self.conv2(F.relu(self.conv1(h))))
        h = skipped
        for inner in (self.conv3, self.conv4, self.conv5, self.conv6, self.conv7):
            h = F.relu(inner(h))
        h = self.conv9(F.relu(self.conv8(torch.cat([h, skipped], 1))))
        return y - h[..., :height, :width]
