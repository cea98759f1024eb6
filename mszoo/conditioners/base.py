"""The contract of a conditioner: what it takes, what it returns and what it declares about itself."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from mszoo.errors import ImageSizeError
from mszoo.registry import Part

__all__ = ["Conditioner"]


class Conditioner(nn.Module, ABC):
    """A network conditioned on the coarser scale. Subclass it to add one.

    A subclass declares, as attributes or properties:

    - ``takes_t``: whether the output depends on the noise variance. If not, the network is *blind*.
    - ``batch_independent``: an image's output never depends on its neighbours in the batch, also in training.
    - ``smooth``: the output is once differentiable in y, so that a second backward means something.
    - ``receptive_field``: side in coefficients of the square that an output depends on; None: the whole image.
    - ``unit``: what both sides of y must be multiples of; 1 unless declared.
    - ``stride``: shifts of y by multiples of it (and of ``unit``) shift the output; 1 unless declared.
    - ``features``: n for a network that returns (B, n) instead of the shape of y; None otherwise.

    Args:
        channels: of y and of the output.
        cond_channels: of the condition; 0 for none.

    Example:
        >>> class OneLayer(Conditioner):
        ...     receptive_field, batch_independent, smooth = 3, True, True
        ...
        ...     def __init__(self, channels, cond_channels=0):
        ...         super().__init__(channels, cond_channels)
        ...         self.layer = nn.Conv2d(cond_channels + channels, channels, 3, padding=1, bias=False)
        ...
        ...     def forward(self, y, t=None, cond=None):
        ...         return self.layer(self.join(y, cond))
        >>> network = OneLayer(3, cond_channels=1)
        >>> network(torch.rand(2, 3, 8, 8), cond=torch.rand(2, 1, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
        >>> network(torch.rand(2, 3, 8, 8))
        Traceback (most recent call last):
        ...
        mszoo.errors.ImageSizeError: OneLayer takes 3 channels of coefficients and 1 of condition, got 3 and 0
    """

    part: Part
    takes_t: bool = False
    batch_independent: bool = False
    smooth: bool = False
    features: int | None = None
    unit: int = 1
    stride: int = 1

    def __init__(self, channels: int, cond_channels: int = 0) -> None:
        super().__init__()
        self.channels = channels
        self.cond_channels = cond_channels

    @property
    @abstractmethod
    def receptive_field(self) -> int | None:
        """Side, in coefficients, of the square that one output depends on; None: the whole image."""

    @abstractmethod
    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        """Apply the network.

        Args:
            y: noisy coefficients (B, channels, H, W).
            t: noise variance (B,); only a network that ``takes_t`` reads it.
            cond: clean coarser image (B, cond_channels, H, W).

        Returns:
            A tensor of y's shape, or (B, features).
        """

    def join(self, y: Tensor, cond: Tensor | None) -> Tensor:
        """The condition's channels, then y's: (B, cond_channels + channels, H, W).

        Raises:
            ImageSizeError: a condition that is missing, not asked for, or of another size or number of channels.
        """
        given = 0 if cond is None else cond.shape[1]
        if (y.shape[1], given) != (self.channels, self.cond_channels):
            raise ImageSizeError(
                f"{type(self).__name__} takes {self.channels} channels of coefficients and {self.cond_channels} "
                f"of condition, got {y.shape[1]} and {given}"
            )
        if cond is None:
            return y
        if cond.shape[2:] != y.shape[2:]:
            sizes = " and ".join("x".join(map(str, z.shape[2:])) for z in (y, cond))
            raise ImageSizeError(f"coefficients and condition must have one size, got {sizes}")
        return torch.cat([cond, y], 1)
