"""The contract of a sampler: the density's own images, each from its own random numbers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mszoo.conditioners import Conditioner
from mszoo.discovery import registry
from mszoo.heads import AnchoredEnergy
from mszoo.randomness import child_generators
from mszoo.samplers import Sampler, Target
from mszoo.testing.kit import Check, Subject, close, require, shake

__all__ = ["CHECKS"]

_WHERE = "mszoo.samplers.Sampler"
_SIDE = 8


def draws_the_density(subject: Subject) -> None:
    """Of a Gaussian, whose denoiser is exact, the images have the mean and, in each wavelet band, the variance."""
    head, count = _gaussian(), 1000
    x = _drawn(subject.make(), _target(head, count)) - 0.5
    low, fine = head.basis.analyze(x)
    low, coarse = head.basis.analyze(low)
    brightness = x.mean()
    error = math.sqrt(float(head.low_variance) / (count * low[0].numel())) + 0.02
    require(bool(brightness.abs() < error), f"the mean is off by {brightness:.3f}", f"{_WHERE}.draw")
    for name, band, variance in (
        ("fine details", fine, head.detail_variance[0]),
        ("coarse details", coarse, head.detail_variance[1]),
        ("coarsest image", low, head.low_variance),
    ):
        for k, expected in enumerate(variance):
            ratio = float((band[:, k] - band[:, k].mean()).square().mean() / expected)
            chance = 4 * math.sqrt(2 / band[:, k].numel())
            told = f"the {name} have {ratio:.3f} times the variance of the density"
            require(abs(ratio - 1) < 0.05 + chance, told, f"{_WHERE}.draw")
        correlation = torch.corrcoef(band.flatten(1).T) - torch.eye(band[0].numel())
        require(bool(correlation.abs().max() < 0.2), f"the {name} are correlated", f"{_WHERE}.draw")


def draws_from_the_generators_alone(subject: Subject) -> None:
    """The same generators give the same images, others give others, and torch's global generator is left alone."""
    sampler, target = subject.make(), _target(_gaussian(), 2)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = _drawn(sampler, target)
    require(torch.equal(before, torch.get_rng_state()), "it draws from torch's global generator", f"{_WHERE}.draw")
    torch.manual_seed(2)
    require(torch.equal(one, _drawn(sampler, target)), "the same generators give other images", f"{_WHERE}.draw")
    require(not torch.equal(one, _drawn(sampler, target, 1)), "the seed changes nothing", f"{_WHERE}.draw")


def draws_each_image_alone(subject: Subject) -> None:
    """Image i is the same alone and in any batch: given its own generator and its own condition."""
    head, cond = _conditional(), torch.rand(3, 1, _SIDE, _SIDE, generator=torch.Generator().manual_seed(3))
    together = _drawn(subject.make(), _target(head, 3, cond))
    for i in range(3):
        alone = _target(head, 1, cond[i : i + 1])
        with torch.no_grad():
            drawn = subject.make().draw(alone, child_generators(0, 3)[i : i + 1])
        require(close(drawn[0], together[i], 1e-4), f"image {i} of 3 is another one alone", _WHERE)


def looks_at_the_condition(subject: Subject) -> None:
    """Details are drawn given the coarser image: another one gives others."""
    head, cond = _conditional(), torch.rand(2, 1, _SIDE, _SIDE, generator=torch.Generator().manual_seed(3))
    one, other = (_drawn(subject.make(), _target(head, 2, c)) for c in (cond, cond.flip(0)))
    require(one.shape == (2, 3, _SIDE, _SIDE), f"details are {tuple(one.shape)}", f"{_WHERE}.draw")
    require(not close(one, other, 1e-5), "the condition changes nothing", f"{_WHERE}.draw")


def keeps_to_the_gain(subject: Subject) -> None:
    """Noise levels are those of local means: coefficients four times as large come out four times as large."""
    small, large = (_drawn(subject.make(), _target(_gaussian(gain), 200, gain=gain)) / gain for gain in (1.0, 4.0))
    ratio = float(large.std() / small.std())
    require(abs(ratio - 1) < 0.02, f"with gain 4 the deviation is {4 * ratio:.2f} times as large", "Target.gain")


def tells_its_steps(subject: Subject) -> None:
    """on_step is called with rising steps, all images, and noise levels (B,) that end below those at first."""
    seen: list[tuple[int, Tensor, Tensor]] = []
    with torch.no_grad():
        sampler: Sampler = subject.make()
        sampler.draw(_target(_gaussian(), 2), child_generators(0, 2), lambda k, y, s: seen.append((k, y, s.clone())))
    where = f"{_WHERE}.draw"
    require(bool(seen), "on_step was never called", where)
    steps = [k for k, _, _ in seen]
    require(steps == sorted(set(steps)), f"the steps are {steps[:5]} ...", where)
    shapes = {(tuple(y.shape), tuple(s.shape)) for _, y, s in seen}
    require(shapes == {((2, 1, _SIDE, _SIDE), (2,))}, f"on_step was called with {shapes}", where)
    require(bool((seen[-1][2] < seen[0][2]).all()), "the noise level does not fall", where)


def leaves_its_target(subject: Subject) -> None:
    """The target's mean and condition are as before, and a second draw of one sampler is as the first."""
    cond = torch.rand(2, 1, _SIDE, _SIDE, generator=torch.Generator().manual_seed(3))
    target = _target(_conditional(), 2, cond.clone())
    sampler: Sampler = subject.make()
    one, again = (_drawn(sampler, target) for _ in range(2))
    assert target.cond is not None
    kept = not target.mean.any() and torch.equal(target.cond, cond)
    require(kept, "it changes the target", f"{_WHERE}.draw")
    require(torch.equal(one, again), "a second draw of the same is another", f"{_WHERE}.draw")


def _drawn(sampler: Sampler, target: Target, seed: int = 0) -> Tensor:
    with torch.no_grad():
        x = sampler.draw(target, child_generators(seed, len(target.mean)))
    require(x.shape == target.mean.shape, f"it draws {tuple(x.shape)} for {tuple(target.mean.shape)}", f"{_WHERE}.draw")
    require(bool(x.isfinite().all()), "what it draws is not finite", f"{_WHERE}.draw")
    return x


def _target(head: AnchoredEnergy, count: int, cond: Tensor | None = None, gain: float = 1.0) -> Target:
    if cond is not None:
        return Target(head, torch.zeros(count, 3, _SIDE, _SIDE), cond, 2.0, 3.0)
    return Target(head, torch.full((count, 1, _SIDE, _SIDE), 0.5 * gain), None, gain, float(_SIDE))


class _Silent(Conditioner):
    """A network that answers nothing: an anchored energy on it is its Gaussian."""

    takes_t = batch_independent = smooth = True

    @property
    def receptive_field(self) -> int | None:
        return 1

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        return torch.zeros_like(self.join(y, cond)[:, -self.channels :])


def _gaussian(gain: float = 1.0) -> AnchoredEnergy:
    """An exact Gaussian whose spectrum falls as an image's."""
    head: AnchoredEnergy = registry().create("head", "anchored", _Silent(1), basis="haar", levels=2)
    with torch.no_grad():
        head.mean.fill_(0.5 * gain)
        head.detail_variance.copy_(gain**2 * torch.tensor([[0.004, 0.004, 0.002], [0.02, 0.03, 0.01]]))
        head.low_variance.fill_(0.5 * gain**2)
    return head.eval()


def _conditional() -> AnchoredEnergy:
    """Details whose density depends on the coarser image."""
    options = {"receptive_field": 5, "depth": 3, "width": 4, "norm": "none"}
    options |= {"activation": "gelu", "noise_embedding": True}
    torch.manual_seed(0)
    network = registry().create("conditioner", "bias_free_cnn", 3, 1, **options)
    head: AnchoredEnergy = registry().create("head", "anchored", network, basis="haar", levels=0)
    shake(head, 0.1)
    with torch.no_grad():
        head.low_variance.fill_(0.05)
    return head.eval()


CHECKS: tuple[Check, ...] = (
    draws_the_density,
    draws_from_the_generators_alone,
    draws_each_image_alone,
    looks_at_the_condition,
    keeps_to_the_gain,
    tells_its_steps,
    leaves_its_target,
)
