"""The predictive energy: an exact conditional Gaussian, normalized for every condition as its time score is right."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import mszoo
from mszoo.heads import PredictiveEnergy
from mszoo.randomness import Draw

SMOOTH = {"norm": "channel", "activation": "gelu", "noise_embedding": True}
TIMES = [0.0, 1e-3, 1e-2, 0.1, 1.0, 10.0, 1e3]


def build(channels: int = 3, images: int = 1, *, spoilt: float = 0.0, predicting: float = 1.0) -> PredictiveEnergy:
    """A small head; how large the outputs of its network, and of the one that predicts, are."""
    torch.manual_seed(0)
    network = mszoo.create(
        "conditioner", "bias_free_cnn", channels, images, receptive_field=5, depth=4, width=16, **SMOOTH
    )
    head = mszoo.create("head", "predictive", network, width=8)
    with torch.no_grad():
        network.last.weight.mul_(spoilt)
        for layer in (head.predictor.mean, head.predictor.log_ratio):
            layer.weight.normal_(std=predicting)
            layer.bias.normal_(std=predicting)
    return head.double()


def conditions(images: int, size: int, batch: int = 4) -> Tensor:
    return torch.randn(batch, images, size, size, dtype=torch.float64).cumsum(-1).cumsum(-2)


@pytest.mark.parametrize(("channels", "images"), [(3, 1), (9, 3)])
@pytest.mark.parametrize("t", [0.0, 0.01, 2.0])
def test_without_correction_it_is_the_predicted_gaussian(channels: int, images: int, t: float) -> None:
    head, cond = build(channels, images), conditions(images, 8)
    head.fit([(0.3 * torch.randn(64, channels, 8, 8, dtype=torch.float64), None)])
    y, times = torch.randn(4, channels, 8, 8, dtype=torch.float64), torch.full((4,), t, dtype=torch.float64)
    mean, variance = head.predict(y, cond)
    assert mean.std() > 0.01, "the means differ from place to place"
    normal = torch.distributions.Normal(mean, (variance + t).sqrt())
    torch.testing.assert_close(head.energy(y, times, cond), -normal.log_prob(y).flatten(1).sum(1))


def test_predictions_follow_contrast_and_not_brightness() -> None:
    head, cond = build(predicting=0.1), 10 * conditions(1, 8)
    y = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    mean, variance = head.predict(y, cond)
    brighter, same = head.predict(y, cond + 3)
    torch.testing.assert_close(brighter, mean)
    torch.testing.assert_close(same, variance)
    assert not torch.allclose(head.predict(y, 2 * cond)[0], mean)


def test_fit_takes_the_variance_of_every_band() -> None:
    head, x = build(), torch.randn(50, 3, 8, 8) * torch.tensor([0.1, 1.0, 3.0])[:, None, None]
    head.fit([(x[:20], None), (x[20:], None)])
    torch.testing.assert_close(head.band_variance.float(), x.square().mean((0, 2, 3)))


def log_normalizer(head: PredictiveEnergy, t: float, cond: Tensor) -> float:
    """log of the integral of exp(-U) over y, per dimension, for one pixel of 1 or 2 bands."""
    d = head.conditioner.channels
    mean, variance = head.predict(torch.zeros(1, d, 1, 1, dtype=torch.float64), cond)
    reach = 9 * (variance.max() + t).sqrt().item()
    axis = torch.linspace(-reach, reach, 4001 if d == 1 else 401, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(*[axis] * d, indexing="ij"), -1).reshape(-1, d, 1, 1) + mean
    with torch.no_grad():
        parts = [
            -head.energy(y, torch.full((len(y),), t, dtype=torch.float64), cond.expand(len(y), -1, -1, -1))
            for y in grid.split(20_000)
        ]
    return (torch.cat(parts).logsumexp(0) / d + torch.log(axis[1] - axis[0])).item()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("condition", [0.0, 0.4, -3.0])
def test_untrained_it_is_normalized_for_every_condition(channels: int, condition: float) -> None:
    head, cond = build(channels, predicting=0.3), torch.full((1, 1, 1, 1), condition, dtype=torch.float64)
    for t in TIMES:
        assert abs(log_normalizer(head, t, cond)) < 1e-5


@pytest.mark.parametrize("channels", [1, 2])
def test_a_spoilt_network_is_normalized_at_large_noise_only(channels: int) -> None:
    head, cond = build(channels, spoilt=3.0, predicting=0.3), torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
    assert abs(log_normalizer(head, 1e-2, cond)) > 0.01
    assert abs(log_normalizer(head, 1e6, cond)) < 1e-4


def contrast(cond: Tensor) -> Tensor:
    """How far each pixel is from the mean of its neighbourhood."""
    return cond - F.avg_pool2d(F.pad(cond, (1, 1, 1, 1), mode="replicate"), 3, 1)


def details(count: int, generator: torch.Generator, shape: tuple[int, int] = (8, 8)) -> tuple[Tensor, Tensor]:
    """Details whose size the condition knows, and not their sign: two modes at +-c, of a width that grows with |c|."""
    cond = torch.empty(count, 1, *shape).uniform_(-1, 1, generator=generator)
    c = contrast(cond)
    sign = torch.randint(2, c.shape, generator=generator) * 2 - 1
    return sign * c + (0.1 + 0.2 * c.abs()) * torch.randn(c.shape, generator=generator), cond


def entropy(cond: Tensor) -> float:
    """Of those details given the condition, in nats a coefficient, by integration."""
    c, y = contrast(cond).flatten()[:2000, None].double(), torch.linspace(-4, 4, 4001, dtype=torch.float64)
    width = 0.1 + 0.2 * c.abs()
    density = sum(torch.distributions.Normal(s * c, width).log_prob(y).exp() for s in (-1, 1)) / 2
    return -(torch.xlogy(density, density).sum(1) * (y[1] - y[0])).mean().item()


def test_it_learns_a_density_that_depends_on_the_condition() -> None:
    torch.manual_seed(0)
    network = mszoo.create(
        "conditioner", "bias_free_cnn", 1, 1, receptive_field=5, depth=5, width=32, **{**SMOOTH, "norm": "none"}
    )
    torch.nn.init.zeros_(network.last.weight)
    head = mszoo.create("head", "predictive", network)
    generator = torch.Generator().manual_seed(2)
    head.fit([details(1000, generator)])
    objective = mszoo.create("objective", "dual_score_matching", noise={"psnr": [40, -20]}, time_weight=10)
    optimizer, steps = torch.optim.Adam(head.parameters(), 3e-3), 600
    y, cond = details(500, torch.Generator().manual_seed(3))
    zero = torch.zeros(len(y))

    def price() -> float:
        """Nats a coefficient above the entropy."""
        with torch.no_grad():
            return head.energy(y, zero, cond).mean().item() / 64 - entropy(cond)

    before = price()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        clean, given = details(32, generator)
        noisy, t = objective.corrupt(clean, Draw(0, step, list(range(32))))
        loss, _ = objective.loss(head, clean, noisy, t, given)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = price()
    print(f"nats a coefficient above the entropy: {before:.3f} before, {after:.3f} after")
    assert before > 0.4
    assert -0.1 < after < 0.7 * before


def test_statistics_travel_with_the_checkpoint() -> None:
    head, other = build(), build(predicting=0.5)
    head.fit([(torch.randn(8, 3, 8, 8), None)])
    other.load_state_dict(head.state_dict())
    y, t, cond = torch.rand(2, 3, 8, 8).double(), torch.tensor([0.0, 0.1]).double(), conditions(1, 8, 2)
    assert torch.equal(other.energy(y, t, cond), head.energy(y, t, cond))


def test_far_from_the_data_nothing_is_probable() -> None:
    # the network is bounded (norm: channel): the Gaussian outgrows it along every ray
    head, cond = build(spoilt=3.0), conditions(1, 8)
    y, zero = torch.randn(4, 3, 8, 8, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    energies = torch.stack([head.energy(scale * y, zero, cond) for scale in (1e2, 1e3, 1e4)])
    assert (energies[1:] > 50 * energies[:-1]).all()
    assert math.isfinite(energies.max().item())


@pytest.mark.slow
def test_trained_it_is_normalized_for_every_condition_down_to_no_noise() -> None:
    """Of one band and two pixels, the least whose condition shows: a pixel alone has no contrast."""
    torch.manual_seed(0)
    network = mszoo.create(
        "conditioner", "bias_free_cnn", 1, 1, receptive_field=5, depth=4, width=16, zero_output=True, **SMOOTH
    )
    head, generator = mszoo.create("head", "predictive", network), torch.Generator().manual_seed(2)
    head.fit([details(4096, generator, (1, 2))])
    objective = mszoo.create("objective", "dual_score_matching", noise={"psnr": [40, -20]})
    optimizer, steps, losses = torch.optim.Adam(head.parameters(), 5e-3), 400, []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / steps)
        clean, cond = details(128, generator, (1, 2))
        noisy, t = objective.corrupt(clean, Draw(0, step, list(range(128))))
        loss, _ = objective.loss(head, clean, noisy, t, cond)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-100:]) < 0.97 * sum(losses[:100])  # an untrained one is normalized too
    head = head.double()
    axis = torch.linspace(-1, 1, 121, dtype=torch.float64)
    for right in (-0.8, 0.0, 1.0):
        cond, found = torch.tensor([[[[0.0, right]]]], dtype=torch.float64), {}
        for t in TIMES:
            reach = 3 + 6 * math.sqrt(t)
            grid = reach * torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 1, 1, 2)
            with torch.no_grad():
                energies = torch.cat(
                    [
                        head.energy(y, torch.full((len(y),), t, dtype=torch.float64), cond.expand(len(y), -1, -1, -1))
                        for y in grid.split(20_000)
                    ]
                )
            found[t] = ((-energies).logsumexp(0) / 2 + math.log(reach * 2 / 120)).item()
        print(f"log Z per dimension given (0, {right}):", {t: round(z, 4) for t, z in found.items()})
        assert max(map(abs, found.values())) < 0.1
        assert abs(found[1e3]) < 1e-3
