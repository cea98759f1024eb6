r"""The objective under which a basis becomes likelier, and the likelihood itself, by I-MMSE.

The denoising errors of all scales, each at noise variance t and given the clean coarser image, add up to the
derivative of the negative log likelihood in log t (Guo, Shamai, Verdu, *Mutual information and minimum mean-square
error in Gaussian channels*, IEEE Trans. Inf. Theory 51, 2005, scale by scale through the chain rule):

.. math::
    L(t) = \sum_j \frac{d_j}{d} \, \frac{E\,|\mathrm{denoise}_j(y_j) - x_j|^2}{d_j\, t}, \\
    -E \log p(x) \approx \frac d2 \log 2 \pi e (t_{\max} + v)
        - \frac d2 \int_{t_{\min}}^{t_{\max}} (1 - L(t))\, d\log t,

with v the variance of a coefficient, t_max far above it (there the noisy image is Gaussian) and t_min below the
grey levels' steps. Smaller errors, a shorter code: so a basis can be trained together with the denoisers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Annotated

import pydantic
import torch
from torch import Tensor

import mszoo
from mszoo.heads import Head
from mszoo.objectives import Objective
from mszoo.randomness import Draw

__all__ = ["Likelihood", "negative_log_likelihood"]


class Likelihood(Objective):
    """share * |denoised - x|^2 / (d_j t), averaged over images, t log-uniform: the same range at every scale.

    Args:
        share: d_j / d of the scale: 3 / 4^(j + 1) for details, 1 / 4^J for the coarsest image; 1 for a
            model of one scale.
        min_sigma, max_sigma: standard deviations of the noise.
    """

    def __init__(
        self,
        *,
        share: Annotated[float, pydantic.Field(gt=0, le=1)] = 1.0,
        min_sigma: pydantic.PositiveFloat = 0.01,
        max_sigma: pydantic.PositiveFloat = 10.0,
    ) -> None:
        super().__init__()
        if min_sigma >= max_sigma:
            raise ValueError(f"min_sigma {min_sigma} must be below max_sigma {max_sigma}")
        self.share, self.min_sigma, self.max_sigma = share, min_sigma, max_sigma

    def corrupt(self, x: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """See :meth:`mszoo.objectives.Objective.corrupt`."""
        ratio = self.max_sigma / self.min_sigma
        sigma = self.min_sigma * ratio ** draw.uniform(x[:, 0, 0, 0].detach())
        return x + sigma[:, None, None, None] * draw.normal(x.detach()), sigma.square()

    def loss(
        self, head: Head, x: Tensor, y: Tensor, t: Tensor, cond: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See :meth:`mszoo.objectives.Objective.loss`. The gradient goes on into x, y and cond, and so to the basis."""
        error = (head.denoise(y, t, cond) - x).square().flatten(1).mean(1) / t
        return self.share * error.mean(), {"error": error.detach().mean()}


@torch.no_grad()
def negative_log_likelihood(
    model: mszoo.MultiScaleModel,
    images: Iterable[Tensor],
    min_sigma: float = 0.01,
    max_sigma: float = 10.0,
    levels: int = 25,
    seed: int = 0,
    progress: Callable[[], object] = lambda: None,
) -> float:
    """The integral above in bits per dimension, of images (B, C, H, W): a bound as good as the denoisers are.

    Args:
        model: of one or several scales, in eval mode.
        images: batches.
        min_sigma, max_sigma: ends of the integral.
        levels: noise levels at which the errors are measured, by the trapezoidal rule.
        seed: of the noise.
        progress: called after each noise level.
    """
    x = torch.cat(list(images))
    parts, d = model.decompose(x), x[0].numel()
    log_t = torch.linspace(2 * math.log(min_sigma), 2 * math.log(max_sigma), levels, dtype=torch.float64)
    lost = []
    for i, t in enumerate(log_t.exp().tolist()):
        total = 0.0
        for j, ((clean, cond), head) in enumerate(zip(parts, model.scales, strict=True)):
            generator = torch.Generator().manual_seed(seed + 1000 * i + j)
            y = clean + math.sqrt(t) * torch.randn(clean.shape, generator=generator)
            denoised = head.denoise(y, torch.full((len(y),), t), cond)
            total += (denoised - clean).square().sum().item() / len(x)
        lost.append(1 - total / (d * t))
        progress()
    gained = torch.trapezoid(torch.tensor(lost, dtype=torch.float64), log_t).item()
    variance = sum((clean - clean.mean((0, 2, 3), keepdim=True)).square().sum().item() for clean, _ in parts)
    variance /= len(x) * d
    nats = (math.log(2 * math.pi * math.e * (max_sigma**2 + variance)) - gained) / 2
    return 8 + nats / math.log(2)
