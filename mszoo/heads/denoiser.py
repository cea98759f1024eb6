"""Paper A's head: the network's output is the noise."""

from __future__ import annotations

from torch import Tensor

from mszoo.heads.base import Head

__all__ = ["Denoiser"]


class Denoiser(Head):
    """denoised = y - f(y, t, cond). Fits any conditioner that returns images.

    Example:
        >>> import torch
        >>> from mszoo.conditioners import BiasFreeCNN
        >>> head = Denoiser(BiasFreeCNN(1, receptive_field=5)).eval()
        >>> head.denoise(torch.rand(2, 1, 8, 8)).shape
        torch.Size([2, 1, 8, 8])
    """

    def estimate(self, y: Tensor, t: Tensor | None, cond: Tensor | None) -> Tensor:
        """See :meth:`Head.estimate`; t is read only by a network that takes it."""
        return y - self.conditioner(y, t, cond).to(y.dtype)
