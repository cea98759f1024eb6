r"""Paper A's objective: the squared error of the denoised coefficients.

.. math::
    \mathcal L = \frac1B \sum_i \sigma_i^{-e}
        \lVert \mathrm{denoise}(x_i + \sigma_i z_i, \sigma_i^2, c_i) - x_i \rVert^2

The minimizer is the posterior mean, whatever the distribution of the noise levels. Only the coefficients are
noisy; the condition is clean.
"""

from __future__ import annotations

import pydantic
from torch import Tensor

from mszoo.heads.base import Head, per_image
from mszoo.objectives.base import Objective
from mszoo.objectives.camera import Noise
from mszoo.randomness import Draw

__all__ = ["Denoising"]


_LEAST = 1e-6  # noise variance below which the weight grows no more


class Denoising(Objective):
    """Squared error summed over coefficients, averaged over images. Trains any head, through ``denoise``.

    Args:
        noise: what kind of noise, white unless told otherwise, and of what level.
        weight_exponent: e, of a weight sigma^-e on each image's error. 0 is paper A's plain squared error, which the
            highest noise dominates; 1 makes all noise levels count about alike.
        random_intensity: scale each clean image by a uniform factor in [0, 1] first (paper A's low-pass model,
            which must know dark images too; not for conditional scales, whose condition is not scaled).

    Example:
        >>> import torch
        >>> from mszoo.conditioners import BiasFreeCNN
        >>> from mszoo.heads import Denoiser
        >>> from mszoo.objectives.camera import Noise
        >>> objective, x = Denoising(noise=Noise(max_sigma=0.5)), torch.rand(3, 1, 8, 8)
        >>> y, t = objective.corrupt(x, Draw(0, 0, [0, 1, 2]))
        >>> y.shape, bool((t <= 0.25).all())
        (torch.Size([3, 1, 8, 8]), True)
        >>> loss, told = objective.loss(Denoiser(BiasFreeCNN(1, receptive_field=5)), x, y, t, None)
        >>> round(loss.item() / told["mse"].item())  # it is a sum over the coefficients
        64
    """

    def __init__(
        self,
        *,
        noise: Noise | None = None,
        weight_exponent: pydantic.FiniteFloat = 0.0,
        random_intensity: bool = False,
    ) -> None:
        super().__init__()
        self.weight_exponent = weight_exponent
        self.noise = noise or Noise()
        self.largest_t = self.noise.max_sigma**2
        self.random_intensity = random_intensity
        self.conditional = not random_intensity

    def augment(self, x: Tensor, draw: Draw) -> Tensor:
        """See :meth:`Objective.augment`."""
        return x * per_image(draw.uniform(x[:, 0, 0, 0]), x) if self.random_intensity else x

    def corrupt(self, x: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """See :meth:`Objective.corrupt`."""
        return self.noise.add(x, draw)

    def loss(
        self, head: Head, x: Tensor, y: Tensor, t: Tensor, cond: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See :meth:`Objective.loss`. Logs the mean squared error per coefficient."""
        error = (head.denoise(y, t, cond) - x).float().square().flatten(1)
        weight = t.float().clamp_min(_LEAST).pow(-self.weight_exponent / 2)
        return (weight * error.sum(1)).mean(), {"mse": error.detach().mean()}
