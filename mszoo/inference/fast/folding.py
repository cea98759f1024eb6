"""Which conditioners have a faster equivalent for inference.

A conditioner says nothing of it: a function is registered here for its class, and a plugin registers one for its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mszoo.conditioners import BiasFreeCNN, BiasFreeUNet, Conditioner
from mszoo.conditioners.bias_free_unet import Block
from mszoo.conditioners.layers import BatchScale, ChannelScale, ContrastConv
from mszoo.inference.fast.chain import FoldedCNN, channels_last
from mszoo.inference.fast.winograd import Stage

__all__ = ["fold", "folding"]

_C = TypeVar("_C", bound=Conditioner)
_FOLDINGS: dict[type[Conditioner], Callable[[Any, torch.dtype], Conditioner]] = {}


def folding(
    cls: type[_C],
) -> Callable[[Callable[[_C, torch.dtype], Conditioner]], Callable[[_C, torch.dtype], Conditioner]]:
    """Register, as a decorator, the function that folds conditioners of a class.

    It takes a conditioner and the dtype to compute in, and returns a new conditioner that computes the same in eval
    mode, or the one it was given where that cannot be made faster. It is for this class alone: a subclass may compute
    something else, and registers its own.

    Example:
        >>> from mszoo.conditioners import Conditioner
        >>> class Mine(Conditioner):
        ...     receptive_field = 1
        ...     def forward(self, y, t=None, cond=None):
        ...         return y / 2 + y / 2
        >>> class Identity(Mine):
        ...     def forward(self, y, t=None, cond=None):
        ...         return y
        >>> @folding(Mine)
        ... def _(conditioner, dtype):
        ...     return Identity(conditioner.channels, conditioner.cond_channels)
        >>> type(fold(Mine(1))).__name__
        'Identity'
    """

    def register(function: Callable[[_C, torch.dtype], Conditioner]) -> Callable[[_C, torch.dtype], Conditioner]:
        _FOLDINGS[cls] = function
        return function

    return register


def fold(conditioner: Conditioner, dtype: torch.dtype = torch.float32) -> Conditioner:
    """A faster equivalent of a conditioner in eval mode; itself where there is none."""
    function = _FOLDINGS.get(type(conditioner))
    return conditioner if function is None else function(conditioner, dtype)


@folding(BiasFreeCNN)
def _(network: BiasFreeCNN, dtype: torch.dtype) -> Conditioner:
    """In eval mode its norm multiplies each channel by a constant, which goes into the convolution before it."""
    if network.embedding is not None or any(isinstance(norm, ChannelScale) for norm in network.norms):
        return network
    first, last = network.first, network.last
    weights = [first.kernels() if isinstance(first, ContrastConv) else first.weight]
    for layer, norm in zip(network.inner, network.norms, strict=True):
        assert isinstance(layer, nn.Conv2d)
        scale = norm.gain / norm.running_std if isinstance(norm, BatchScale) else layer.weight.new_ones(())
        weights.append(layer.weight * scale.reshape(-1, 1, 1, 1))
    return FoldedCNN(
        network.channels,
        network.cond_channels,
        [w.detach() for w in (*weights, last.weight)],
        activation=network.activation,
        dtype=dtype,
        edge="replicate" if isinstance(first, ContrastConv) else "constant",
    )


@folding(BiasFreeUNet)
def _(network: BiasFreeUNet, dtype: torch.dtype) -> Conditioner:
    if dtype != torch.float32:
        return network
    copied = copy.deepcopy(network)
    for module in list(copied.modules()):
        for name, layer in module.named_children():
            if isinstance(layer, ContrastConv):
                setattr(module, name, _First(layer))
            elif isinstance(layer, Block) and layer.activation == "relu":
                setattr(module, name, _Rectified(layer))
            elif type(layer) is nn.Conv2d and layer.kernel_size == (3, 3):
                setattr(module, name, Stage([layer.weight], rectify=False))
    if hasattr(copied, "part"):
        del copied.part  # it is no longer what its options would make, and so not for saving
    return copied


class _First(nn.Module):
    """A first layer with its kernels worked out. It gives channels last, and so do the layers after it: none copies."""

    def __init__(self, layer: ContrastConv) -> None:
        super().__init__()
        kernels = layer.kernels().detach().contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(kernels, requires_grad=False)

    def forward(self, h: Tensor) -> Tensor:
        return F.conv2d(channels_last(F.pad(h, (1, 1, 1, 1), mode="replicate")), self.weight)


class _Rectified(nn.Module):
    """A block whose rectifier is part of its first convolution."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.first, self.last = Stage([block.first.weight], rectify=True), Stage([block.last.weight], rectify=False)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.last(self.first(h))
