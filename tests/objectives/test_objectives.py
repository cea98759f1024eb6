from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import mszoo
from mszoo.conditioners import BiasFreeCNN
from mszoo.errors import OptionsError
from mszoo.heads import EnergyHead, Head
from mszoo.objectives.noise import NoiseLevels
from mszoo.randomness import Draw

OBJECTIVES = ["contrastive", "denoising", "dual_score_matching", "score_matching"]
NOISES: list[dict[str, Any]] = [
    {},
    {"distribution": "squared_uniform", "max_sigma": 4.0},
    {"distribution": "uniform", "min_sigma": 0.1, "max_sigma": 0.5},
    {"distribution": "uniform", "max_sigma": 2.0},
    {"distribution": "log_uniform", "min_sigma": 0.01, "max_sigma": 3.0},
]

every_objective = pytest.mark.parametrize("name", OBJECTIVES)
every_single = pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "contrastive"])
every_noise = pytest.mark.parametrize("noise", NOISES, ids=str)
every_sort = pytest.mark.parametrize("sort", ["normal", "uniform"])

SMOOTH = {"norm": "channel", "activation": "gelu", "noise_embedding": True}

seed = st.integers(0, 2**63 - 1)
samples = st.lists(st.integers(0, 2**40), min_size=1, max_size=8, unique=True)


def numbers(draw: Draw, sort: str, rows: int, shape: tuple[int, ...] = (2, 5, 3)) -> Tensor:
    return getattr(draw, sort)(torch.empty(rows, *shape))


def test_every_registered_objective_is_tested_here() -> None:
    assert sorted(OBJECTIVES) == mszoo.list_components("objective")


# ---- random numbers ------------------------------------------------------------------------------------------


@every_sort
@given(seed=seed, step=st.integers(0, 10**9), indices=samples, data=st.data())
def test_a_row_depends_on_seed_step_and_index_alone(
    sort: str, seed: int, step: int, indices: list[int], data: st.DataObject
) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(indices) - 1), min_size=1, unique=True), "rows, in any order")
    whole = numbers(Draw(seed, step, indices), sort, len(indices))
    part = numbers(Draw(seed, step, [indices[i] for i in chosen]), sort, len(chosen))
    assert torch.equal(part, whole[chosen])


@every_sort
@given(seed=seed, step=st.integers(0, 10**9), index=st.integers(0, 2**40))
def test_another_seed_step_index_stream_or_call_draws_other_numbers(
    sort: str, seed: int, step: int, index: int
) -> None:
    draw = Draw(seed, step, [index])
    drawn = [numbers(draw, sort, 1), numbers(draw, sort, 1)]
    others = [
        Draw(seed ^ 1, step, [index]),
        Draw(seed, step + 1, [index]),
        Draw(seed, step, [index + 1]),
        Draw(seed, step, [index], stream=5),
        *(draw.scale(j) for j in range(3)),
    ]
    drawn += [numbers(other, sort, 1) for other in others]
    assert len({tuple(d.flatten().tolist()) for d in drawn}) == len(drawn)


def test_scales_draw_the_same_numbers_again_for_the_same_samples() -> None:
    whole, part = Draw(1, 2, [3, 4, 5]), Draw(1, 2, [5, 3])
    whole.normal(torch.empty(3, 2))  # what the parent has drawn does not matter
    assert torch.equal(numbers(part.scale(1), "normal", 2), numbers(whole.scale(1), "normal", 3)[[2, 0]])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("stream", [0, 1, 2])
def test_numbers_have_their_distribution(dtype: torch.dtype, stream: int) -> None:
    draw, x = Draw(0, 0, list(range(500)), stream), torch.empty(500, 400, dtype=dtype)
    n = x.numel()
    z, u = draw.normal(x), draw.uniform(x)
    assert z.dtype == u.dtype == dtype
    z, u = z.double(), u.double()
    for moment, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**moment).mean() - expected) < 5 * math.sqrt(variance / n) + 0.001
    for moment in (1, 2, 3):
        assert abs((u**moment).mean() - 1 / (moment + 1)) < 5 * math.sqrt(0.1 / n) + 0.001
    # Rows, which have generators of their own, are no more alike than chance makes them.
    correlations = torch.corrcoef(z) - torch.eye(500).double()
    assert correlations.abs().max() < 6 / math.sqrt(400)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_uniform_numbers_lie_in_the_half_open_interval(dtype: torch.dtype) -> None:
    u = Draw(0, 0, list(range(100))).uniform(torch.empty(100, 1000, dtype=dtype))
    assert u.min() >= 0
    assert u.max() < 1


def test_a_draw_for_other_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="2 samples"):
        Draw(0, 0, [1, 2]).normal(torch.empty(3, 1))


# ---- noise levels --------------------------------------------------------------------------------------------


@every_noise
def test_noise_levels_grow_with_u_inside_their_range(noise: dict[str, Any]) -> None:
    levels = NoiseLevels(**noise)
    sigma = levels.sigma(torch.linspace(0, 1, 1001, dtype=torch.float64))
    assert (sigma.diff() > 0).all()
    assert sigma[0].item() == pytest.approx(levels.min_sigma)
    assert sigma[-1].item() == pytest.approx(levels.max_sigma)


def test_noise_levels_have_their_distribution() -> None:
    u = torch.linspace(0, 1, 11, dtype=torch.float64)
    evenly = {
        "squared_uniform": lambda sigma: sigma.sqrt(),
        "uniform": lambda sigma: sigma,
        "log_uniform": torch.log,
    }
    for name, flatten in evenly.items():
        steps = flatten(NoiseLevels(distribution=name, min_sigma=0.1 * ("squared" not in name)).sigma(u)).diff()
        torch.testing.assert_close(steps, steps[:1].expand(10))


@pytest.mark.parametrize(
    ("noise", "key"),
    [
        ({"max_sigma": 0}, "max_sigma"),
        ({"max_sigma": -1}, "max_sigma"),
        ({"max_sigma": math.inf}, "max_sigma"),
        ({"max_sigma": math.nan}, "max_sigma"),
        ({"max_sigma": "much"}, "max_sigma"),
        ({"distribution": "uniform", "min_sigma": -0.1}, "min_sigma"),
        ({"distribution": "uniform", "min_sigma": 2.0}, "min_sigma 2.0 must be below max_sigma 1.0"),
        ({"distribution": "uniform", "min_sigma": 1.0}, "min_sigma"),
        ({"distribution": "log_uniform"}, "log_uniform needs a positive min_sigma"),
        ({"min_sigma": 0.1}, "squared_uniform"),
        ({"distribution": "gaussian"}, "'log_uniform'"),
        ({"max_sigm": 1.0}, "max_sigma"),
    ],
    ids=str,
)
@every_objective
def test_impossible_noise_is_refused(name: str, noise: dict[str, Any], key: str) -> None:
    with pytest.raises(OptionsError, match=f"objective '{name}': noise.*{key}"):
        mszoo.create("objective", name, noise=noise)


def test_psnr_gives_the_range_of_sigma() -> None:
    levels = NoiseLevels.model_validate({"psnr": [90, -30]})
    sigma = levels.sigma(torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64))
    assert (-20 * torch.log10(sigma)).tolist() == pytest.approx([90, 60, -30])
    assert NoiseLevels.model_validate({"psnr": [-30, 90]}) == levels
    for beyond, limit in (([-9e9, 1], "greater than or equal to -150"), ([0, 1e300], "less than or equal to 300")):
        with pytest.raises(ValueError, match=limit):
            NoiseLevels.model_validate({"psnr": beyond})
    with pytest.raises(ValueError, match="leave them out"):
        NoiseLevels.model_validate({"psnr": [90, -30], "max_sigma": 1.0})


# ---- objectives ----------------------------------------------------------------------------------------------


@every_single
@every_noise
def test_corrupt_adds_white_noise_of_variance_t(name: str, noise: dict[str, Any]) -> None:
    objective, levels = mszoo.create("objective", name, noise=noise), NoiseLevels(**noise)
    x = torch.rand(64, 2, 48, 48, dtype=torch.float64)
    y, t = objective.corrupt(x, Draw(0, 0, list(range(64))))
    assert t.shape == (64,)
    sigma = t.sqrt()
    assert levels.min_sigma <= sigma.min()
    assert sigma.max() <= levels.max_sigma
    assert sigma.unique().numel() == 64
    z = (y - x) / sigma[:, None, None, None]
    n = x[0].numel()
    assert (z.flatten(1).mean(1).abs() < 6 / math.sqrt(n)).all()
    assert ((z.flatten(1).var(1) - 1).abs() < 6 * math.sqrt(2 / n)).all()
    neighbours = (z[..., 1:] * z[..., :-1]).mean((1, 2, 3))
    assert (neighbours.abs() < 6 / math.sqrt(n)).all()


@every_objective
def test_corrupt_treats_each_sample_alone(name: str) -> None:
    objective = mszoo.create("objective", name)
    x = torch.rand(5, 1, 4, 4)
    whole = objective.corrupt(x, Draw(0, 3, [10, 11, 12, 13, 14]))
    part = objective.corrupt(x[[4, 1]], Draw(0, 3, [14, 11]))
    for a, b in zip(part, whole, strict=True):
        assert torch.equal(a, b[[4, 1]])


class Oracle(Head):
    """A head that knows the answer, but for a constant."""

    def __init__(self, answer: Tensor, error: float) -> None:
        super().__init__(BiasFreeCNN(answer.shape[1], receptive_field=5, width=1, depth=2))
        self.answer, self.error = answer, error

    def estimate(self, y: Tensor, t: Tensor | None, cond: Tensor | None) -> Tensor:
        return self.answer + self.error


@pytest.mark.parametrize("error", [0.0, 0.5])
def test_denoising_pays_the_squared_error_of_each_image(error: float) -> None:
    objective, x = mszoo.create("objective", "denoising"), torch.rand(4, 3, 6, 5, dtype=torch.float64)
    y, t = objective.corrupt(x, Draw(0, 0, [0, 1, 2, 3]))
    loss, logs = objective.loss(Oracle(x, error), x, y, t, None)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(90 * error**2)
    assert logs["mse"].item() == pytest.approx(error**2)


def test_random_intensity_scales_each_image_by_one_factor() -> None:
    x, indices = torch.rand(300, 2, 4, 4) + 0.5, list(range(300))
    plain, scaled = (mszoo.create("objective", "denoising", random_intensity=r) for r in (False, True))
    assert torch.equal(plain.augment(x, Draw(0, 0, indices)), x)
    draw = Draw(0, 0, indices)
    augmented = scaled.augment(x, draw)
    factors = augmented / x
    torch.testing.assert_close(factors, factors[:, :1, :1, :1].expand_as(x))
    factor = factors[:, 0, 0, 0]
    assert 0 <= factor.min() < 0.05
    assert 0.95 < factor.max() <= 1
    assert abs(factor.mean() - 0.5) < 0.1
    assert torch.equal(scaled.augment(x[:2], Draw(0, 0, [0, 1])), augmented[:2])
    # The noise that follows has nothing to do with the factor.
    _, t = scaled.corrupt(augmented, draw)
    assert abs(torch.corrcoef(torch.stack([factor, t.sqrt().sqrt()]))[0, 1]) < 0.25


def test_the_weight_is_a_power_of_each_images_sigma():
    class Off(torch.nn.Module):
        def denoise(self, y, t, cond):
            return torch.ones_like(y)

    x, t = torch.zeros(3, 1, 2, 2), torch.tensor([0.01, 0.25, 4.0])
    for exponent in (0.0, 1.0, 2.0):
        loss, _ = mszoo.create("objective", "denoising", weight_exponent=exponent).loss(Off(), x, x, t, None)
        torch.testing.assert_close(loss, (4 * t.sqrt() ** -exponent).mean())
    loss, _ = mszoo.create("objective", "denoising", weight_exponent=1.0).loss(Off(), x, x, torch.zeros(3), None)
    assert loss.isfinite()


class Guess(EnergyHead):
    """An energy whose derivatives are given."""

    def __init__(self, score: Tensor, time_score: Tensor) -> None:
        nn.Module.__init__(self)
        self.given = score, time_score

    def energy(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        raise NotImplementedError

    def derivatives(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.given

    def score(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        return self.given[0]


@pytest.mark.parametrize("exponent", [0.0, 0.5, -1.0])
@pytest.mark.parametrize("time_weight", [0.0, 1.0, 10.0])
def test_dual_score_matching_weighs_its_terms(exponent: float, time_weight: float) -> None:
    x, t = torch.rand(3, 2, 4, 4, dtype=torch.float64), torch.tensor([1e-4, 0.25, 9.0], dtype=torch.float64)
    z, d = torch.randn_like(x), 32
    sigma = t.sqrt()[:, None, None, None]
    off, slow = torch.tensor([0.1, 0.2, 0.3]).double(), torch.tensor([1.0, -2.0, 3.0]).double()
    # Targets: -z / sigma for the score, (|z|^2 - d) / 2 t for the time score; missed by off / sigma, d slow / t.
    head = Guess((off[:, None, None, None] - z) / sigma, (z.flatten(1).square().sum(1) - d) / (2 * t) + d * slow / t)
    dual = mszoo.create("objective", "dual_score_matching", weight_exponent=exponent, time_weight=time_weight)
    loss, logs = dual.loss(head, x, x + sigma * z, t, None)
    expected = t**-exponent * (off.square() + time_weight * slow.square())
    torch.testing.assert_close(loss, expected.mean())
    assert logs["space"].item() == pytest.approx(off.square().mean().item())
    assert logs["time"].item() == pytest.approx(slow.square().mean().item())
    single, _ = mszoo.create("objective", "score_matching", weight_exponent=exponent).loss(
        head, x, x + sigma * z, t, None
    )
    torch.testing.assert_close(single, (t**-exponent * off.square()).mean())


@pytest.mark.parametrize("name", ["denoising", "score_matching", "dual_score_matching"])
def test_the_largest_noise_is_told(name: str) -> None:
    objective = mszoo.create("objective", name, noise={"distribution": "uniform", "max_sigma": 3.0})
    assert objective.largest_t == 9.0
    _, t = objective.corrupt(torch.zeros(500, 1, 2, 2), Draw(0, 0, list(range(500))))
    assert 8.5 < t.max() <= 9.0


@pytest.mark.parametrize("name", ["score_matching", "dual_score_matching"])
def test_no_noise_at_all_is_no_fault(name: str) -> None:
    x, t = torch.rand(3, 1, 4, 4), torch.tensor([0.0, 0.1, 0.0])
    loss, _ = mszoo.create("objective", name).loss(Guess(torch.ones_like(x), torch.ones(3)), x, x, t, None)
    assert loss.isfinite()
    assert mszoo.create("objective", name).largest_t == pytest.approx(1e3)


# ---- the contrastive one -------------------------------------------------------------------------------------

PSNR = {"psnr": [30, 0]}


def gaussian_head(variance: float, channels: int = 1) -> EnergyHead:
    """Exactly a white Gaussian's energy about 0, of this variance for clean images, whatever the noise level."""
    network = mszoo.create(
        "conditioner", "bias_free_cnn", channels, receptive_field=5, depth=3, width=4, zero_output=True, **SMOOTH
    )
    head = mszoo.create("head", "anchored", network, levels=0)
    head.low_variance.fill_(variance)
    return head


@given(seed=seed, steps=st.tuples(st.floats(0.1, 5), st.floats(0.1, 5)))
@settings(max_examples=20, deadline=None)
def test_the_other_point_is_a_small_step_away_and_within_the_range(seed: int, steps: tuple[float, float]) -> None:
    a, b = steps
    objective = mszoo.create("objective", "contrastive", noise=PSNR, time_step=a, space_step=b)
    x = torch.zeros(200, 2, 8, 8)
    y, t = objective.corrupt(x, Draw(seed, 0, list(range(200))))
    assert y.shape == (200, 4, 8, 8)
    assert t.shape == (200, 2)
    assert t.min() >= 1e-3 * (1 - 1e-5)
    assert t.max() <= 1 + 1e-5
    one, other = y.chunk(2, 1)
    moved = (other - one).square().flatten(1).sum(1) / t.prod(1).sqrt()
    assert moved.mean().sqrt() == pytest.approx(b, rel=0.05)
    inside = ((t > 4e-3) & (t < 0.25)).all(1)  # too far from both ends to be reflected
    ratio = t.log().diff(dim=1).flatten()[inside]
    assert ratio.std() == pytest.approx(a * math.sqrt(2 / 128), rel=0.35)


def test_a_step_back_is_as_probable() -> None:
    """Noise levels stay uniform in their logarithm, near the ends too."""
    objective = mszoo.create("objective", "contrastive", noise=PSNR, time_step=3.0)
    _, t = objective.corrupt(torch.zeros(20_000, 1, 2, 2), Draw(0, 0, list(range(20_000))))
    for column in t.unbind(1):
        u = (column.log() - math.log(1e-3)) / math.log(1e3)
        counts = torch.histc(u, 10, 0, 1)
        assert (counts - 2000).abs().max() < 6 * math.sqrt(2000)


@pytest.mark.parametrize("see_clean", [True, False])
def test_the_contrast_is_smallest_for_the_true_density(see_clean: bool) -> None:
    """Of Gaussians, that of the data's variance and no other; and the mean slope in it is none."""
    objective = mszoo.create("objective", "contrastive", noise=PSNR, see_clean=see_clean, time_step=2.0, space_step=3.0)
    x = 0.3 * torch.randn(20_000, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    y, t = objective.corrupt(x, Draw(0, 0, list(range(len(x)))))
    variances = [0.05, 0.07, 0.09, 0.11, 0.14]
    losses = [objective.loss(gaussian_head(v), x, y, t, None)[0].item() for v in variances]
    assert min(losses) == losses[2]


def test_seeing_the_clean_image_changes_the_mean_of_the_slope_little_and_its_noise_much() -> None:
    x = 0.3 * torch.randn(20_000, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    means, deviations = [], []
    for see_clean in (False, True):
        objective = mszoo.create("objective", "contrastive", noise=PSNR, see_clean=see_clean)
        y, t = objective.corrupt(x, Draw(0, 0, list(range(len(x)))))
        below, above = gaussian_head(0.149), gaussian_head(0.151)
        parts = range(0, len(x), 100)
        slopes = torch.tensor(
            [
                (objective.loss(above, *rows, None)[0] - objective.loss(below, *rows, None)[0]).item() / 0.002
                for i in parts
                for rows in [[v[i : i + 100] for v in (x, y, t)]]
            ]
        )
        means.append(slopes.mean())
        deviations.append(slopes.std())
    error = deviations[0] / math.sqrt(len(x) / 100)
    print(f"slope {means[0]:.4f} +- {error:.4f} and {means[1]:.4f}; noise {deviations[0]:.4f} and {deviations[1]:.4f}")
    assert abs(means[0] - means[1]) < 4 * error
    assert deviations[1] < deviations[0]


def test_the_contrastive_loss_by_hand() -> None:
    objective = mszoo.create("objective", "contrastive", see_clean=False)
    head, x = gaussian_head(0.25), torch.zeros(1, 1, 2, 2)
    y = torch.stack([torch.full((2, 2), 0.5), torch.full((2, 2), 1.0)])[None]
    t = torch.tensor([[0.25, 0.75]])
    energies = [(4 * (v**2 / s + math.log(2 * math.pi * s))) / 2 for v, s in ((0.5, 0.5), (1.0, 1.0))]
    loss, logs = objective.loss(head, x, y, t, None)
    assert loss.item() == pytest.approx(math.log1p(math.exp(energies[0] - energies[1])))
    assert logs["right"] == float(energies[0] < energies[1])


def test_the_contrastive_loss_needs_no_second_derivative() -> None:
    """Of a conditional scale: one backward pass reaches every parameter."""
    objective = mszoo.create("objective", "contrastive")
    network = mszoo.create("conditioner", "bias_free_cnn", 3, 1, receptive_field=5, depth=3, width=4, **SMOOTH)
    head = mszoo.create("head", "predictive", network)
    x, cond = torch.randn(4, 3, 8, 8), torch.rand(4, 1, 8, 8)
    y, t = objective.corrupt(x, Draw(0, 0, [0, 1, 2, 3]))
    loss, _ = objective.loss(head, x, y, t, cond)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize("distribution", ["squared_uniform", "uniform"])
def test_the_contrastive_one_refuses_levels_whose_step_back_is_not_as_probable(distribution: str) -> None:
    with pytest.raises(OptionsError, match="log_uniform"):
        mszoo.create("objective", "contrastive", noise={"distribution": distribution})


@pytest.mark.parametrize("distribution", ["squared_uniform", "uniform"])
def test_noise_of_the_eight_bit_scale_is_told(distribution: str) -> None:
    with pytest.warns(UserWarning, match=r"max_sigma 55 is far above .*did you mean 55/255 = 0\.216\?"):
        NoiseLevels(distribution=distribution, max_sigma=55)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NoiseLevels(distribution=distribution, max_sigma=32)
        NoiseLevels(psnr=[90, -40])


# ---- noise beyond white --------------------------------------------------------------------------------------

KINDS = ["white", "correlated", "signal_dependent", "camera"]


def noise_of(kind: str, x: Tensor) -> Tensor:
    noise = {"kind": kind, "distribution": "uniform", "min_sigma": 0.2, "max_sigma": 0.2001}
    y, t = mszoo.create("objective", "denoising", noise=noise).corrupt(x, Draw(0, 0, range(len(x))))
    torch.testing.assert_close(t, torch.full((len(x),), 0.04), atol=1e-4, rtol=0)
    return y - x


@pytest.mark.parametrize("kind", KINDS)
def test_noise_has_the_variance_it_says_in_the_mean(kind: str) -> None:
    x = torch.linspace(0, 1, 64).expand(100, 2, 64, 64)
    assert noise_of(kind, x).square().mean() == pytest.approx(0.04, rel=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_correlated_or_depends_on_the_signal_as_it_is_called(kind: str) -> None:
    noise = noise_of(kind, torch.linspace(0, 1, 64).expand(100, 1, 64, 64)) / 0.2
    along, down = ((noise * noise.roll(1, axis)).mean().item() for axis in (-1, -2))
    correlated = kind in ("correlated", "camera")
    assert (along > 0.2, down > 0.2) == (correlated, correlated)
    dark, bright = (noise[..., part].square().mean().item() for part in (slice(8), slice(-8, None)))
    assert (bright > 1.5 * dark) == (kind in ("signal_dependent", "camera"))


@pytest.mark.parametrize("kind", KINDS)
def test_noise_of_an_image_is_its_own(kind: str) -> None:
    objective = mszoo.create("objective", "denoising", noise={"kind": kind})
    x = torch.rand(4, 3, 16, 16)
    y, t = objective.corrupt(x, Draw(1, 2, range(4)))
    alone, its = objective.corrupt(x[2:3], Draw(1, 2, [2]))
    torch.testing.assert_close((alone[0], its[0]), (y[2], t[2]))


@pytest.mark.parametrize("name", [n for n in OBJECTIVES if n != "denoising"])
def test_only_denoising_takes_noise_that_is_not_white(name: str) -> None:
    with pytest.raises(OptionsError, match="kind"):
        mszoo.create("objective", name, noise={"kind": "camera"})


def test_a_kind_of_noise_that_there_is_not() -> None:
    with pytest.raises(OptionsError, match=r"noise\.kind"):
        mszoo.create("objective", "denoising", noise={"kind": "pink"})
