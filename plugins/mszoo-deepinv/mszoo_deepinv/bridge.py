"""The three adapters. In deepinv as in mszoo images are (B, C, H, W) in [0, 1], and sigma is a standard deviation."""

from __future__ import annotations

from typing import Any

import deepinv
import torch
from torch import Tensor

import mszoo
from mszoo.errors import UnsupportedError

__all__ = ["Denoiser", "EnergyPrior", "Operator"]


class Denoiser(deepinv.models.Denoiser):
    """Any mszoo model as a denoiser of deepinv. Sizes that the model cannot split are mirror-padded.

    Args:
        model: blind (sigma is then not looked at), or told the noise level.
    """

    def __init__(self, model: mszoo.MultiScaleModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, sigma: float | Tensor | None = None, **kwargs: Any) -> Tensor:
        """Denoise x (B, C, H, W) of noise of standard deviation sigma, a number or one for each image."""
        dtype = next(self.model.parameters()).dtype
        if self.model.blind or sigma is None:
            return self.model.denoise(x.to(dtype), pad=True).to(x.dtype)
        level = torch.as_tensor(sigma, dtype=dtype, device=x.device).flatten().expand(len(x))
        return self.model.denoise(x.to(dtype), level, pad=True).to(x.dtype)


class EnergyPrior(deepinv.optim.Prior):
    """The energy of a model of one scale as an explicit prior: g(x) = U(x, sigma^2), smoothed by noise of sigma.

    Args:
        model: ``levels: 0``, with an energy head.

    Raises:
        UnsupportedError: a model that has no energy of noisy images.
    """

    def __init__(self, model: mszoo.MultiScaleModel) -> None:
        super().__init__()
        if model.levels or not hasattr(model.coarse, "energy"):
            raise UnsupportedError("an explicit prior needs a model of one scale with an energy head")
        self.model = model
        self.explicit_prior = True

    def fn(self, x: Tensor, sigma_denoiser: float | Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """U(x, sigma^2) in nats, (B,)."""
        return self.model.energy(x, self._t(x, sigma_denoiser))

    def grad(self, x: Tensor, sigma_denoiser: float | Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Its gradient, minus the score; exact, without automatic differentiation by the caller."""
        return -self.model.score(x, self._t(x, sigma_denoiser))

    def score(self, x: Tensor, sigma_denoiser: float | Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The score, as deepinv's Langevin samplers ask for it."""
        return self.model.score(x, self._t(x, sigma_denoiser))

    def _t(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        return torch.as_tensor(sigma, dtype=x.dtype, device=x.device).square().flatten().expand(len(x))


class Operator:
    """A linear physics of deepinv as a measurement that ``model.solve`` takes.

    ``model.solve(physics(x), Operator(physics), sigma=0.05)``: the noise is not the operator's, and is given.

    Args:
        physics: linear; its noise model is not looked at.

    Raises:
        UnsupportedError: a physics that is not linear.
    """

    def __init__(self, physics: deepinv.physics.Physics) -> None:
        if not isinstance(physics, deepinv.physics.LinearPhysics):
            raise UnsupportedError(f"solving needs a linear measurement; {type(physics).__name__} is no LinearPhysics")
        self.physics = physics

    def forward(self, x: Tensor) -> Tensor:
        """Measure, without noise: (B, C, H, W) to (B, ...)."""
        return self.physics.A(x)

    def adjoint(self, m: Tensor) -> Tensor:
        """The transpose: (B, ...) to (B, C, H, W)."""
        return self.physics.A_adjoint(m)

    def pseudo_inverse(self, m: Tensor) -> Tensor:
        """The smallest image with that measurement: (B, ...) to (B, C, H, W)."""
        return self.physics.A_dagger(m)
