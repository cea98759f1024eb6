"""Checks of a contract: how they are written, run and reported."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mszoo.conditioners import Conditioner
from mszoo.discovery import registry

__all__ = [
    "Check",
    "ContractError",
    "Report",
    "Subject",
    "close",
    "outcome",
    "report",
    "require",
    "saved_and_loaded",
    "shake",
    "stays_on_device",
]

# Networks that heads and objectives are tried with, for whoever names no other.
_BLIND = {"name": "bias_free_cnn", "receptive_field": 5, "depth": 3, "width": 4, "norm": "none"}
_ENERGY = {**_BLIND, "activation": "gelu", "noise_embedding": True}


class ContractError(AssertionError):
    """A component breaks its contract; the message says which part of it, and where it is stated."""


@dataclass(frozen=True)
class Subject:
    """A component under test, built anew by every check.

    Attributes:
        kind, name: of the component.
        options: its own.
        conditioner: for a head or an objective: the network (name and options) it is tried with.
        head: for a conditioner or an objective: the head it is tried with.
        seed: of its weights.
    """

    kind: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    conditioner: Mapping[str, Any] | None = None
    head: Mapping[str, Any] | None = None
    seed: int = 0

    def make(self, *supplied: Any) -> Any:
        """The component, with the same weights every time."""
        return self._create(self.kind, self.name, self.options, *supplied)

    def network(self, channels: int = 1, cond_channels: int = 0) -> Conditioner:
        """The network under the head."""
        assert self.conditioner is not None
        options = dict(self.conditioner)
        return self._create("conditioner", options.pop("name"), options, channels, cond_channels)

    def make_head(self, channels: int = 1, cond_channels: int = 0) -> Any:
        """The head under test, or the one an objective is tried with, on its network."""
        network = self.network(channels, cond_channels)
        if self.kind == "head":
            return self.make(network)
        assert self.head is not None
        options = dict(self.head)
        return self._create("head", options.pop("name"), options, network)

    def _create(self, kind: str, name: str, options: Mapping[str, Any], *supplied: Any) -> Any:
        torch.manual_seed(self.seed)
        return registry().create(kind, name, *supplied, **options)

    def text(self) -> str:
        """As JSON, for another process."""
        values = (self.kind, self.name, self.options, self.conditioner, self.head)
        return json.dumps([v if isinstance(v, (str, type(None))) else dict(v) for v in values])

    @classmethod
    def of(cls, kind: str, name: str, options: Mapping[str, Any] | None = None) -> Iterator[Subject]:
        """The subjects to check a component with: as given, or as the class's ``examples`` say, or without options.

        A class may have, as attributes, ``examples`` (a sequence of options), and for a head ``example_conditioner``,
        for a conditioner of features ``example_head``, both with their ``name`` among their options.
        """
        component = registry().get(kind, name).load()
        chosen = [options] if options is not None else list(getattr(component, "examples", [{}]))
        energy = bool(getattr(component, "needs_energy", False)) or "takes_t" in getattr(component, "needs", ())
        conditioner = getattr(component, "example_conditioner", _ENERGY if energy else _BLIND)
        head = getattr(component, "example_head", {"name": "anchored", "levels": 0} if energy else {"name": "denoiser"})
        for given in chosen:
            yield cls(kind, name, dict(given), conditioner, head)


Check = Callable[[Subject], None]


@dataclass(frozen=True)
class Report:
    """What the checks of one component found.

    Attributes:
        kind, name: of the component.
        passed: how many checks passed.
        failures: a line for each check that did not.
        notes: what else happened, such as a setting that its import changed.

    Example:
        >>> from mszoo.testing import CHECKS
        >>> found = report(next(Subject.of("basis", "db2")), CHECKS["basis"])
        >>> isinstance(found, Report), found.passed == len(CHECKS["basis"]), found.failures
        (True, True, ())
    """

    kind: str
    name: str
    passed: int
    failures: tuple[str, ...]
    notes: tuple[str, ...] = ()


def report(subject: Subject, checks: Sequence[Check], expected: Mapping[str, str] | None = None) -> Report:
    """Run all checks.

    Args:
        subject: the component.
        checks: of its kind.
        expected: checks that are known to fail, by name, with the reason. One that passes all the same is a failure.
    """
    expected, passed = dict(expected or {}), 0
    known = {check.__name__ for check in checks}
    failures = [f"{name}: no such check of a {subject.kind}" for name in expected if name not in known]
    for check in checks:
        name = check.__name__
        fault = outcome(partial(check, subject))
        if name in expected:
            if fault is None:
                failures.append(f"{name}: passes, and was expected to fail: {expected[name]}")
        elif fault is None:
            passed += 1
        else:
            failures.append(f"{name}: {fault}")
    return Report(subject.kind, subject.name, passed, tuple(failures))


def outcome(run: Callable[[], None]) -> str | None:
    """Why a check fails; None: it passes. Random numbers start alike, and the caller's go on as before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            run()
        except ContractError as error:
            return str(error)
        except (Exception, SystemExit) as error:
            return f"{type(error).__name__}: {error}"
    return None


def require(condition: bool, message: str, where: str) -> None:
    """Raise :class:`ContractError` with the message and where the contract is stated, unless the condition holds.

    Args:
        condition: what must hold.
        message: what is broken if it does not.
        where: the module or class whose docstring states the contract.
    """
    if not condition:
        raise ContractError(f"{message} (the contract: {where})")


def close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    """Whether |a - b| is at most ``tolerance`` times the larger of 1 and the largest |b|; false for nan.

    Args:
        a, b: of one shape.
        tolerance: relative and absolute.
    """
    if a.shape != b.shape:
        return False
    scale = max(1.0, float(b.detach().abs().max())) if b.numel() else 1.0
    return bool(((a - b).detach().abs() <= tolerance * scale).all())


def stays_on_device(run: Callable[[str], Tensor], where: str) -> None:
    """Require that ``run(device)`` returns a tensor on that device: the first GPU, or without one the meta device.

    The meta device has shapes and no numbers, but refuses to mix its tensors with the CPU's as a GPU does.
    """
    device = "cuda" if torch.cuda.is_available() else "meta"
    try:
        found = run(device).device.type
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else ""
        raise ContractError(
            f"it does not work on {device}: {type(error).__name__}: {text} (the contract: {where})"
        ) from None
    require(found == device, f"on {device} its output is on {found}", where)


def shake(module: nn.Module, amount: float = 0.05) -> nn.Module:
    """Move every parameter a little: a part that starts as zero must not hide what it does."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(amount * torch.randn(p.shape, generator=generator).to(p))
    return module


def saved_and_loaded(
    subject: Subject, make: Callable[[Subject], Any], output: Callable[[Any], Tensor], where: str
) -> None:
    """The state of one component, loaded into another of other weights, gives the same output.

    Args:
        subject: the component.
        make: builds it with fresh weights.
        output: what it computes.
        where: the module or class whose docstring states the contract.
    """
    one, other = shake(make(subject)), make(replace(subject, seed=1))
    other.load_state_dict({k: v.clone() for k, v in one.state_dict().items()})
    require(
        torch.equal(output(one), output(other)), "its state_dict does not hold all that its output depends on", where
    )
