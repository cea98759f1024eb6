"""The anchored energy: an exact Gaussian, and normalized wherever its time score is right."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import mszoo
from mszoo.errors import MszooError
from mszoo.heads import AnchoredEnergy
from mszoo.randomness import Draw

SMOOTH = {"norm": "none", "activation": "gelu", "noise_embedding": True}
TIMES = [0.0, 1e-3, 1e-2, 0.1, 1.0, 10.0, 1e3]


def build(channels: int = 1, *, spoilt: float = 0.0, cond_channels: int = 0, **options: object) -> AnchoredEnergy:
    """A small head; ``spoilt``: how large the output of its network is, 0 for none."""
    torch.manual_seed(0)
    network = mszoo.create(
        "conditioner", "bias_free_cnn", channels, cond_channels, receptive_field=5, depth=4, width=32, **SMOOTH
    )
    with torch.no_grad():
        network.last.weight.mul_(spoilt)
    return mszoo.create("head", "anchored", network, **options)


def photographs(channels: int, size: int, batch: int = 64) -> Tensor:
    """Images with strong correlations, and another mean and variance in each channel."""
    x = torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(1))
    x = x.cumsum(-1).cumsum(-2) / size
    return x * torch.arange(1, channels + 1)[:, None, None] / 4 + torch.linspace(0.2, 0.7, channels)[:, None, None]


# ---- the Gaussian --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("basis", ["haar", "db4"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("t", [0.0, 0.01, 2.0])
def test_the_gaussian_is_the_exact_density_of_its_covariance(basis: str, channels: int, size: int, t: float) -> None:
    head = build(channels, basis=basis, levels=2).double()
    head.fit([(photographs(channels, 8).double(), None)])
    y = photographs(channels, size)[:5].double()
    d, times = y[0].numel(), torch.full((5,), t, dtype=torch.float64)
    # U_G is quadratic: its second derivative is the inverse covariance of a multivariate normal, its minimum the mean.
    precision = torch.autograd.functional.hessian(
        lambda v: head.gaussian(v.reshape(y[:1].shape), times[:1]), y[0].flatten()
    )
    precision = precision.reshape(d, d)  # type: ignore[union-attr]
    mean = head.mean[:, None].expand(channels, size * size).flatten()
    normal = torch.distributions.MultivariateNormal(mean, precision_matrix=(precision + precision.T) / 2)
    torch.testing.assert_close(head.gaussian(y, times), -normal.log_prob(y.flatten(1)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("levels", [0, 1, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_fit_takes_mean_and_band_variances(levels: int, channels: int) -> None:
    head, x = build(channels, basis="haar", levels=levels), photographs(channels, 16)
    head.fit([(x[:30], None), (x[30:], None)])
    torch.testing.assert_close(head.mean, x.mean((0, 2, 3)))
    low, bands = x - x.mean((0, 2, 3))[:, None, None], []
    for _ in range(levels):
        low, detail = head.basis.analyze(low)
        bands.append(detail.square().mean((0, 2, 3)))
    torch.testing.assert_close(head.low_variance, low.square().mean((0, 2, 3)))
    if levels:
        torch.testing.assert_close(head.detail_variance, torch.stack(bands))
    torch.testing.assert_close(head.variance(), x.var((0, 2, 3), unbiased=False).mean())


def test_the_fitted_gaussian_beats_any_other_of_its_kind() -> None:
    head, x, t = build(levels=3), photographs(1, 16), torch.zeros(64)
    head.fit([(x, None)])
    best = head.gaussian(x, t).mean()
    for name in ("mean", "detail_variance", "low_variance"):
        for factor in (0.8, 1.25):
            other = build(levels=3)
            other.load_state_dict({k: v * factor if k == name else v for k, v in head.state_dict().items()})
            assert other.gaussian(x, t).mean() > best


@pytest.mark.parametrize("t", [0.0, 0.1])
def test_a_coarser_image_than_the_data_uses_the_bands_that_it_has(t: float) -> None:
    """6x6 can be halved once, the data 16x16 more often: a Gaussian still, of the same pixels and finest details."""
    head = build(levels=3, basis="haar").double()
    head.fit([(photographs(1, 16).double(), None)])
    center = head.mean.expand(1, 1, 6, 6).clone().flatten()

    def energy(y: Tensor) -> Tensor:
        return head.gaussian(y.reshape(1, 1, 6, 6), torch.full((1,), t, dtype=torch.float64)).sum()

    precision = torch.func.hessian(energy)(center)
    covariance = torch.linalg.inv(precision)
    torch.testing.assert_close(energy(center), torch.logdet(2 * math.pi * covariance) / 2)
    for y in torch.rand(3, 36, dtype=torch.float64):
        torch.testing.assert_close(energy(y), energy(center) + (y - center) @ precision @ (y - center) / 2)
    torch.testing.assert_close(covariance.trace() / 36 - t, head.variance().squeeze())
    details = torch.func.jacfwd(lambda y: head.basis.analyze(y.reshape(1, 1, 6, 6))[1].flatten())(center)
    bands = (details @ covariance @ details.mT).diagonal().reshape(3, 9) - t
    torch.testing.assert_close(bands, head.detail_variance[0].reshape(3, 1).expand(3, 9))


def test_data_that_cannot_be_halved_as_often_is_taken_as_white_below() -> None:
    head = build(levels=3, basis="haar")
    head.fit([(photographs(1, 6), None)])
    assert head.gaussian(photographs(1, 6), torch.zeros(64)).isfinite().all()
    assert head.detail_variance[1].unique().numel() == 1


def test_a_constant_channel_is_no_singularity() -> None:
    head = build(2, levels=2)
    head.fit([(torch.full((4, 2, 8, 8), 0.3), None)])
    y, t = torch.rand(3, 2, 8, 8), torch.zeros(3)
    assert head.energy(y, t).isfinite().all()
    assert head.score(y, t).isfinite().all()


# ---- normalization -------------------------------------------------------------------------------------------


def log_normalizer(head: AnchoredEnergy, t: float, cond: Tensor | None = None) -> float:
    """log of the integral of exp(-U) over y, per dimension, for an image of one pixel and 1 or 2 channels."""
    d = head.conditioner.channels
    reach = 9 * math.sqrt(float(head.variance()) + t)
    axis = torch.linspace(-reach, reach, 2001 if d == 1 else 301, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(*[axis] * d, indexing="ij"), -1).reshape(-1, d, 1, 1) + head.mean[:, None, None]
    parts = []
    with torch.no_grad():
        for y in grid.split(20_000):
            condition = None if cond is None else cond.expand(len(y), -1, -1, -1)
            parts.append(-head.energy(y, torch.full((len(y),), t, dtype=torch.float64), condition))
    return (torch.cat(parts).logsumexp(0) / d + torch.log(axis[1] - axis[0])).item()


def toy(count: int, channels: int, generator: torch.Generator) -> Tensor:
    """Two modes of different weight and width: (count, channels, 1, 1)."""
    right = torch.rand(count, 1, generator=generator) < 0.7
    x = torch.randn(count, channels, generator=generator)
    return torch.where(right, 0.8 + 0.1 * x, 0.2 + 0.05 * x)[:, :, None, None]


def trained(channels: int) -> AnchoredEnergy:
    head, generator = build(channels, levels=0), torch.Generator().manual_seed(2)
    head.fit([(toy(4096, channels, generator), None)])
    objective = mszoo.create("objective", "dual_score_matching", noise={"psnr": [40, -20]})
    optimizer = torch.optim.Adam(head.parameters(), 3e-3)
    steps, losses = 600, []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        x = toy(256, channels, generator)
        y, t = objective.corrupt(x, Draw(0, step, list(range(256))))
        loss, _ = objective.loss(head, x, y, t, None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert statistics.fmean(losses[-100:]) < 0.95 * statistics.fmean(losses[:20])  # an untrained one is normalized too
    return head.double()


@pytest.mark.parametrize("channels", [1, 2])
def test_untrained_it_is_normalized_exactly(channels: int) -> None:
    head = build(channels, levels=0).double()
    head.fit([(toy(1000, channels, torch.Generator().manual_seed(3)).double(), None)])
    for t in TIMES:
        assert abs(log_normalizer(head, t)) < 1e-6


# Two dimensions are harder for so small a network and so short a training; the error is that of its time score.
@pytest.mark.parametrize(("channels", "bound"), [(1, 0.1), (2, 0.25)])
def test_trained_it_is_normalized_down_to_no_noise(channels: int, bound: float) -> None:
    head = trained(channels)
    found = {t: log_normalizer(head, t) for t in TIMES}
    print("log Z per dimension:", {t: round(z, 4) for t, z in found.items()})
    assert max(map(abs, found.values())) < bound
    assert abs(found[1e3]) < 1e-3


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("conditional", [False, True])
def test_a_spoilt_network_is_normalized_at_large_noise_only(channels: int, conditional: bool) -> None:
    head = build(channels, spoilt=30.0, cond_channels=int(conditional), levels=0).double()
    head.fit([(toy(1000, channels, torch.Generator().manual_seed(3)).double(), None)])
    for condition in (0.1, 3.0) if conditional else (None,):
        cond = None if condition is None else torch.full((1, 1, 1, 1), condition, dtype=torch.float64)
        found = {t: log_normalizer(head, t, cond) for t in (*TIMES, 1e5)}
        print("log Z per dimension:", {t: round(z, 4) for t, z in found.items()})
        assert abs(found[1e-2]) > 0.01
        assert abs(found[1e5]) < 1e-4


@given(st.floats(0.1, 5.0), st.sampled_from([1, 3]), st.sampled_from([4, 6, 8]))
@settings(max_examples=10, deadline=None)
def test_at_large_noise_it_is_the_gaussian_whatever_the_network(spoilt: float, channels: int, size: int) -> None:
    head = build(channels, spoilt=spoilt, levels=1).double()
    head.fit([(photographs(channels, 8).double(), None)])
    for t in (1e6, 1e8):
        y = math.sqrt(t) * torch.randn(4, channels, size, size, dtype=torch.float64)
        times = torch.full((4,), t, dtype=torch.float64)
        gap = (head.energy(y, times) - head.gaussian(y, times)).abs().max()
        assert gap < 1e3 * spoilt * y[0].numel() / t


# ---- options -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"levels": -1}, {"levels": 2.5}, {"basis": "bior2.2"}, {"basis": "haarr"}], ids=str
)
def test_impossible_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(MszooError):
        build(**options)  # type: ignore[arg-type]


def test_statistics_travel_with_the_checkpoint() -> None:
    head, other = build(3, levels=2), build(3, levels=2)
    head.fit([(photographs(3, 8), None)])
    other.load_state_dict(head.state_dict())
    y, t = torch.rand(2, 3, 8, 8), torch.tensor([0.0, 0.1])
    assert torch.equal(other.energy(y, t), head.energy(y, t))


def test_the_offset_is_learned_by_the_time_score_and_closes_at_large_noise() -> None:
    plain, head = build(2, levels=1).double(), build(2, levels=1, offset=True).double()
    head.load_state_dict(plain.state_dict(), strict=False)
    y, t = torch.randn(5, 2, 8, 8, dtype=torch.float64), torch.tensor([0.0, 1e-3, 0.1, 1.0, 1e6]).double()
    assert torch.equal(head.energy(y, t), plain.energy(y, t))
    assert head.offset is not None
    torch.nn.init.normal_(head.offset.last.weight)
    difference = head.energy(y, t) - plain.energy(y, t)
    assert (difference[:4].abs() > 0.01).all()
    assert difference[4].abs() < 1e-2
    torch.testing.assert_close(head.score(y, t), plain.score(y, t))
    h = 1e-5 * t[1:4]
    slope = (head.energy(y[1:4], t[1:4] + h) - head.energy(y[1:4], t[1:4] - h)) / (2 * h)
    torch.testing.assert_close(head.time_score(y[1:4], t[1:4]), -slope, rtol=1e-5, atol=1e-5)
