r"""Densities known in closed form, with noise of any level: learned energies are compared with them.

For each, :math:`U(y, t) = -\log p(y \mid t)` is exact in nats, for y = x + sqrt(t) z at every t >= 0.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

__all__ = ["DENSITIES", "CorrelatedGaussian", "Density", "GaussianMixture", "Laplacians", "WhiteGaussian"]

Shape = tuple[int, int, int]


class Density(ABC):
    """Images (C, H, W) of a known density.

    Args:
        shape: of an image.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.d = math.prod(shape)

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Images (count, C, H, W)."""

    @abstractmethod
    def energy(self, y: Tensor, t: float) -> Tensor:
        """U(y, t) in nats, (B,), in float64."""

    def entropy(self) -> float:
        """E U(x, 0) in nats; of 2^16 draws where there is no formula."""
        x = self.sample(2**16, torch.Generator().manual_seed(1))
        return self.energy(x, 0.0).mean().item()


class CorrelatedGaussian(Density):
    """A stationary Gaussian on a torus, its power 1/f^2 as that of photographs, the same for every channel.

    Args:
        shape: of an image.
        deviation: standard deviation of a pixel, about the mean 1/2.
        reach: beyond a distance of about as many pixels the image is uncorrelated; 0: white.
    """

    def __init__(self, shape: Shape, deviation: float = 0.25, reach: float = 4.0) -> None:
        super().__init__(shape)
        rows, columns = torch.fft.fftfreq(shape[1]), torch.fft.fftfreq(shape[2])
        frequency = 2 * math.pi * reach * torch.sqrt(rows[:, None] ** 2 + columns**2).double()
        power = 1 / (1 + frequency**2)
        self.power = deviation**2 * power / power.mean()

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """See :meth:`Density.sample`."""
        z = torch.randn(count, *self.shape, generator=generator)
        return 0.5 + torch.fft.ifft2(torch.fft.fft2(z) * self.power.sqrt().float()).real

    def energy(self, y: Tensor, t: float) -> Tensor:
        """See :meth:`Density.energy`."""
        coefficients = torch.fft.fft2(y.double() - 0.5, norm="ortho").abs().square()
        total = self.power + t
        return (coefficients / total + torch.log(2 * math.pi * total)).flatten(1).sum(1) / 2

    def entropy(self) -> float:
        """d/2 log 2 pi e of the power's geometric mean."""
        return self.shape[0] * torch.log(2 * math.pi * math.e * self.power).sum().item() / 2


class WhiteGaussian(CorrelatedGaussian):
    """Independent pixels of mean 1/2.

    Args:
        shape: of an image.
        deviation: standard deviation of a pixel.
    """

    def __init__(self, shape: Shape, deviation: float = 0.25) -> None:
        super().__init__(shape, deviation, reach=0.0)


class GaussianMixture(Density):
    """White noise about one of a few smooth random images, each as probable.

    Args:
        shape: of an image.
        components: how many images.
        deviation: standard deviation of the noise about them.
    """

    def __init__(self, shape: Shape, components: int = 8, deviation: float = 0.1) -> None:
        super().__init__(shape)
        self.deviation = deviation
        self.means = CorrelatedGaussian(shape).sample(components, torch.Generator().manual_seed(0))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """See :meth:`Density.sample`."""
        which = torch.randint(len(self.means), (count,), generator=generator)
        return self.means[which] + self.deviation * torch.randn(count, *self.shape, generator=generator)

    def energy(self, y: Tensor, t: float) -> Tensor:
        """See :meth:`Density.energy`."""
        variance = self.deviation**2 + t
        distance = (y.double()[:, None] - self.means.double()).flatten(2).square().sum(2)
        log_p = torch.logsumexp(-distance / (2 * variance), 1) - math.log(len(self.means))
        return self.d / 2 * math.log(2 * math.pi * variance) - log_p


class Laplacians(Density):
    """Independent pixels of density exp(-|x - 1/2| / b) / 2b.

    Args:
        shape: of an image.
        b: the scale; a pixel's variance is 2 b^2.
    """

    def __init__(self, shape: Shape, b: float = 0.15) -> None:
        super().__init__(shape)
        self.b = b

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """See :meth:`Density.sample`."""
        u = 2 * torch.rand(count, *self.shape, generator=generator, dtype=torch.float64) - 1
        return (0.5 - self.b * u.sign() * torch.log1p(-u.abs())).float()

    def energy(self, y: Tensor, t: float) -> Tensor:
        """See :meth:`Density.energy`."""
        y = (y.double() - 0.5).flatten(1)
        if t == 0:
            return (y.abs() / self.b + math.log(2 * self.b)).sum(1)
        # The convolution with the Gaussian has one term for each side of the kink.
        sides = torch.stack([self._side(y, t), self._side(-y, t)])
        return (math.log(4 * self.b) - torch.logsumexp(sides, 0)).sum(1)

    def _side(self, y: Tensor, t: float) -> Tensor:
        """log of exp(t / 2b^2 - y / b) erfc((t / b - y) / sqrt(2t)), without overflow."""
        a = (t / self.b - y) / math.sqrt(2 * t)
        positive = torch.log(torch.special.erfcx(a.clamp_min(0))) - y.square() / (2 * t)
        negative = t / (2 * self.b**2) - y / self.b + torch.log(torch.special.erfc(a.clamp_max(0)))
        return torch.where(a > 0, positive, negative)

    def entropy(self) -> float:
        """d (1 + log 2b)."""
        return self.d * (1 + math.log(2 * self.b))


DENSITIES: dict[str, Density] = {
    "white-gaussian": WhiteGaussian((3, 32, 32)),
    "correlated-gaussian": CorrelatedGaussian((3, 32, 32)),
    "gaussian-mixture": GaussianMixture((1, 8, 8)),
    "laplacians": Laplacians((1, 8, 8)),
}
"""Those of the experiment, by name."""
