"""Paper B's network: a bias-free U-Net with norms over space and an embedding of the noise variance.

*Learning normalized image densities via dual score matching* (Guth, Kadkhodaie, Simoncelli, 2025, arXiv 2506.05310).
It is not homogeneous: the norms equalize the channels but keep the global scale, which the GELU sees. An energy
<y, f> / 2 needs that: with a homogeneous f it would be quadratic along every ray.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import pydantic
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mszoo.bases import check_size
from mszoo.conditioners.base import Conditioner
from mszoo.conditioners.layers import NoiseEmbedding, Waves
from mszoo.errors import UnsupportedError

__all__ = ["UNet"]

_FEATURES = 256  # of the noise embedding
_FewLayers = Annotated[int, pydantic.Field(ge=1, le=64)]
_Layers = Annotated[int, pydantic.Field(ge=2, le=64)]
_HALVINGS = pydantic.AliasChoices("halvings", "scales")  # what recipes and checkpoints call it, now and before


class UNet(Conditioner):
    """A U-Net of some ``halvings``. Takes t, depends on one image at a time, is smooth and sees the whole image.

    Both sides of the image must be multiples of 2^halvings. The condition is concatenated to y at the input.

    Args:
        channels: of y and of the output.
        cond_channels: of the clean coarser image; 0 for none.
        width: channels at the finest resolution; each halving doubles them.
        halvings: how often the image is halved (``scales`` in recipes and checkpoints of early versions).
        depth: layers (convolution, norm, GELU) in each block; or three numbers, those of a block of the encoder, of the
            middle and of a block of the decoder.
        embedding: of the noise variance, ``linear`` in t (paper B's; it is constant below t = 0.01) or ``log``, which
            tells all noise levels apart down to 1e-9.
        zero_output: start with a last layer of zeros, for a head that adds the network to something (``anchored``).

    Example:
        >>> import torch
        >>> network = UNet(1, width=8, halvings=2)
        >>> network(torch.rand(2, 1, 16, 24), torch.tensor([0.01, 0.1])).shape
        torch.Size([2, 1, 16, 24])
        >>> sum(p.numel() for p in UNet(3).parameters())
        8649856
    """

    takes_t = True
    batch_independent = True
    smooth = True

    def __init__(
        self,
        channels: int,
        cond_channels: int = 0,
        *,
        width: Annotated[int, pydantic.Field(ge=1, le=1024)] = 64,
        halvings: Annotated[int, pydantic.Field(ge=1, le=8, validation_alias=_HALVINGS)] = 3,
        depth: _Layers | tuple[_FewLayers, _Layers, _Layers] = 3,
        embedding: Literal["linear", "log"] = "linear",
        zero_output: bool = False,
    ) -> None:
        super().__init__(channels, cond_channels)
        self.unit = 2**halvings
        self.embedding = _noise_embedding(embedding == "log")
        widths = [width * 2**s for s in range(halvings + 1)]
        joined = channels + cond_channels
        before, between, after = (depth,) * 3 if isinstance(depth, int) else depth
        encoder = [_block([_same(joined, width), *_several(width, before - 1)])]
        encoder += [_block([_halve(w // 2, w), *_several(w, before - 1)]) for w in widths[1:-1]]
        self.encoder = nn.ModuleList(encoder)
        deepest = widths[-1]
        self.middle = _block(
            [_halve(deepest // 2, deepest), *_several(deepest, between - 2), _double(deepest, deepest // 2)]
        )
        # coarsest first, in the order of application
        decoder = [
            _block([_same(2 * w, w), *_several(w, after - 2), _double(w, w // 2)]) for w in reversed(widths[1:-1])
        ]
        decoder.append(_block([_same(2 * width, width), *_several(width, after - 2)]))
        self.decoder = nn.ModuleList(decoder)
        self.last = _same(width, channels)
        if zero_output:
            nn.init.zeros_(self.last.weight)

    @property
    def receptive_field(self) -> int | None:
        """None: the norms average over the whole image."""
        return None

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        """Apply the network; see :meth:`Conditioner.forward`.

        Raises:
            UnsupportedError: no t.
            ImageSizeError: a side that is not a multiple of 2^halvings.
        """
        if t is None:
            raise UnsupportedError("this network is not blind: give the noise level (sigma, or t)")
        check_size(y.shape[-2], y.shape[-1], len(self.encoder))
        h, embedded = self.join(y, cond), self.embedding(t).to(y.dtype)
        skipped: list[Tensor] = []
        for block in self.encoder:
            h = _apply(block, h, embedded)
            skipped.append(h)
        h = _apply(self.middle, h, embedded)
        for block in self.decoder:
            h = _apply(block, torch.cat([h, skipped.pop()], 1), embedded)
        return self.last(h)


class SpatialScale(nn.Module):
    """Paper B's norm: centre each channel over space and give all channels of an image the same variance.

    Their mean variance is kept: sqrt(mean_c(v) / (v_c + eps) + eps) multiplies channel c, whose variance is v_c; and so
    do a learned gain and 1 + a linear function of the noise embedding. Input and output (B, C, H, W); the statistics
    are taken in float32 at least.
    """

    eps = 1e-5

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.modulation = nn.Linear(_FEATURES, width)

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        centred = x.to(torch.promote_types(x.dtype, torch.float32))
        centred = centred - centred.mean((2, 3), keepdim=True)
        variance = centred.square().mean((2, 3), keepdim=True)  # four times as fast as torch.var_mean on a CPU
        factor = torch.sqrt(variance.mean(1, keepdim=True) / (variance + self.eps) + self.eps)
        factor = factor * (self.gain * (1 + self.modulation(embedded)))[:, :, None, None]
        return (centred * factor).to(x.dtype)


class _Layer(nn.Module):
    """Convolution, norm, exact GELU."""

    def __init__(self, convolution: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = SpatialScale(convolution.out_channels)

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        return F.gelu(self.norm(self.convolution(x), embedded))


def _noise_embedding(log: bool) -> NoiseEmbedding:
    """Paper B's: 32 frequencies for t itself, pi times as high for log t; float32, whatever the default precision.

    They differ from those of the other networks, which trained checkpoints rely on.
    """
    frequency = torch.exp(-torch.linspace(0, math.log(100), 32, dtype=torch.float32, device="cpu"))
    return NoiseEmbedding(_FEATURES, Waves(math.pi * frequency if log else frequency, log))


def _same(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def _several(width: int, number: int) -> list[nn.Conv2d]:
    return [_same(width, width) for _ in range(number)]


def _halve(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 2, stride=2, bias=False)


def _double(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 2, stride=2, bias=False)


def _block(convolutions: list[nn.Conv2d | nn.ConvTranspose2d]) -> nn.ModuleList:
    return nn.ModuleList(_Layer(c) for c in convolutions)


def _apply(block: nn.Module, h: Tensor, embedded: Tensor) -> Tensor:
    assert isinstance(block, nn.ModuleList)
    for layer in block:
        h = layer(h, embedded)
    return h
