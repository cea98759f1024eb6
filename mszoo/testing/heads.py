"""The contract of a head: what it answers, and that its derivatives belong together."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from mszoo.errors import MszooError
from mszoo.heads import EnergyHead, Head
from mszoo.objectives import DualScoreMatching, ScoreMatching
from mszoo.testing.kit import Check, ContractError, Subject, close, require, saved_and_loaded, shake, stays_on_device
from mszoo.testing.parallel import same_on_two_processes

__all__ = ["CHECKS"]

_WHERE = "mszoo.heads.Head"
_ENERGY = "mszoo.heads.EnergyHead"


def denoises(subject: Subject) -> None:
    """denoise returns the shape and dtype of y, finite; a blind head needs no t, another raises an error of mszoo's."""
    for dtype in (torch.float32, torch.float64):
        head = _head(subject).to(dtype)
        y, t = _inputs(head, dtype)
        denoised = head.denoise(y, t)
        require(
            denoised.shape == y.shape, f"it gives {tuple(denoised.shape)} for {tuple(y.shape)}", f"{_WHERE}.denoise"
        )
        require(denoised.dtype == dtype, f"{dtype} becomes {denoised.dtype}", f"{_WHERE}.denoise")
        require(bool(denoised.isfinite().all()), "denoised coefficients are not finite", f"{_WHERE}.denoise")
    head = _head(subject)
    y, t = _inputs(head)
    if head.blind:
        require(head.denoise(y).shape == y.shape, "it calls itself blind, and needs t", f"{_WHERE}.blind")
        return
    try:
        head.denoise(y)
    except MszooError:
        return
    except Exception as error:
        require(False, f"without t it raises {type(error).__name__}, which is no MszooError", f"{_WHERE}.denoise")
    require(False, "it is not blind, and works without t", f"{_WHERE}.blind")


def score_is_miyasawas(subject: Subject) -> None:
    """y + t score = denoised."""
    head = _head(subject).double()
    y, t = _inputs(head, torch.float64)
    implied = y + t[:, None, None, None] * head.score(y, t)
    require(close(implied, head.denoise(y, t), 1e-8), "y + t score is not what it denoises to", f"{_WHERE}.score")


def derivatives_are_those_of_its_energy(subject: Subject) -> None:
    """score = -dU/dy and time_score = -dU/dt, by finite differences; ``derivatives`` gives both."""
    head = _head(subject).double()
    if not isinstance(head, EnergyHead):
        return
    y, t = _inputs(head, torch.float64)
    along = torch.randn(y.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    h = 1e-5
    difference = (head.energy(y + h * along, t) - head.energy(y - h * along, t)) / (2 * h)
    slope = -(head.score(y, t) * along).flatten(1).sum(1)
    require(
        close(slope, difference.detach(), 1e-5), "its score is not minus the gradient of its energy", f"{_ENERGY}.score"
    )
    step = 1e-5 * t
    difference = (head.energy(y, t + step) - head.energy(y, t - step)) / (2 * step)
    require(
        close(-head.time_score(y, t) * t, (difference * t).detach(), 1e-5),
        "its time score is not minus the time derivative of its energy",
        f"{_ENERGY}.time_score",
    )
    score, time_score = head.derivatives(y, t)
    both = close(score, head.score(y, t), 1e-9) and close(time_score, head.time_score(y, t), 1e-9)
    require(both, "derivatives() disagrees with score() and time_score()", f"{_ENERGY}.derivatives")


def is_finite_without_noise(subject: Subject) -> None:
    """t = 0 is a legal input of an energy: energy, score and time score are finite there, and nothing is denoised."""
    head = _head(subject)
    if not isinstance(head, EnergyHead):
        return
    y, _ = _inputs(head)
    t = torch.zeros(len(y))
    for name in ("energy", "score", "time_score", "denoise"):
        found = getattr(head, name)(y, t)
        require(bool(found.isfinite().all()), f"{name} is not finite at t = 0", f"{_ENERGY}.energy")
    require(close(head.denoise(y, t), y, 1e-6), "at t = 0 it changes its input", f"{_WHERE}.denoise")


def sums_in_float32_or_wider(subject: Subject) -> None:
    """An energy is (B,), summed in float32 or wider whatever the input: it has thousands of terms."""
    head = _head(subject)
    if not isinstance(head, EnergyHead):
        return
    y, t = _inputs(head)
    energy = head.energy(y, t)
    require(tuple(energy.shape) == (len(y),), f"it is {tuple(energy.shape)}, not (B,)", f"{_ENERGY}.energy")
    with torch.autocast("cpu", torch.bfloat16):
        mixed = head.energy(y, t)
    require(mixed.dtype == torch.float32, f"under autocast it is {mixed.dtype}", f"{_ENERGY}.energy")


def map_sums_to_its_energy(subject: Subject) -> None:
    """``energy_map``, where a head defines it, is (B, H, W), and its sum is the energy."""
    head = _head(subject).double()
    if not isinstance(head, EnergyHead) or not head.has_map:
        return
    y, t = _inputs(head, torch.float64)
    shares, size = head.energy_map(y, t), (len(y), *y.shape[-2:])
    require(shares.shape == size, f"it is {tuple(shares.shape)}, not (B, H, W) = {size}", f"{_ENERGY}.energy_map")
    require(close(shares.sum((1, 2)), head.energy(y, t), 1e-9), "its sum is not the energy", f"{_ENERGY}.energy_map")


def works_where_gradients_are_off(subject: Subject) -> None:
    """Its results are the same under no_grad and inference_mode."""
    head = _head(subject)
    y, t = _inputs(head)
    names = ["denoise", "score"] + (["energy", "time_score"] if isinstance(head, EnergyHead) else [])
    for name in names:
        answer: Callable[..., Tensor] = getattr(head, name)
        expected = answer(y, t).detach()
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                try:
                    same = close(answer(y, t), expected, 1e-5)
                except Exception as error:
                    text = f"{name} fails under torch.{mode.__name__}: {type(error).__name__}: {error}"
                    raise ContractError(f"{text} (the contract: {_ENERGY})") from None
            require(same, f"{name} gives something else under torch.{mode.__name__}", _ENERGY)


def keeps_images_apart(subject: Subject) -> None:
    """An image's answer is the same alone and in a batch."""
    head = _head(subject).double()
    y, t = _inputs(head, torch.float64)
    together = head.denoise(y, t)
    alone = torch.cat([head.denoise(y[i : i + 1], t[i : i + 1]) for i in range(len(y))])
    require(close(alone, together, 1e-8), "an image alone is denoised differently than in a batch", _WHERE)


def follows_its_device(subject: Subject) -> None:
    """It works on the device it was moved to."""

    def run(device: str) -> Tensor:
        head = _head(subject)
        y, t = (v.to(device) for v in _inputs(head))
        return head.to(device).score(y, t)

    stays_on_device(run, _WHERE)


def is_normalized_as_it_says(subject: Subject) -> None:
    """``normalized``: at large noise its energy is that of the noise, d/2 log 2 pi t + |y|^2 / 2t, no constant."""
    head = _head(subject).double()
    if not isinstance(head, EnergyHead) or not head.normalized:
        return
    y, _ = _inputs(head, torch.float64)
    t = torch.full((len(y),), 1e8, dtype=torch.float64)
    y = y * 1e4
    d = y[0].numel()
    exact = d / 2 * torch.log(2 * math.pi * t) + y.flatten(1).square().sum(1) / (2 * t)
    off = ((head.energy(y, t) - exact) / d).abs().max().item()
    require(
        off < 1e-3,
        f"it declares normalized, and at t = 1e8 it is off by {off:.2g} nats per dimension",
        f"{_ENERGY}.normalized",
    )


def can_be_trained(subject: Subject) -> None:
    """A score matching loss gives every parameter a finite gradient (dual score matching for an energy)."""
    head = _head(subject).train()
    y, t = _inputs(head)
    objective = DualScoreMatching() if isinstance(head, EnergyHead) else ScoreMatching()
    loss, _ = objective.loss(head, 0.8 * y, y, t, None)
    loss.backward()
    for name, p in head.named_parameters():
        require(p.grad is not None, f"{name} gets no gradient", _WHERE)
        assert p.grad is not None
        require(bool(p.grad.isfinite().all()), f"the gradient of {name} is not finite", _WHERE)


def fits_alike_every_time(subject: Subject) -> None:
    """fit depends on its data alone, and changes buffers, not parameters."""
    x = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(6))
    one, other = subject.make_head(), subject.make_head()
    before = {k: v.clone() for k, v in one.named_parameters()}
    for head in (one, other):
        head.fit([(x[:4], None), (x[4:], None)])
    same = all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    require(same, "two fits to the same data differ", f"{_WHERE}.fit")
    kept = all(torch.equal(v, before[k]) for k, v in one.named_parameters())
    require(kept, "fit changes parameters; keep what it finds in buffers", f"{_WHERE}.fit")


def can_be_saved(subject: Subject) -> None:
    """Its state_dict holds all that its output depends on, what fit found too."""
    x = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(6))
    y, t = _inputs(_head(subject))
    fitted = subject.make_head().eval()
    fitted.fit([(x, None)])
    saved_and_loaded(subject, lambda s: s.make_head(), lambda head: head.eval().denoise(y, t).detach(), _WHERE)
    loaded = replace(subject, seed=1).make_head().eval()
    loaded.load_state_dict(copy.deepcopy(fitted.state_dict()))
    same = torch.equal(loaded.denoise(y, t), fitted.denoise(y, t))
    require(same, "its state_dict does not hold what fit found", f"{_WHERE}.fit")


def _head(subject: Subject) -> Head:
    """In eval mode, fitted, its parameters moved off any zeros they start from."""
    head = subject.make_head()
    head.fit([(torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(6)), None)])
    shake(head)
    return head.eval()


def _inputs(head: Head, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    unit = head.conditioner.unit
    side = max(unit, -(-16 // unit) * unit)
    y = torch.randn(3, head.conditioner.channels, side, side, generator=torch.Generator().manual_seed(2), dtype=dtype)
    return y, torch.tensor([0.01, 0.3, 2.0], dtype=dtype)


CHECKS: tuple[Check, ...] = (
    denoises,
    score_is_miyasawas,
    derivatives_are_those_of_its_energy,
    is_finite_without_noise,
    sums_in_float32_or_wider,
    map_sums_to_its_energy,
    works_where_gradients_are_off,
    keeps_images_apart,
    follows_its_device,
    is_normalized_as_it_says,
    can_be_trained,
    fits_alike_every_time,
    can_be_saved,
    same_on_two_processes,
)
