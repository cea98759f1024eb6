"""Norms, activations and the noise embedding that the conditioners share."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "Activation",
    "BatchScale",
    "ChannelScale",
    "ContrastConv",
    "NoiseEmbedding",
    "Waves",
    "Norm",
    "activate",
    "convolution",
    "make_norm",
]

Norm = Literal["batch", "channel", "none"]
Activation = Literal["relu", "gelu", "softplus"]


def activate(x: Tensor, activation: Activation) -> Tensor:
    """ReLU, exact GELU, or softplus lowered by log 2 so that zero stays zero."""
    if activation == "relu":
        return F.relu(x)
    return F.gelu(x) if activation == "gelu" else F.softplus(x) - math.log(2)


def convolution(inputs: int, outputs: int, size: int) -> nn.Conv2d:
    """A bias-free convolution that keeps the image's size, with Kaiming's normal initialization (fan in).

    Args:
        inputs, outputs: numbers of channels.
        size: side of the kernel, odd.
    """
    layer = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight)
    return layer


class ContrastConv(nn.Conv2d):
    """A bias-free 3 x 3 convolution that does not see the brightness of its first channels.

    Their kernels are used less their mean, and the image is continued at its edge: adding a constant to one of these
    channels changes nothing. (The idea of Herbreteau, Moebel, Kervrann, *Normalization-equivariant neural networks*,
    NeurIPS 2023: a denoiser need not learn that noise has no mean.)

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        images: how many of the first inputs are images; the others are convolved as usual.
    """

    def __init__(self, inputs: int, outputs: int, images: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1, padding_mode="replicate", bias=False)
        self.images = images
        nn.init.kaiming_normal_(self.weight)

    def kernels(self) -> Tensor:
        """The kernels as they are applied."""
        image, other = self.weight[:, : self.images], self.weight[:, self.images :]
        return torch.cat([image - image.mean((2, 3), keepdim=True), other], 1)

    def forward(self, input: Tensor) -> Tensor:  # noqa: D102
        return F.conv2d(F.pad(input, (1, 1, 1, 1), mode="replicate"), self.kernels())


def make_norm(norm: Norm, width: int) -> nn.Module:
    """A norm for ``width`` channels."""
    return {"batch": BatchScale, "channel": ChannelScale, "none": _NoScale}[norm](width)


class BatchScale(nn.Module):
    """Paper A's norm: divide each channel by its standard deviation, times a learned gain; nothing is added.

    In training the (biased) deviation is taken over batch and space, and the gradient flows through it; in eval it
    is a running value, so that the network is exactly homogeneous. Input and output (B, C, H, W).

    Attributes:
        momentum: weight of a new batch in the running value; None averages all batches since
            :meth:`reset_running_stats` (as torch's batch norm has it).
    """

    eps = 1e-5

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.register_buffer("running_std", torch.ones(width))
        self.running_std: Tensor
        self.momentum: float | None = 0.1
        self._batches = 0

    def reset_running_stats(self) -> None:
        """Start the running value anew."""
        self.running_std.fill_(1.0)
        self._batches = 0

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if self.training:
            variance = x.to(torch.promote_types(x.dtype, torch.float32)).var((0, 2, 3), unbiased=False)
            std = torch.sqrt(variance + self.eps)
            with torch.no_grad():
                self._batches += 1
                weight = 1 / self._batches if self.momentum is None else self.momentum
                self.running_std.lerp_(std.to(self.running_std.dtype), weight)
        else:
            std = self.running_std
        return x * (self.gain / std).to(x.dtype)[:, None, None]


class ChannelScale(nn.Module):
    """Divide each pixel by the root mean square of its channels, times a learned gain: local, batch-independent.

    The generous ``eps`` keeps the derivatives of a deep stack finite where an image is exactly zero. Input and
    output (B, C, H, W).
    """

    eps = 1e-2

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        power = x.square().mean(1, keepdim=True)
        return x * torch.rsqrt(power + self.eps) * self.gain[:, None, None]


class _NoScale(nn.Identity):
    def __init__(self, width: int) -> None:
        super().__init__()


class Waves(nn.Module):
    """Cosines and sines of log t at several frequencies, (B,) -> (B, 2n); or of t itself.

    log t is that of t held between 1e-9 and 1e4, beyond which the waves are constant: t = 0 is legal.

    Args:
        frequency: (n,), in radians per nat (or per unit of t); None: 16 for the 30 nats between these limits, of
            wavelengths from twice that down to 2.
        log: whether of log t, or of t.

    Example:
        >>> waves = Waves(torch.tensor([1.0, 2.0]))
        >>> waves(torch.tensor([1.0]), torch.float32)  # log 1 is 0
        tensor([[1., 1., 0., 0.]])
        >>> Waves().features
        32
    """

    t_min = 1e-9
    t_max = 1e4

    def __init__(self, frequency: Tensor | None = None, log: bool = True) -> None:
        super().__init__()
        if frequency is None:  # on the CPU: on the device meta, where a checkpoint is tried, it loads torch's compiler
            frequency = torch.logspace(-1, math.log10(math.pi), 16, device="cpu")
        self.register_buffer("frequency", frequency.to(torch.empty(0).device), persistent=False)
        self.frequency: Tensor
        self.log = log
        self.features = 2 * len(frequency)

    def forward(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        """Waves of t, computed in float32 at least (half precision has no 1e-9) and returned in ``dtype``."""
        t = t.to(torch.promote_types(dtype, torch.float32))
        phase = (t.clamp(self.t_min, self.t_max).log() if self.log else t)[:, None] * self.frequency.to(t.dtype)
        return torch.cat([phase.cos(), phase.sin()], 1).to(dtype)


class NoiseEmbedding(nn.Module):
    """Features of the noise variance: waves, then a small network. (B,) -> (B, features).

    Args:
        features: how many.
        waves: of t; None: those of its logarithm.
    """

    def __init__(self, features: int = 64, waves: Waves | None = None) -> None:
        super().__init__()
        self.features = features
        self.waves = Waves() if waves is None else waves
        self.network = nn.Sequential(
            nn.Linear(self.waves.features, features), nn.SiLU(), nn.Linear(features, features), nn.SiLU()
        )

    def forward(self, t: Tensor) -> Tensor:  # noqa: D102
        return self.network(self.waves(t, next(self.network.parameters()).dtype))
