"""Paper A's network: a plain stack of convolutions without biases, of chosen receptive field.

*Learning multi-scale local conditional probability models of images* (Kadkhodaie, Guth, Mallat, Simoncelli, ICLR
2023, arXiv 2303.02984). Most layers are 1 x 1; the few 3 x 3 ones set the receptive field, the Markov
neighbourhood of the density that the network models.
"""

from __future__ import annotations

from typing import Annotated

import pydantic
from torch import Tensor, nn

from mszoo.conditioners.base import Conditioner
from mszoo.conditioners.layers import (
    Activation,
    ContrastConv,
    NoiseEmbedding,
    Norm,
    activate,
    convolution,
    make_norm,
)
from mszoo.errors import UnsupportedError

__all__ = ["BiasFreeCNN", "wide_layers"]


def wide_layers(receptive_field: int, depth: int) -> frozenset[int]:
    """Which of the inner layers 1 ... depth - 2 are 3 x 3 (the first and the last always are).

    A stack with n inner 3 x 3 layers has receptive field 2 (n + 2) + 1; they are spread evenly. Paper A's
    networks (21 layers; RF 5, 9, 13, 23, 43) follow, RF 9 with the paper's own positions 8 and 16.

    Raises:
        ValueError: an even receptive field, or one that this depth cannot have.
    """
    inner, largest = (receptive_field - 5) // 2, 2 * depth + 1
    if receptive_field % 2 == 0 or not 5 <= receptive_field <= largest:
        raise ValueError(
            f"a stack of {depth} layers has an odd receptive field from 5 to {largest}, got {receptive_field}"
        )
    if (receptive_field, depth) == (9, 21):
        return frozenset({8, 16})
    # round(i (depth - 1) / (inner + 1)) in integers
    return frozenset((2 * i * (depth - 1) + inner + 1) // (2 * (inner + 1)) for i in range(1, inner + 1))


class BiasFreeCNN(Conditioner):
    """A bias-free CNN: first layer linear, then [convolution, norm, activation] layers, last layer linear.

    With the defaults it is paper A's: blind and, in eval mode, homogeneous of degree 1. An energy needs
    ``norm="channel"`` (or ``"none"``), ``activation="gelu"`` (or ``"softplus"``) and ``noise_embedding=True``.

    Args:
        channels: of y and of the output.
        cond_channels: of the clean coarser image; 0 for none.
        receptive_field: odd, 5 to 2 depth + 1.
        width: channels of the inner layers.
        depth: number of convolutions; by default 21, but 20 for receptive field 41 (paper A's low-pass model).
        norm: ``batch`` (paper A's), ``channel`` (local and batch-independent) or ``none``.
        activation: ``relu``, ``gelu`` or ``softplus``.
        noise_embedding: multiply each layer by 1 + a linear function of an embedding of t.
        brightness_invariant: make the first layer blind to a constant added to the image (the condition, or y where
            there is none): the denoised image then brightens by the same constant, and the network
            learns faster; see ``ContrastConv``. Not in paper A.

        zero_output: start with a last layer of zeros, for a head that adds the network to something (``anchored``,
            ``predictive``).

    Raises:
        ValueError: a receptive field that the depth cannot have.

    Example:
        >>> import torch
        >>> network = BiasFreeCNN(3, cond_channels=1, receptive_field=13)
        >>> network(torch.rand(2, 3, 16, 16), cond=torch.rand(2, 1, 16, 16)).shape
        torch.Size([2, 3, 16, 16])
        >>> sum(p.numel() for p in network.parameters())
        214144
    """

    def __init__(
        self,
        channels: int,
        cond_channels: int = 0,
        *,
        receptive_field: int = 13,
        width: Annotated[int, pydantic.Field(ge=1, le=4096)] = 64,
        depth: Annotated[int, pydantic.Field(ge=2, le=1024)] | None = None,
        norm: Norm = "batch",
        activation: Activation = "relu",
        noise_embedding: bool = False,
        brightness_invariant: bool = False,
        zero_output: bool = False,
    ) -> None:
        super().__init__(channels, cond_channels)
        depth = depth or (20 if receptive_field == 41 else 21)
        wide = wide_layers(receptive_field, depth)
        self.takes_t = noise_embedding
        self.batch_independent = norm != "batch"
        self.smooth = activation != "relu"
        self.activation: Activation = activation
        self._receptive_field = receptive_field
        self.first = (
            ContrastConv(channels + cond_channels, width, cond_channels or channels)
            if brightness_invariant
            else convolution(channels + cond_channels, width, 3)
        )
        self.inner = nn.ModuleList(convolution(width, width, 3 if i in wide else 1) for i in range(1, depth - 1))
        self.norms = nn.ModuleList(make_norm(norm, width) for _ in self.inner)
        self.last = convolution(width, channels, 3)
        if zero_output:
            nn.init.zeros_(self.last.weight)
        self.embedding = NoiseEmbedding() if noise_embedding else None
        self.modulations = nn.ModuleList(
            _modulation(self.embedding.features, width) for _ in self.inner if self.embedding is not None
        )

    @property
    def receptive_field(self) -> int | None:
        """As asked for; None in training with ``norm="batch"``, whose statistics see the whole batch."""
        return None if self.training and not self.batch_independent else self._receptive_field

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        """Apply the network; see :meth:`Conditioner.forward`. Raises UnsupportedError if t is needed and None."""
        h = self.first(self.join(y, cond))
        if self.embedding is None:
            for layer, norm in zip(self.inner, self.norms, strict=True):
                h = activate(norm(layer(h)), self.activation)
            return self.last(h)
        if t is None:
            raise UnsupportedError("this network is not blind: give the noise level (sigma, or t)")
        embedded = self.embedding(t)
        for layer, norm, modulation in zip(self.inner, self.norms, self.modulations, strict=True):
            h = norm(layer(h)) * (1 + modulation(embedded))[:, :, None, None]
            h = activate(h, self.activation)
        return self.last(h)


def _modulation(features: int, width: int) -> nn.Linear:
    """A linear function that starts as zero."""
    layer = nn.Linear(features, width)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
