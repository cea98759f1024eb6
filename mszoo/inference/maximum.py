r"""The most likely image given a noisy measurement, where log p is known.

.. math:: f_t(x) = \log p_t(x) - \frac{\lVert m - A x \rVert^2}{2 \sigma^2}, \qquad
    \log p_t(x) = \log p(x_J, t) + \sum_{j<J} \log p(\bar x_j \mid x_{j+1}, t),

with the gradient through every condition. At t = 0 this is the posterior density of the clean image, and its maximum
the MAP estimate. Densities of images have their highest points at images that are smoother than any photograph, and
learned ones have many narrow hills besides. It is therefore climbed at falling noise levels, each from the top of the
one before, and by default ends at the noise of the measurement: at t > 0 the density is that of images with so much
noise (its coarser images taken as clean where there are several levels), a broad hill in place of many narrow ones.

With ``cifar10-grey-energy``, eight crops of photographs and noise of 0.1, the estimates of noisy images were at 24.3 dB
with t that of the noise, and at 21.5 dB with t = 0, where the density was e^2.8 times as high per pixel as at the
photographs; the posterior mean (:meth:`~mszoo.MultiScaleModel.denoise`) was at 27.0 dB. For an image use
:func:`~mszoo.inference.solve`; this is for who asks where the density is highest.

The climb is by L-BFGS (Liu and Nocedal, *On the limited memory BFGS method for large scale optimization*, 1989), each
image on its own: a step that does not raise f is halved (Armijo's rule), so that f never falls at one noise level.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mszoo.arguments import noise_levels
from mszoo.errors import OptionsError
from mszoo.heads import EnergyHead
from mszoo.heads.base import per_image
from mszoo.inference.arguments import check_whole, without_derivative
from mszoo.inference.inverse import check_measurement
from mszoo.inference.likelihood import check_density
from mszoo.inference.operators import Operator, closest
from mszoo.model import MultiScaleModel

__all__ = ["OnClimb", "map_estimate"]

OnClimb = Callable[[int, Tensor, Tensor, Tensor], None]
"""Called with the step, the images, their noise levels, (B,), and f in nats up to constants, (B,)."""

_Objective = Callable[[Tensor], tuple[Tensor, Tensor]]

_FIRST = 1.0  # noise level of the first climb: nothing but brightness and the measurement counts there
_LEAST = 2.0**-9  # before the climb at level 0: half a grey level
_MEMORY = 8  # pairs of steps and changes of the gradient
_HALVINGS = 12
_ROUNDING = 16  # times the machine's precision: a rise of f that is none


@without_derivative("measurement", "model.log_prob, which has one")
def map_estimate(
    model: MultiScaleModel,
    measurement: Tensor,
    operator: Operator,
    sigma: float | Tensor,
    *,
    level: float | None = None,
    steps: int = 20,
    on_step: OnClimb | None = None,
) -> Tensor:
    r"""The image x with the largest log p(x) + log p(m | x), m = A x + noise. It has no derivative.

    Args:
        model: with an energy at every scale, in eval mode.
        measurement: m, (B, ...), as ``operator.forward`` gives it, in any floating-point type.
        operator: A; see :func:`mszoo.inference.solve`.
        sigma: standard deviation of the noise in the measurement's numbers, a float or (B,), more than 0.
        level: standard deviation of the noise at which log p is taken in the end, from 0, which is the MAP estimate, to
            below 1; None: that of the measurement, sigma.
        steps: at most at each noise level, of which there are about log2(1 / level).
        on_step: called with the step, the images, their noise levels, (B,), and f, (B,), in nats up to constants. At
            one noise level f never falls.

    Returns:
        Images (B, C, H, W). Nothing is drawn: the same measurement gives the same image.

    Raises:
        ImageSizeError: a measurement that is not of this operator, or not of images of this model's channels.
        OptionsError: a sigma or level that is no noise level; steps below 1; an operator whose adjoint or
            pseudo-inverse is wrong.
        UnsupportedError: a model without log p; a measurement that requires a gradient; no operator.

    Example:
        >>> import torch, mszoo
        >>> from mszoo.inference import Inpainting
        >>> model, operator = mszoo.load("cifar10-grey-energy"), Inpainting.random_pixels((16, 16), 0.5)
        >>> m = operator.forward(torch.full((1, 1, 16, 16), 0.5))
        >>> map_estimate(model, m, operator, sigma=0.05, steps=2).shape
        torch.Size([1, 1, 16, 16])
    """
    check_whole("map", steps=steps)
    if level is not None and not 0 <= level < _FIRST:
        raise OptionsError("map", [(("level",), f"should be a noise level from 0 to below {_FIRST:g}, got {level!r}")])
    heads = check_density(model)
    m, known, _ = check_measurement(model, measurement, operator)
    noise = noise_levels("sigma", sigma, m, "solve(measurement, operator) believes it exactly")
    last = noise.clamp_max(_FIRST) if level is None else torch.full_like(noise, level)
    start = closest(operator, torch.full_like(known, 0.5), m, noise.square())
    climb, k = _Climb(start, noise.square() / (1 + noise.square())), 0
    before = torch.full_like(last, math.inf)
    for levels in _levels(last):
        objective = _objective(model, heads, m, operator, noise, levels.square())
        climb.begin(objective, levels < before)
        before = levels
        for _ in range(steps):
            climb.step(objective)
            k += 1
            if on_step is not None:
                on_step(k, climb.x, levels, climb.value)
            if not climb.moving.any():
                break
    return climb.x.to(measurement.dtype)


def _levels(last: Tensor) -> list[Tensor]:
    """Falling noise levels of every image, (B,): halves, and from where that is below its last one, that."""
    halvings = math.ceil(math.log2(_FIRST / max(float(last.min()), _LEAST)))
    return [*(last.clamp_min(_FIRST / 2**k) for k in range(halvings)), last]


def _objective(
    model: MultiScaleModel, heads: list[EnergyHead], m: Tensor, operator: Operator, noise: Tensor, t: Tensor
) -> _Objective:
    """f and its gradient at noise variances t, (B,)."""

    def total(x: Tensor) -> tuple[Tensor, Tensor]:
        scales = zip(heads, model.decompose(x), strict=True)
        energy = torch.stack([head.energy(c, t, cond) for head, (c, cond) in scales]).sum(0)
        missed = (m - operator.forward(x)).flatten(1).square().sum(1)
        f = -energy - missed / (2 * noise.square())
        return f.sum(), f

    def objective(x: Tensor) -> tuple[Tensor, Tensor]:
        gradient, f = torch.func.grad(total, has_aux=True)(x)
        return f, gradient

    return objective


class _Climb:
    """L-BFGS upwards, for every image on its own: where it is, and what it knows of the curvature."""

    def __init__(self, x: Tensor, size: Tensor) -> None:
        self.x, self.size = x, size  # size: of a first step, in units of the gradient, (B,)
        self.value = self.gradient = x
        self.moving = torch.zeros_like(size, dtype=torch.bool)
        self.pairs: list[tuple[Tensor, Tensor, Tensor]] = []

    def begin(self, objective: _Objective, moving: Tensor) -> None:
        """Of another objective, from where it is; ``moving``: which images are to move, (B,)."""
        self.value, self.gradient = objective(self.x)
        self.moving, self.pairs = moving, []

    def step(self, objective: _Objective) -> None:
        """One step of each image that still rises."""
        along = self._direction()
        slope = _dot(along, self.gradient)
        length = self.moving.to(slope)
        x, value, gradient, up = self.x, self.value, self.gradient, self.moving
        for _ in range(_HALVINGS):
            x = self.x + per_image(length, along) * along
            value, gradient = objective(x)
            up = self.moving & (value >= self.value + 1e-4 * length * slope)
            if torch.equal(up, self.moving):
                break
            length = torch.where(up, length, length / 2)
        # where no step helped, the image is at its top, to rounding
        self._learn(x - self.x, self.gradient - gradient, up)
        least = _ROUNDING * torch.finfo(value.dtype).eps * (value.abs() + x[0].numel())
        self.moving = up & (value - self.value > least)
        which = up[:, None, None, None]
        self.x, self.gradient = torch.where(which, x, self.x), torch.where(which, gradient, self.gradient)
        self.value = torch.where(up, value, self.value)

    def _direction(self) -> Tensor:
        """The gradient times the inverse of the curvature, as far as the last steps tell it."""
        along, weights = self.gradient, []
        for change, bend, inverse in reversed(self.pairs):
            weight = inverse * _dot(change, along)
            along = along - per_image(weight, along) * bend
            weights.append(weight)
        along = per_image(self.size, along) * along
        for (change, bend, inverse), weight in zip(self.pairs, reversed(weights), strict=True):
            along = along + per_image(weight - inverse * _dot(bend, along), along) * change
        return along

    def _learn(self, change: Tensor, bend: Tensor, taken: Tensor) -> None:
        """Keep a step and how the gradient fell along it, of images where it did: that keeps directions upward."""
        product, power = _dot(change, bend), bend.flatten(1).square().sum(1)
        use = taken & (product > 1e-6 * power.sqrt() * change.flatten(1).norm(dim=1))
        self.size = torch.where(use, product / power, self.size)
        inverse = torch.where(use, 1 / product, 0)
        self.pairs = [*self.pairs, (change, bend, inverse)][-_MEMORY:]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)
