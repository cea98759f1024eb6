"""A score network, for comparison with the energies: the same network, but its output is not a gradient."""

from __future__ import annotations

from torch import Tensor

from mszoo.heads.base import Head, per_image

__all__ = ["Score"]


class Score(Head):
    """denoised = y - t f(y, t, cond) (paper B's score network), so that f is minus the score."""

    needs = ("takes_t",)

    def denoise(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        """See :meth:`Head.denoise`."""
        output = self.conditioner(y, t, cond).to(y.dtype)  # raises without t: the network is not blind
        return y if t is None else y - per_image(t, y) * output

    def score(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """See :meth:`Head.score`; t >= 0."""
        return -self.conditioner(y, t, cond).to(y.dtype)
