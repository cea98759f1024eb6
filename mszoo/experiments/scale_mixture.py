r"""Why the time score is needed: a mixture of two scales, of known density (paper B, figure 1).

x = s u with u white in d dimensions and s = 1 or 4, each half of the time. The two modes are shells that do not touch:
matching the score alone leaves the constant of each to chance, matching the time score too ties them together.

The energy is radial, U(y, t) = -log sum_i exp(-(a_i r^2 + d b_i)) with r = |y| and (a, b)(t) of a small network, so a
step needs of x and of the noise z only a few inner products. These are drawn directly, from their exact distribution:
with z = z_1 u/|u| + z', u and z' have squared norms of d and d - 1 degrees of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from torch import Tensor, nn

__all__ = ["RadialEnergy", "RadialRow", "compare", "exact_log_prob", "normalize", "plot", "train"]

_SCALES = (1.0, 4.0)


@dataclass(frozen=True)
class RadialRow:
    """log p at one radius and one noise variance, in dB per dimension.

    Attributes:
        objective: ``dual`` or ``single`` score matching.
        radius: r / sqrt(d).
        t: noise variance.
        exact: the true value.
        learned: the network's, normalized at the largest t.
        error: their difference.
    """

    objective: str
    radius: float
    t: float
    exact: float
    learned: float
    error: float


class RadialEnergy(nn.Module):
    """U(r^2, t) in nats, for y in d dimensions; two components, whose parameters depend on t."""

    def __init__(self, d: int, width: int = 128) -> None:
        super().__init__()
        self.d = d
        layers: list[nn.Module] = [nn.Linear(1, width), nn.GELU()]
        for _ in range(3):
            layers += [nn.Linear(width, width), nn.GELU()]
        self.network = nn.Sequential(*layers, nn.Linear(width, 4))

    def forward(self, square: Tensor, t: Tensor) -> Tensor:
        """Energies (B,) from r^2 (B,) and t (B,)."""
        a, b = self.network(torch.log(t + 0.01)[:, None]).unflatten(1, (2, 2)).unbind(1)
        return -torch.logsumexp(-(a * square[:, None] + self.d * b), 1)

    def derivatives(self, square: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """dU/d(r^2) and dU/dt, (B,) each."""
        return torch.func.grad(lambda s, v: self(s, v).sum(), argnums=(0, 1))(square, t)


def exact_log_prob(square: Tensor, t: Tensor, d: int) -> Tensor:
    """The true log p(y | t) in nats, (B,), in float64.

    Args:
        square: |y|^2, (B,).
        t: noise variance, (B,).
        d: dimension.
    """
    variance = torch.tensor(_SCALES, dtype=torch.float64).square() + t.double()[:, None]
    parts = -(square.double()[:, None] / variance + d * torch.log(2 * math.pi * variance)) / 2
    return torch.logsumexp(parts, 1) - math.log(len(_SCALES))


def train(
    dual: bool,
    d: int = 1000,
    steps: int = 10_000,
    batch: int = 256,
    rate: float = 1e-3,
    seed: int = 0,
    progress: Callable[[int], object] = lambda step: None,
) -> RadialEnergy:
    """Train the energy: t log-uniform in [0.01, 100] as in paper B, Adam.

    A narrower network, a cosine schedule from a higher rate (the paper: width 256, 1e-4 halved every tenth of 20,000
    steps of 512) and gradients clipped to norm 1, without which such a rate may lose a mode, come closer to the truth
    in a fraction of the time.

    The loop is its own: there are no images, only the few inner products that a step needs of them, and so neither the
    model nor the step of :mod:`mszoo.training`.

    Args:
        dual: match the time score as well.
        d: dimension.
        steps, batch, rate, seed: of the training.
        progress: called after each step.
    """
    torch.manual_seed(seed)
    energy = RadialEnergy(d)
    optimizer = torch.optim.Adam(energy.parameters(), rate)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    scales = torch.tensor(_SCALES)
    whole, rest = (torch.distributions.Chi2(torch.tensor(float(n))) for n in (d, d - 1))
    for step in range(steps):
        t = 10 ** (4 * torch.rand(batch) - 2)
        s = scales[torch.randint(len(scales), (batch,))]
        u, z_along, z_across = whole.sample((batch,)).sqrt(), torch.randn(batch), rest.sample((batch,))
        z_square, along = z_along.square() + z_across, s * u + t.sqrt() * z_along
        square = along.square() + t * z_across  # |y|^2
        y_z = along * z_along + t.sqrt() * z_across  # <y, z>
        slope, time_slope = energy.derivatives(square, t)
        # |sqrt(t) score + z|^2 / d, the score being -2 slope y
        space = (z_square - 4 * t.sqrt() * slope * y_z + 4 * t * slope.square() * square) / d
        loss = space.mean()
        if dual:
            loss = loss + ((1 - z_square / d) / 2 - t / d * time_slope).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(energy.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        progress(step)
    return energy


@torch.no_grad()
def normalize(energy: RadialEnergy, t: float = 100.0, draws: int = 4096) -> float:
    """The constant in nats that normalizes the energy: d/2 log(2 pi e (t + v)) - E U at a large t, as in paper B.

    v is the variance of the data, of which the noisy data are taken to be a Gaussian.

    Args:
        energy: the network.
        t: where the noisy data are taken to be Gaussian.
        draws: how many noisy data the mean is over.
    """
    d, generator = energy.d, torch.Generator().manual_seed(0)
    half = draws // 2
    variance = torch.cat([torch.full((half,), s**2 + t) for s in _SCALES])
    z = torch.randn(2 * half, d, generator=generator)
    square = variance * z.square().sum(1)
    entropy = d / 2 * math.log(2 * math.pi * math.e * variance.mean().item())
    return entropy - energy(square, torch.full((2 * half,), t)).double().mean().item()


@torch.no_grad()
def compare(
    energies: dict[str, RadialEnergy], times: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0, 100.0)
) -> list[RadialRow]:
    """Learned against exact log p, in dB per dimension, at r / sqrt(d) = 1 and 4 (and between), at several t."""
    rows = []
    for name, energy in energies.items():
        constant, d = normalize(energy), energy.d
        decibels = 10 / (d * math.log(10))
        for t in times:
            for radius in (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0):
                square, variance = torch.tensor([radius**2 * d]), torch.tensor([t])
                exact = exact_log_prob(square, variance, d).item() * decibels
                learned = -(energy(square, variance).item() + constant) * decibels
                rows.append(RadialRow(name, radius, t, exact, learned, learned - exact))
    return rows


def plot(axes: Axes, rows: Sequence[RadialRow]) -> Axes:
    """Exact and learned log p against the radius at the smallest t, into axes; the same axes."""
    least = min(row.t for row in rows)
    names = list(dict.fromkeys(row.objective for row in rows))
    shown = [row for row in rows if row.t == least]
    line = [(row.radius, row.exact) for row in shown if row.objective == names[0]]
    axes.plot(*zip(*line, strict=True), color="0.2", linewidth=3, alpha=0.4, label="exact")
    for name in names:
        line = [(row.radius, row.learned) for row in shown if row.objective == name]
        axes.plot(*zip(*line, strict=True), marker="o", label=f"{name} score matching")
    axes.set(xlabel="r / sqrt(d) (deviations of the narrow mode)", ylabel=f"log p (dB per dimension), t = {least:g}")
    axes.legend()
    axes.grid(alpha=0.3)
    return axes
