"""A score network, for comparison with the energies: the same network, but its output is not a gradient."""

from __future__ import annotations

from torch import Tensor

from mszoo.heads.base import Head, per_image

__all__ = ["Score"]


class Score(Head):
    """denoised = y - t f(y, t, cond) (paper B's score network), so that f is minus the score.

    Example:
        >>> import torch
        >>> from mszoo.conditioners import BiasFreeCNN
        >>> head = Score(BiasFreeCNN(1, receptive_field=5, noise_embedding=True)).eval()
        >>> y, t = torch.rand(2, 1, 8, 8), torch.tensor([0.0, 0.1])
        >>> torch.equal(head.denoise(y, t)[0], y[0])  # there is no noise to take away
        True
        >>> torch.equal(head.score(y, t), -head.conditioner(y, t))
        True
    """

    needs = ("takes_t",)

    def estimate(self, y: Tensor, t: Tensor | None, cond: Tensor | None) -> Tensor:
        """See :meth:`Head.estimate`."""
        assert t is not None  # its network takes t, and so it is not blind
        return y - per_image(t, y) * self.conditioner(y, t, cond).to(y.dtype)

    def score(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """See :meth:`Head.score`; t >= 0."""
        self.require(t, y)
        return -self.conditioner(y, t, cond).to(y.dtype)
