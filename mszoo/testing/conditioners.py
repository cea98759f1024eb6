"""The contract of a conditioner: what it returns, and that every declaration is true."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from mszoo.conditioners import Conditioner
from mszoo.errors import MszooError
from mszoo.testing.kit import Check, Subject, close, require, saved_and_loaded, shake, stays_on_device
from mszoo.testing.parallel import same_on_two_processes

__all__ = ["CHECKS"]

_WHERE = "mszoo.conditioners.Conditioner"


def returns_the_stated_shape(subject: Subject) -> None:
    """The shape and dtype of y, or (B, features); with a condition too, unless it refuses one."""
    for channels, cond_channels in ((1, 0), (3, 0), (3, 1)):
        try:
            network = subject.make(channels, cond_channels)
        except MszooError:
            if cond_channels:
                continue
            raise
        y, t, cond = _inputs(network)
        output = network.eval()(y, t, cond)
        expected = tuple(y.shape) if network.features is None else (len(y), network.features)
        require(tuple(output.shape) == expected, f"it gives {tuple(output.shape)}, not {expected}", f"{_WHERE}.forward")
        require(output.dtype == y.dtype, f"{y.dtype} becomes {output.dtype}", f"{_WHERE}.forward")
        require(bool(output.isfinite().all()), "its output is not finite", f"{_WHERE}.forward")
        given = (network.channels, network.cond_channels)
        require(given == (channels, cond_channels), f"it says it has {given} channels", _WHERE)


def reads_t_as_it_says(subject: Subject) -> None:
    """``takes_t``: t is needed, and 0 is a legal value; without: the output is the same for every t and for None."""
    network = _shaken(subject)
    y, _, cond = _inputs(network)
    if network.takes_t:
        output = network(y, torch.zeros(len(y)), cond)
        require(bool(output.isfinite().all()), "its output is not finite at t = 0", f"{_WHERE}.takes_t")
        try:
            network(y, None, cond)
        except MszooError:
            return
        except Exception as error:
            kind = type(error).__name__
            require(False, f"without t it raises {kind}, which is no MszooError", f"{_WHERE}.takes_t")
        require(False, "it declares takes_t, and works without t", f"{_WHERE}.takes_t")
    with_t, without = network(y, torch.full((len(y),), 0.3), cond), network(y, None, cond)
    require(torch.equal(with_t, without), "it declares itself blind, and its output depends on t", f"{_WHERE}.takes_t")


def keeps_images_apart_as_it_says(subject: Subject) -> None:
    """``batch_independent``: an image's output never depends on its neighbours in the batch, also in training."""
    network = _shaken(subject).double()
    if not network.batch_independent:
        return
    y, t, cond = _inputs(network, torch.float64)
    for training in (False, True):
        network.train(training)
        together = network(y, t, cond)
        for i in range(len(y)):
            rows = slice(i, i + 1)
            alone = network(y[rows], t[rows] if t is not None else None, cond[rows] if cond is not None else None)
            mode = "train" if training else "eval"
            require(
                close(alone[0], together[i], 1e-8),
                f"it declares batch_independent, and in {mode} mode an image's output depends on its neighbours",
                f"{_WHERE}.batch_independent",
            )


def is_as_smooth_as_it_says(subject: Subject) -> None:
    """``smooth``: its derivative has no jumps, and can be differentiated once more."""
    network = _shaken(subject).double().eval()
    if not network.smooth:
        return
    y, t, cond = (v[:1] if v is not None else None for v in _inputs(network, torch.float64))
    assert y is not None
    generator = torch.Generator().manual_seed(3)
    along = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    weights = torch.randn(network(y, t, cond).shape, generator=generator, dtype=torch.float64)

    def slope(s: float) -> float:
        at = torch.tensor(s, dtype=torch.float64, requires_grad=True)
        (found,) = torch.autograd.grad((weights * network(y + at * along, t, cond)).sum(), at)
        return found.item()

    points = torch.linspace(-2, 2, 33).tolist()
    slopes = [slope(s) for s in points]
    jumps = [abs(b - a) for a, b in pairwise(slopes)]
    widest = max(range(len(jumps)), key=jumps.__getitem__)
    first = jumps[widest]
    low, high, at_low, at_high = points[widest], points[widest + 1], slopes[widest], slopes[widest + 1]
    for _ in range(24):  # follow the jump: it shrinks with the interval, or is one
        middle = (low + high) / 2
        at_middle = slope(middle)
        if abs(at_middle - at_low) > abs(at_high - at_middle):
            high, at_high = middle, at_middle
        else:
            low, at_low = middle, at_middle
    left = abs(at_high - at_low)
    require(
        left <= 1e-3 * first + 1e-9,
        f"it declares smooth, and its derivative jumps by {left:.2g} (of {first:.2g}) at one point",
        f"{_WHERE}.smooth",
    )

    def power_of_gradient(y: Tensor) -> Tensor:
        return torch.func.grad(lambda y: (weights * network(y, t, cond)).sum())(y).square().sum()

    second = torch.func.grad(power_of_gradient)(y)
    require(bool(second.isfinite().all()), "its second derivatives are not finite", f"{_WHERE}.smooth")


def sees_as_far_as_it_says(subject: Subject) -> None:
    """``receptive_field``: in eval mode no output depends on y outside of that square (None: no claim)."""
    network = _shaken(subject).double().eval()
    field = network.receptive_field
    if field is None or network.features is not None:
        return
    side = max(network.unit, -(-(2 * field + 5) // network.unit) * network.unit)
    y, t, cond = _inputs(network, torch.float64, side)
    y = y[:1].requires_grad_()
    middle = side // 2
    output = network(y, t[:1] if t is not None else None, cond[:1] if cond is not None else None)
    (gradient,) = torch.autograd.grad(output[0, :, middle, middle].sum(), y)
    seen = gradient[0].abs().amax(0) > 0
    rows, columns = (torch.nonzero(seen.any(dim)).flatten() for dim in (1, 0))
    reach = max(int((where - middle).abs().max()) for where in (rows, columns)) if len(rows) else 0
    require(
        2 * reach + 1 <= field,
        f"it declares a receptive field of {field}, and an output depends on {2 * reach + 1}",
        f"{_WHERE}.receptive_field",
    )


def has_right_gradients(subject: Subject) -> None:
    """The derivative in y agrees with finite differences."""
    network = _shaken(subject).double().eval()
    y, t, cond = _inputs(network, torch.float64, 8)
    generator = torch.Generator().manual_seed(5)
    along = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    weights = torch.randn(network(y, t, cond).shape, generator=generator, dtype=torch.float64)

    def value(y: Tensor) -> Tensor:
        return (weights * network(y, t, cond)).sum()

    slope = float((torch.func.grad(value)(y) * along).sum().detach())
    h = 1e-6
    difference = float((value(y + h * along) - value(y - h * along)).detach() / (2 * h))
    right = abs(slope - difference) <= 1e-4 * (1 + abs(difference))
    require(right, f"its gradient is {slope:.6g} where finite differences give {difference:.6g}", _WHERE)


def follows_its_device(subject: Subject) -> None:
    """It works on the device it was moved to."""

    def run(device: str) -> Tensor:
        network = subject.make(1, 0)
        y, t, cond = (v.to(device) if v is not None else None for v in _inputs(network))
        assert y is not None
        return network.to(device)(y, t, cond)

    stays_on_device(run, _WHERE)


def is_deterministic(subject: Subject) -> None:
    """The same input gives the same output, in train mode too (noise is the objective's business)."""
    network = _shaken(subject)
    y, t, cond = _inputs(network)
    for training in (False, True):
        network.train(training)
        mode = "train" if training else "eval"
        same = torch.equal(network(y, t, cond), network(y, t, cond))
        require(same, f"two calls give different outputs in {mode} mode", _WHERE)


def leaves_its_input_alone(subject: Subject) -> None:
    """Nothing is changed in place."""
    network = _shaken(subject)
    given = _inputs(network)
    copies = [v.clone() if v is not None else None for v in given]
    network(*given)
    same = all(torch.equal(a, b) for a, b in zip(given, copies, strict=True) if a is not None and b is not None)
    require(same, "it changes its input", f"{_WHERE}.forward")


def can_be_saved(subject: Subject) -> None:
    """Its state_dict holds all that its output depends on."""
    y, t, cond = _inputs(subject.make(1, 0))
    saved_and_loaded(subject, lambda s: s.make(1, 0).eval(), lambda n: n(y, t, cond).detach(), _WHERE)


def _inputs(
    network: Conditioner, dtype: torch.dtype = torch.float32, side: int = 16
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """y, t and cond for a batch of 3; the sides are multiples of the network's unit."""
    side = max(network.unit, -(-side // network.unit) * network.unit)
    generator = torch.Generator().manual_seed(2)
    y = torch.randn(3, network.channels, side, side, generator=generator, dtype=dtype)
    cond = torch.rand(3, network.cond_channels, side, side, generator=generator, dtype=dtype)
    t = torch.tensor([0.01, 0.3, 2.0], dtype=dtype) if network.takes_t else None
    return y, t, cond if network.cond_channels else None


def _shaken(subject: Subject) -> Conditioner:
    network = subject.make(1, 0)
    shake(network)
    return network


CHECKS: tuple[Check, ...] = (
    returns_the_stated_shape,
    reads_t_as_it_says,
    keeps_images_apart_as_it_says,
    is_as_smooth_as_it_says,
    sees_as_far_as_it_says,
    has_right_gradients,
    follows_its_device,
    is_deterministic,
    leaves_its_input_alone,
    can_be_saved,
    same_on_two_processes,
)
