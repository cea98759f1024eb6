r"""The contract of a basis, and the sizes an image may have.

One level of an orthonormal 2-D wavelet transform splits an image of :math:`d` pixels into a low-pass image of
:math:`d/4` and three detail bands. The basis is orthonormal, so the transform keeps energy, turns white noise
into white noise of the same variance, and contributes no Jacobian term to a density:

.. math:: \log p(x_{j-1}) = \log p(x_j) + \log p(\bar x_j \mid x_j).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from mszoo.errors import ImageSizeError
from mszoo.registry import Part

__all__ = ["Basis", "check_multiple", "check_size", "pad_to_multiple"]


class Basis(nn.Module, ABC):
    """An orthonormal wavelet basis. Subclass it to add one; it may have parameters.

    Example:
        >>> from torch.nn.functional import pixel_shuffle, pixel_unshuffle
        >>> signs = torch.tensor([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) / 2
        >>> class Squares(Basis):
        ...     taps = 2
        ...
        ...     def analyze(self, x):  # Haar's: each square of 2 x 2 pixels times an orthonormal matrix
        ...         check_size(*x.shape[-2:], levels=1)
        ...         bands = torch.einsum("kl,bclhw->bkchw", signs, pixel_unshuffle(x, 2).unflatten(1, (-1, 4)))
        ...         return bands[:, 0], bands[:, 1:].flatten(1, 2)
        ...
        ...     def synthesize(self, low, detail):
        ...         bands = torch.cat([low[:, None], detail.unflatten(1, (3, -1))], 1)
        ...         return pixel_shuffle(torch.einsum("kl,bkchw->bclhw", signs, bands).flatten(1, 2), 2)
        >>> x = torch.rand(1, 3, 8, 12)
        >>> low, detail = Squares().analyze(x)
        >>> low.shape, detail.shape
        (torch.Size([1, 3, 4, 6]), torch.Size([1, 9, 4, 6]))
        >>> torch.allclose(Squares().synthesize(low, detail), x, atol=1e-6)
        True
    """

    part: Part

    @property
    @abstractmethod
    def taps(self) -> int:
        """Length of the filters, in pixels: the side of the square that one coefficient depends on."""

    @abstractmethod
    def analyze(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Split an image one level down.

        Args:
            x: image (B, C, H, W), H and W even.

        Returns:
            ``low`` (B, C, H/2, W/2) and ``detail`` (B, 3C, H/2, W/2), band-major: horizontal details of all
            channels, then vertical, then diagonal (PyWavelets' order).

        Raises:
            ImageSizeError: H or W is odd.
        """

    @abstractmethod
    def synthesize(self, low: Tensor, detail: Tensor) -> Tensor:
        """Inverse of :meth:`analyze`: (B, C, H/2, W/2) and (B, 3C, H/2, W/2) to (B, C, H, W)."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Same as :meth:`analyze`."""
        return self.analyze(x)


def check_size(height: int, width: int, levels: int) -> None:
    """Raise :class:`ImageSizeError`, naming the nearest sizes that work, unless 2^levels divides both sides.

    Args:
        height, width: of an image, in pixels.
        levels: how often it is to be halved.

    Example:
        >>> check_size(32, 48, levels=4)
        >>> check_size(30, 48, levels=2)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        mszoo.errors.ImageSizeError: ... multiples of 4; the nearest sizes that work are 28x48 or 32x48; ...
    """
    check_multiple(height, width, 2**levels, f"cannot be split {levels} times by 2")


def check_multiple(
    height: int, width: int, unit: int, fault: str = "does not fit this model", advice: str | None = None
) -> None:
    """Raise :class:`ImageSizeError`, naming the nearest sizes that work, unless ``unit`` divides both sides.

    Args:
        height, width: of an image, in pixels.
        unit: what both must be multiples of.
        fault: what the message says of an image that is not.
        advice: what it says of the way out; None: to crop or pad it.

    Example:
        >>> check_multiple(30, 48, 16, fault="has half a block", advice="; crop it")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        mszoo.errors.ImageSizeError: an image of 30x48 pixels has half a block: ... are 16x48 or 32x48; crop it
    """
    if height < 1 or width < 1:
        raise ImageSizeError(f"an image of {height}x{width} pixels is empty")
    if height % unit or width % unit:
        down = [max(unit, s // unit * unit) for s in (height, width)]
        up = [-(-s // unit) * unit for s in (height, width)]
        sizes = " or ".join(dict.fromkeys(f"{h}x{w}" for h, w in (down, up)))
        if advice is None:
            advice = f"; crop it, or pad it with mszoo.bases.pad_to_multiple(x, {unit}) (denoise: pad=True)"
        raise ImageSizeError(
            f"an image of {height}x{width} pixels {fault}: both sides must be multiples of {unit}; the nearest sizes "
            f"that work are {sizes}{advice}"
        )


def pad_to_multiple(x: Tensor, unit: int, before: tuple[int, int] = (0, 0)) -> Tensor:
    """Extend an image to multiples of ``unit``, by mirroring.

    What is missing after ``before`` is added at the bottom and right, so that
    ``padded[..., top : top + H, left : left + W]`` is ``x``. The mirror repeats the edge pixel, and repeats itself as
    often as an image smaller than the padding needs.

    Args:
        x: image (B, C, H, W).
        unit: what both sides of the result are multiples of.
        before: (top, left), how many pixels to add first.

    Example:
        >>> import torch
        >>> pad_to_multiple(torch.rand(1, 1, 30, 40), 16).shape
        torch.Size([1, 1, 32, 48])
    """
    for dim, first in ((-2, before[0]), (-1, before[1])):
        size = x.shape[dim]
        position = torch.arange(-first, size + -(first + size) % unit, device=x.device) % (2 * size)
        x = x.index_select(dim, torch.minimum(position, 2 * size - 1 - position))
    return x
