"""The contract of an objective: random numbers from the draw alone, and a loss that can be shared over processes."""

from __future__ import annotations

import torch
from torch import Tensor

from mszoo.discovery import registry
from mszoo.errors import IncompatiblePartsError
from mszoo.heads import Head
from mszoo.objectives import Objective
from mszoo.randomness import Draw
from mszoo.testing.kit import Check, Subject, close, require
from mszoo.testing.parallel import same_on_two_processes

__all__ = ["CHECKS"]

_WHERE = "mszoo.objectives.Objective"


def corrupts_as_it_says(subject: Subject) -> None:
    """corrupt returns y of the shape of x and a positive t (B,), for each of its versions, and noise of variance t."""
    objective: Objective = subject.make()
    x, n = torch.rand(256, 1, 16, 16), objective.versions
    y, t = objective.corrupt(x, Draw(0, 0, list(range(256))))
    shape, count = (256, n, 16, 16), (256,) if n == 1 else (256, n)
    require(tuple(y.shape) == shape, f"y is {tuple(y.shape)}, not {shape}, x is {tuple(x.shape)}", f"{_WHERE}.corrupt")
    require(tuple(t.shape) == count, f"t is {tuple(t.shape)}, not {count}", f"{_WHERE}.corrupt")
    require(bool((t > 0).all()), "t is not positive", f"{_WHERE}.corrupt")
    variance = t.reshape(256, n)
    ratio = float(((y - x).double().square().flatten(2).mean(2) / variance)[variance > 1e-6].mean())
    require(abs(ratio - 1) < 0.05, f"the noise has {ratio:.3f} times the variance t", f"{_WHERE}.corrupt")


def draws_for_each_sample_alone(subject: Subject) -> None:
    """Row i depends on (seed, step, index of sample i) alone: a part of a batch draws what the whole would."""
    objective, x = subject.make(), torch.rand(6, 1, 8, 8)
    indices = [3, 1, 4, 15, 9, 2]
    whole_x = objective.augment(x, Draw(0, 7, indices))
    whole = objective.corrupt(whole_x, Draw(0, 7, indices))
    part_x = objective.augment(x[2:5], Draw(0, 7, indices[2:5]))
    part = objective.corrupt(part_x, Draw(0, 7, indices[2:5]))
    for one, other in ((whole_x, part_x), *zip(whole, part, strict=True)):
        require(
            torch.equal(one[2:5], other),
            "a part of a batch is corrupted differently than in the whole: draw from `draw` only",
            f"{_WHERE}.corrupt",
        )
    another = objective.corrupt(whole_x, Draw(0, 8, indices))[0]
    require(not torch.equal(another, whole[0]), "another step has the same noise", f"{_WHERE}.corrupt")


def augments_alike(subject: Subject) -> None:
    """augment keeps the shape, and depends on its input and the draw alone."""
    objective, x = subject.make(), torch.rand(4, 1, 8, 8)
    one, other = (objective.augment(x, Draw(0, 0, [0, 1, 2, 3])) for _ in range(2))
    require(one.shape == x.shape, f"{tuple(x.shape)} becomes {tuple(one.shape)}", f"{_WHERE}.augment")
    require(torch.equal(one, other), "two calls differ", f"{_WHERE}.augment")


def has_a_loss_that_trains(subject: Subject) -> None:
    """The loss is a finite scalar whose gradient reaches every parameter of the head; the logs are scalars."""
    objective, head = subject.make(), _head(subject)
    loss, logs = _loss(objective, head, torch.rand(4, 1, 16, 16), [0, 1, 2, 3])
    require(loss.ndim == 0, f"the loss is {tuple(loss.shape)}, not a scalar", f"{_WHERE}.loss")
    require(bool(loss.isfinite()), "the loss is not finite", f"{_WHERE}.loss")
    for name, value in logs.items():
        require(value.ndim == 0, f"log {name!r} is {tuple(value.shape)}, not a scalar", f"{_WHERE}.loss")
    loss.backward()
    idle = [name for name, p in head.named_parameters() if p.grad is None]
    require(not idle, f"no gradient reaches {', '.join(idle)}", f"{_WHERE}.loss")


def is_a_mean_over_images(subject: Subject) -> None:
    """The loss of a batch is the mean of those of its halves: else processes cannot share it."""
    objective, head = subject.make(), _head(subject).double()
    x = torch.rand(4, 1, 16, 16, dtype=torch.float64)
    whole, _ = _loss(objective, head, x, [0, 1, 2, 3])
    halves = torch.stack([_loss(objective, head, x[rows], rows)[0] for rows in ([0, 1], [2, 3])]).mean()
    require(
        close(whole, halves, 1e-6),
        f"the loss of a batch is {whole.item():.6g}, the mean of its halves' {halves.item():.6g}",
        f"{_WHERE}.loss",
    )


def has_nothing_random_in_its_loss(subject: Subject) -> None:
    """loss is a function of its arguments: it is compiled, and all noise is drawn in corrupt."""
    objective, head = subject.make(), _head(subject)
    x = torch.rand(2, 1, 16, 16)
    y, t = objective.corrupt(x, Draw(0, 0, [0, 1]))
    one, other = (objective.loss(head, x, y, t, None)[0] for _ in range(2))
    require(torch.equal(one, other), "two calls of loss differ", f"{_WHERE}.loss")


def has_no_parameters(subject: Subject) -> None:
    """An objective has no parameters."""
    names = [name for name, _ in subject.make().named_parameters()]
    require(not names, f"it has parameters: {', '.join(names)}", _WHERE)


def refuses_what_it_cannot_train(subject: Subject) -> None:
    """``needs_energy``: a head without an energy is refused with an IncompatiblePartsError."""
    objective = subject.make()
    if not objective.needs_energy:
        return
    network = registry().create("conditioner", "bias_free_cnn", 1, receptive_field=5, depth=3, width=4)
    head = registry().create("head", "denoiser", network)
    try:
        _loss(objective, head, torch.rand(2, 1, 8, 8), [0, 1])
    except IncompatiblePartsError:
        return
    except Exception as error:
        require(False, f"for a denoiser it raises {type(error).__name__}: {error}", f"{_WHERE}.needs_energy")
    require(False, "it declares needs_energy, and takes a denoiser", f"{_WHERE}.needs_energy")


def _loss(objective: Objective, head: Head, x: Tensor, rows: list[int]) -> tuple[Tensor, dict[str, Tensor]]:
    draw = Draw(0, 0, rows)
    x = objective.augment(x, draw)
    return objective.loss(head, x, *objective.corrupt(x, draw), None)


def _head(subject: Subject) -> Head:
    head = subject.make_head()
    head.fit([(torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(6)), None)])
    return head


CHECKS: tuple[Check, ...] = (
    corrupts_as_it_says,
    draws_for_each_sample_alone,
    augments_alike,
    has_a_loss_that_trains,
    is_a_mean_over_images,
    has_nothing_random_in_its_loss,
    has_no_parameters,
    refuses_what_it_cannot_train,
    same_on_two_processes,
)
