"""A bias-free U-Net: paper A's principle in a network that sees the whole image at the price of a small one.

For the coarsest scale, whose density paper A does not take to be local, or for the whole image. That a denoiser without
biases is homogeneous
and so fit for every noise level holds for any such network: Mohan, Kadkhodaie, Simoncelli, Fernandez-Granda, *Robust
and interpretable blind image denoising via bias-free convolutional neural networks*, ICLR 2020.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import pydantic
import torch
from torch import Tensor, nn

from mszoo.bases import Basis, pad_to_multiple
from mszoo.conditioners.base import Conditioner
from mszoo.conditioners.layers import Activation, ContrastConv, activate, convolution
from mszoo.discovery import registry

__all__ = ["BiasFreeUNet"]

_Width = Annotated[int, pydantic.Field(ge=1, le=4096)]
_Blocks = Annotated[int, pydantic.Field(ge=1, le=64)]


class BiasFreeUNet(Conditioner):
    """Residual blocks at several resolutions, on the way down and up, each way joined by addition. Blind.

    Homogeneous of degree 1 with the default activation, and brightness invariant: adding a constant to the image (the
    condition, or y where there is none) changes nothing; see ``ContrastConv``.

    Args:
        channels: of y and of the output.
        cond_channels: of the clean coarser image; 0 for none.
        widths: channels at each resolution, finest first; every resolution is half of the one before.
        blocks: residual blocks at each resolution, on each way: one number for all, or a list, finest first, as long
            as ``widths``. At the coarsest the two ways are one.
        activation: ``relu``, ``gelu`` or ``softplus``.
        basis: a wavelet basis whose four bands the network works on, at half the image's resolution, instead of the
            pixels: a convolution then costs a quarter, and sees twice as far. None: the pixels.

    Example:
        >>> import torch
        >>> BiasFreeUNet(1, widths=[8, 16]).eval()(torch.rand(2, 1, 21, 16)).shape
        torch.Size([2, 1, 21, 16])
        >>> BiasFreeUNet(3, widths=[8, 16], basis="haar").eval()(torch.rand(2, 3, 21, 16)).shape
        torch.Size([2, 3, 21, 16])
        >>> BiasFreeUNet(1, widths=[8, 16], blocks=[3, 1]).receptive_field  # deeper where the detail is
        41

    Raises:
        ValueError: ``blocks`` is of another length than ``widths``.
    """

    def __init__(
        self,
        channels: int,
        cond_channels: int = 0,
        *,
        widths: Annotated[list[_Width], pydantic.Field(min_length=1, max_length=8)] | None = None,
        blocks: _Blocks | list[_Blocks] = 1,
        activation: Activation = "relu",
        basis: str | None = None,
    ) -> None:
        super().__init__(channels, cond_channels)
        widths = widths or [64, 96, 128]
        self.basis: Basis | None = None if basis is None else registry().create("basis", basis)
        bands = 1 if basis is None else 4
        self.blocks = blocks if isinstance(blocks, list) else [blocks] * len(widths)
        if len(self.blocks) != len(widths):
            raise ValueError(
                f"blocks: {len(self.blocks)} numbers for {len(widths)} widths; give one for each width, or one for all"
            )
        self.stride = (1 if basis is None else 2) * 2 ** (len(widths) - 1)
        self.batch_independent = True
        self.smooth = activation != "relu"
        self.first = ContrastConv(bands * (channels + cond_channels), widths[0], cond_channels or channels)
        stages = list(zip(widths, self.blocks, strict=True))
        self.encoder = nn.ModuleList(_blocks(*stage, activation) for stage in stages)
        self.decoder = nn.ModuleList(_blocks(*stage, activation) for stage in stages[:-1])
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, 2, bias=False) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, 2, bias=False) for fine, coarse in pairwise(widths))
        self.last = convolution(widths[0], bands * channels, 3)
        for layer in (*self.down, *self.up):
            assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
            # Each output of a layer up comes from one position below: the inputs are all the fan there is.
            inputs = layer.in_channels if isinstance(layer, nn.ConvTranspose2d) else layer.weight[0].numel()
            nn.init.normal_(layer.weight, std=inputs**-0.5)

    @property
    def receptive_field(self) -> int | None:
        """Side of a square that holds all that an output depends on; None: a basis that wraps around the image."""
        if self.basis is not None and self.basis.taps > 2:
            return None
        finest, *coarser = [2 * n for n in self.blocks]  # each of their convolutions sees one pixel further
        reach = 1 + finest
        for convolutions in coarser:
            reach = -(-reach // 2) + convolutions
        for convolutions in reversed([finest, *coarser][:-1]):
            reach = 2 * reach + 1 + convolutions
        reach += 1
        return 1 + 2 * (reach if self.basis is None else 2 * reach + 1)

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        """Apply the network; see :meth:`Conditioner.forward`. Any size: the image is mirrored at its edge."""
        height, width = y.shape[-2:]
        # Mirrored, not repeated: noise along streaks is no white noise, and costs 1 to 3 dB on small images.
        h = pad_to_multiple(self.join(y, cond), self.stride)
        h = self.first(h if self.basis is None else torch.cat(self.basis.analyze(h), 1))
        skipped: list[Tensor] = []
        for encoder, down in zip(self.encoder, self.down, strict=False):
            h = encoder(h)
            skipped.append(h)
            h = down(h)
        h = self.encoder[-1](h)
        for decoder, up in zip(reversed(self.decoder), reversed(self.up), strict=True):
            h = decoder(up(h) + skipped.pop())
        h = self.last(h)
        if self.basis is not None:
            h = self.basis.synthesize(h[:, : self.channels], h[:, self.channels :])
        return h[..., :height, :width]


class Block(nn.Module):
    """h + convolution(activation(convolution(h))), which starts as the identity."""

    def __init__(self, width: int, activation: Activation) -> None:
        super().__init__()
        self.activation: Activation = activation
        self.first = convolution(width, width, 3)
        self.last = convolution(width, width, 3)
        nn.init.zeros_(self.last.weight)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.last(activate(self.first(h), self.activation))


def _blocks(width: int, number: int, activation: Activation) -> nn.Sequential:
    return nn.Sequential(*(Block(width, activation) for _ in range(number)))
