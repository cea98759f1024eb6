"""Distributions of the noise level during training, by name."""

from __future__ import annotations

from typing import Literal

import pydantic
import torch
from torch import Tensor

__all__ = ["NoiseLevels"]


class NoiseLevels(pydantic.BaseModel):
    """How the noise's standard deviation is drawn, one for each image.

    - ``squared_uniform``: max_sigma u^2 with u uniform in [0, 1): paper A's, dense at low noise.
    - ``uniform``: uniform between min_sigma and max_sigma.
    - ``log_uniform``: its logarithm is uniform between min_sigma and max_sigma: paper B's.

    Attributes:
        distribution: one of the above.
        max_sigma: largest standard deviation, in orthonormal units (paper A's scaled units times 2^(j+1)).
        min_sigma: smallest; positive for ``log_uniform``, unused by ``squared_uniform``.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    distribution: Literal["squared_uniform", "uniform", "log_uniform"] = "squared_uniform"
    max_sigma: pydantic.PositiveFloat = 1.0
    min_sigma: pydantic.NonNegativeFloat = 0.0

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> NoiseLevels:
        if self.min_sigma >= self.max_sigma:
            raise ValueError(f"min_sigma {self.min_sigma} must be below max_sigma {self.max_sigma}")
        if self.distribution == "log_uniform" and self.min_sigma == 0:
            raise ValueError("log_uniform needs a positive min_sigma")
        if self.distribution == "squared_uniform" and self.min_sigma:
            raise ValueError("squared_uniform starts at zero: leave min_sigma out")
        return self

    def sigma(self, u: Tensor) -> Tensor:
        """Standard deviations for uniform numbers u in [0, 1), the same shape."""
        if self.distribution == "squared_uniform":
            return self.max_sigma * u.square()
        if self.distribution == "uniform":
            return torch.lerp(torch.full_like(u, self.min_sigma), torch.full_like(u, self.max_sigma), u)
        return self.min_sigma * (self.max_sigma / self.min_sigma) ** u
