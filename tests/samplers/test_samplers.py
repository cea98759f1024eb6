"""Every verb draws from every head, and every sampler as exactly as it says."""

import pytest
import torch

import mszoo
from mszoo.errors import MszooError, OptionsError, UnknownComponentError, UnsupportedError
from mszoo.inference import Inpainting, Schedule, downsample
from mszoo.randomness import child_generators, normal
from mszoo.samplers import Ascent, Heun, Langevin, Target, make_sampler
from tests.factories import denoiser, energy
from tests.samplers.exact import HEADS, VARIANCE, white

SAMPLERS = {
    "ascent": Ascent(steps=150, beta=1.0),
    "heun": Heun(),
    "langevin": Langevin(steps=200),
}


def ratio(x: torch.Tensor) -> float:
    """The mean square over what it should be."""
    return x.square().mean().item() / VARIANCE


# ---- verbs x heads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("levels", "channels"), [(0, 1), (0, 3), (1, 1), (2, 1), (2, 3)])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samples_are_of_the_density(head, levels, channels, sampler):
    x = white(head, levels, channels).sample(100, (8, 16), sampler=SAMPLERS[sampler], generator=0)
    assert x.shape == (100, channels, 8, 16)
    assert ratio(x) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("sampler", [None, "ascent", Schedule(h0=0.05, beta=0.5)], ids=str)
def test_details_are_of_the_density(head, sampler):
    model, low = white(head, 2, 1), torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    large = model.super_resolve(low, 4, sampler=sampler, generator=0)
    torch.testing.assert_close(downsample(model, large, 4), low, rtol=0, atol=1e-5)
    for detail, _ in model.decompose(large)[:2]:
        assert ratio(detail) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("levels", "channels"), [(0, 1), (1, 3), (2, 1)])
def test_what_was_not_measured_is_of_the_density(head, levels, channels):
    operator, fine = Inpainting.random_pixels((8, 16), 0.5), Schedule(h0=0.05, beta=0.3, growing=False, sigma_end=1e-3)
    x = VARIANCE**0.5 * torch.randn(12, channels, 8, 16, generator=torch.Generator().manual_seed(0))
    found = white(head, levels, channels).solve(operator.forward(x), operator, generator=0, schedule=fine)
    torch.testing.assert_close(operator.forward(found), operator.forward(x), rtol=0, atol=1e-5)
    rest = found - operator.pseudo_inverse(operator.forward(found))
    assert 2 * ratio(rest) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("levels", [0, 1, 2])
@pytest.mark.parametrize("sampler", [*SAMPLERS, None])
def test_an_image_is_the_same_alone_and_in_any_batch(levels, sampler):
    model = energy(levels)
    many, few = (model.sample(n, 8, sampler=sampler, generator=3) for n in (3, 1))
    torch.testing.assert_close(few, many[:1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("levels", [0, 2])
@pytest.mark.parametrize("sampler", [{"name": "heun", "steps": 9}, {"name": "langevin", "steps": 20}])
def test_a_blind_denoiser_is_drawn_from_by_any_sampler(levels, sampler):
    assert denoiser(levels).sample(2, 8, sampler=sampler, generator=0).isfinite().all()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_drawing_begins_within_the_noise_that_each_scale_was_trained_at(sampler):
    model, first = white("denoiser", 2), {}
    model.largest_t = [4.0, 36.0, 16.0]
    model.sample(1, 8, sampler=SAMPLERS[sampler], on_step=lambda j, k, y, s: first.setdefault(j, s.item()))
    for j, sigma in ((0, 2 / 2), (1, 3.0 / 2), (2, 4 / 4)):
        assert 0.3 * sigma < first[j] <= sigma


# ---- exact fields --------------------------------------------------------------------------------------------


def field() -> Target:
    """A Gaussian whose spectrum falls as an image's: wavelet bands of deviation 0.04 to 0.7."""
    from mszoo.testing.samplers import _gaussian

    return Target(_gaussian(), torch.full((1000, 1, 8, 8), 0.5), None, 1.0, 8.0)


def furthest(target: Target, x: torch.Tensor) -> float:
    """The largest relative error of the variance of a band."""
    head = target.head
    low, fine = head.basis.analyze(x - 0.5)
    low, coarse = head.basis.analyze(low)
    found = [band.square().mean((0, 2, 3)) for band in (fine, coarse, low)]
    right = [*head.detail_variance, head.low_variance]
    return max((a / b - 1).abs().max().item() for a, b in zip(found, right, strict=True))


def exact(target: Target) -> torch.Tensor:
    """1,000 samples that are right: what chance alone makes of the measure."""
    head, generator = target.head, torch.Generator().manual_seed(0)
    low = head.low_variance.sqrt() * torch.randn(1000, 1, 2, 2, generator=generator)
    for variance in head.detail_variance.flip(0):
        z = torch.randn(1000, 3, *low.shape[-2:], generator=generator)
        low = head.basis.synthesize(low, variance.sqrt()[:, None, None] * z)
    return 0.5 + low


@torch.no_grad()
@pytest.mark.parametrize(("steps", "most"), [(40, 0.027), (60, 0.011)])
def test_heuns_error_is_what_its_page_says(steps, most):
    """It multiplies each coefficient of the start by a number of its band: no chance is in that."""
    target, generators = field(), lambda: child_generators(0, 2)
    target = Target(target.head, target.mean[:2], None, 1.0, 8.0)
    start = target.noisy(8.0, normal(target.mean, generators())) - 0.5
    found = Heun(steps=steps).draw(target, generators()) - 0.5
    for level, variance in enumerate((*target.head.detail_variance, target.head.low_variance)):
        last = level == len(target.head.detail_variance)
        bands = (start, found) if last else [target.head.basis.analyze(x)[1] for x in (start, found)]
        factors = (8.0 * bands[1] / bands[0]).square().mean((0, 2, 3)) / variance
        assert (factors - 1).abs().max() < most
        if not last:
            start, found = (target.head.basis.analyze(x)[0] for x in (start, found))


@torch.no_grad()
def test_forty_evaluations_of_heun_are_as_close_as_two_hundred_of_ascent():
    target, generators = field(), lambda: child_generators(0, 1000)
    heun = furthest(target, Heun(steps=40).draw(target, generators()))
    ascent = furthest(target, Ascent(steps=200).draw(target, generators()))
    chance = furthest(target, exact(target))
    print(f"largest error of a band's variance: heun, 40 evaluations: {heun:.3f}; ascent, 200: {ascent:.3f}")
    print(f"of exact samples: {chance:.3f}")
    assert heun <= ascent


@pytest.mark.parametrize("steps", [1, 2, 5, 40, 41])
@pytest.mark.parametrize("sampler", ["heun", "ascent", "langevin"])
def test_steps_are_evaluations(sampler, steps, monkeypatch):
    calls, target = [], Target(white("denoiser").coarse, torch.zeros(2, 1, 8, 8), None, 1.0, 8.0)
    forward = target.head.conditioner.forward
    monkeypatch.setattr(target.head.conditioner, "forward", lambda *given: (calls.append(1), forward(*given))[1])
    options = {"beta": 1.0} if sampler == "ascent" else {}
    if sampler == "ascent" and steps == 1:
        with pytest.raises(OptionsError, match="steps"):
            make_sampler({"name": sampler, "steps": steps})
        return
    make_sampler({"name": sampler, "steps": steps, **options}).draw(target, child_generators(0, 2))
    assert len(calls) <= max(steps, 4 if sampler == "langevin" else 1)
    assert len(calls) >= steps - 4


@torch.no_grad()
def test_metropolis_accepts_as_it_should_at_every_noise_level():
    sampler, target = Langevin(adjust=True), field()
    target = Target(target.head, torch.full((64, 1, 16, 16), 0.5), None, 1.0, 16.0)
    sampler.draw(target, child_generators(0, 64))
    print(sampler.report())
    assert len(sampler.acceptance) == 60
    assert all(0.5 <= rate <= 0.9 for _, rate in sampler.acceptance)


@torch.no_grad()
def test_metropolis_makes_large_steps_exact():
    """Of steps so large that Langevin's own are wrong: one noise level, long enough to forget the start."""
    target = Target(white("inner_product").coarse, torch.zeros(400, 1, 4, 4), None, 1.0, 0.2)
    options = {"steps": 61, "inner": 60, "step": 3.0, "sigma_max": 0.2, "sigma_min": 0.19999}
    plain, exact = (Langevin(**options, adjust=a).draw(target, child_generators(0, 400)) for a in (False, True))
    # the last step denoises: y v / (v + t)
    right = VARIANCE**2 / (VARIANCE + 0.04)
    assert exact.square().mean().item() == pytest.approx(right, rel=0.08)
    assert plain.square().mean().item() > 1.3 * right


# ---- what a user may say -------------------------------------------------------------------------------------


def test_a_sampler_is_named_in_four_ways():
    assert make_sampler("heun").steps == 60
    assert make_sampler({"name": "heun", "steps": 8}).part.config() == {"name": "heun", "steps": 8}
    ready = Heun(churn=2.0)
    assert make_sampler(ready) is ready
    assert make_sampler(Schedule(h0=0.3)).given["h0"] == 0.3


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ("huen", UnknownComponentError, "did you mean 'heun'"),
        ({"name": "heun", "step": 3}, OptionsError, "did you mean 'steps'"),
        ({"name": "heun", "sigma_max": 0.001}, OptionsError, "above sigma_min"),
        ({"steps": 3}, OptionsError, "mapping with its name"),
        (7, OptionsError, "mapping with its name"),
        ({"name": "ascent", "steps": 10, "h0": 0.1}, OptionsError, "steps says how large"),
    ],
)
def test_what_is_no_sampler(given, error, match):
    with pytest.raises(error, match=match):
        make_sampler(given)


@pytest.mark.parametrize("head", ["score", "denoiser"])
def test_metropolis_needs_an_energy_and_says_so_before_anything_is_drawn(head):
    seen = []
    mixed = mszoo.MultiScaleModel(
        1, white("anchored", 1).coarse, mszoo.create("basis", "haar"), list(white(head, 1).detail)
    ).eval()
    with pytest.raises(UnsupportedError, match="has none"):
        mixed.sample(1, 8, sampler={"name": "langevin", "adjust": True}, on_step=lambda *told: seen.append(told))
    assert not seen


def test_too_few_steps_for_the_noise_that_is_added():
    with pytest.raises(MszooError, match="too few"):
        white("score").sample(1, 8, sampler={"name": "ascent", "steps": 5, "beta": 0.1})
