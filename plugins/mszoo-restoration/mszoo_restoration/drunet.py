"""DRUNet: *Plug-and-play image restoration with deep denoiser prior* (Zhang, Li, Zuo, Zhang, Van Gool, Timofte, 2021,
arXiv 2008.13751).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import pydantic
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mszoo.conditioners import Conditioner
from mszoo.errors import UnsupportedError

__all__ = ["DRUNet"]

_Width = Annotated[int, pydantic.Field(ge=1, le=2048)]


class DRUNet(Conditioner):
    """A bias-free U-Net of residual blocks, with sigma as one more channel; its own output is the clean image.

    What it returns is the noise, y minus its own output, so that the head ``denoiser`` gives the clean image. Sides are
    padded by their last row or column to multiples of 8. Its parts are named as in the authors' files.

    Args:
        channels: of y and of the output.
        cond_channels: of the clean coarser image; 0 for none.
        widths: channels at the full resolution and after each of the three halvings.
        blocks: residual blocks at each resolution, down and up.
    """

    takes_t = True
    batch_independent = True

    def __init__(
        self,
        channels: int,
        cond_channels: int = 0,
        *,
        widths: Sequence[_Width] = (64, 128, 256, 512),
        blocks: Annotated[int, pydantic.Field(ge=1, le=64)] = 4,
    ) -> None:
        super().__init__(channels, cond_channels)
        if len(widths) != 4:
            raise ValueError(f"there are four widths, got {len(widths)}")

        def down(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(*_several(inputs, blocks), nn.Conv2d(inputs, outputs, 2, stride=2, bias=False))

        def up(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.ConvTranspose2d(inputs, outputs, 2, stride=2, bias=False), *_several(outputs, blocks)
            )

        a, b, c, d = widths
        self.m_head = _same(channels + cond_channels + 1, a)
        self.m_down1, self.m_down2, self.m_down3 = down(a, b), down(b, c), down(c, d)
        self.m_body = nn.Sequential(*_several(d, blocks))
        self.m_up3, self.m_up2, self.m_up1 = up(d, c), up(c, b), up(b, a)
        self.m_tail = _same(a, channels)

    @property
    def receptive_field(self) -> int | None:
        """None: larger than most images."""
        return None

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        """See :meth:`mszoo.conditioners.Conditioner.forward`. Raises UnsupportedError without t."""
        if t is None:
            raise UnsupportedError("DRUNet is not blind: give the noise level (sigma, or t)")
        height, width = y.shape[-2:]
        sigma = t.sqrt().to(y.dtype)[:, None, None, None].expand(-1, 1, height, width)
        x = torch.cat([self.join(y, cond), sigma], 1)
        x1 = self.m_head(F.pad(x, (0, -width % 8, 0, -height % 8), mode="replicate"))
        x2 = self.m_down1(x1)
        x3 = self.m_down2(x2)
        x4 = self.m_down3(x3)
        h = self.m_up3(self.m_body(x4) + x4)
        h = self.m_up1(self.m_up2(h + x3) + x2)
        return y - self.m_tail(h + x1)[..., :height, :width]


class _Residual(nn.Module):
    """x + convolution(ReLU(convolution(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.res = nn.Sequential(_same(width, width), nn.ReLU(), _same(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.res(x)


def _same(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def _several(width: int, count: int) -> list[nn.Module]:
    return [_Residual(width) for _ in range(count)]
