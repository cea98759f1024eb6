"""Distributions of the noise level during training, by name."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, Literal

import pydantic
import torch
from torch import Tensor

from mszoo.heads.base import per_image
from mszoo.randomness import Draw

__all__ = ["NoiseLevels"]

_DOUBTFUL = 50  # of a largest deviation: 32 is white to five scales of an image, 55 likely meant of 0..255
_DECIBELS = Annotated[float, pydantic.Field(ge=-150, le=300)]  # whose noise variances float32 can hold
_PSNR = pydantic.TypeAdapter(tuple[_DECIBELS, _DECIBELS])


class NoiseLevels(pydantic.BaseModel):
    """How the noise's standard deviation is drawn, one for each image.

    - ``squared_uniform``: max_sigma u^2 with u uniform in [0, 1): paper A's, dense at low noise.
    - ``uniform``: uniform between min_sigma and max_sigma.
    - ``log_uniform``: its logarithm is uniform between min_sigma and max_sigma: paper B's.

    Instead of ``min_sigma`` and ``max_sigma``, ``psnr: [90, -30]`` (paper B's range) gives the noise levels by the PSNR
    of the noisy image in dB, with sigma = 10^(-PSNR / 20).

    Attributes:
        distribution: of the deviation; ``log_uniform`` if ``psnr`` is given, else ``squared_uniform``.
        max_sigma: largest standard deviation, in orthonormal units (paper A's scaled units times 2^(j+1)).
        min_sigma: smallest; positive for ``log_uniform``, unused by ``squared_uniform``. ``psnr: [90, -30]`` gives both
            deviations, by the PSNR of the noisy image in dB.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    distribution: Literal["squared_uniform", "uniform", "log_uniform"] = "squared_uniform"
    max_sigma: pydantic.PositiveFloat = 1.0
    min_sigma: pydantic.NonNegativeFloat = 0.0

    @pydantic.model_validator(mode="before")
    @classmethod
    def _by_psnr(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "psnr" not in data:
            return data
        data = dict(data)
        bounds = _PSNR.validate_python(data.pop("psnr"))
        if {"min_sigma", "max_sigma"} & data.keys():
            raise ValueError("psnr gives min_sigma and max_sigma: leave them out")
        low, high = (10 ** (-decibels / 20) for decibels in sorted(bounds, reverse=True))
        return {"distribution": "log_uniform", **data, "min_sigma": low, "max_sigma": high}

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> NoiseLevels:
        if self.min_sigma >= self.max_sigma:
            raise ValueError(f"min_sigma {self.min_sigma} must be below max_sigma {self.max_sigma}")
        if self.distribution == "log_uniform" and self.min_sigma == 0:
            raise ValueError("log_uniform needs a positive min_sigma")
        if self.distribution != "log_uniform" and self.max_sigma > _DOUBTFUL:
            warnings.warn(
                f"max_sigma {self.max_sigma:g} is far above images in [0, 1]; did you mean {self.max_sigma:g}/255 = "
                f"{self.max_sigma / 255:.3g}?",
                stacklevel=2,
            )
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

    def add(self, x: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """Noisy coefficients, the shape of x (B, C, H, W), and their noise variance t (B,)."""
        sigma = self.sigma(draw.uniform(x[:, 0, 0, 0]))
        return x + per_image(sigma, x) * draw.normal(x), sigma.square()
