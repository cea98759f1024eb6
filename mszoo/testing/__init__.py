"""Does a component keep its contract? The checks that mszoo's own parts pass, for everybody's.

In a plugin's tests::

    import mszoo.testing

    @mszoo.testing.parametrize_with_checks(("basis", "mine"), ("head", "mine/energy", {"levels": 2}))
    def test_contract(check):
        check()

or, without pytest, ``mszoo.testing.check_basis("mine")``, which raises with every broken sentence of the contract. A
check that is known to fail is named with its reason: ``expected={"refuses_odd_sides": "pads them"}``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from mszoo.discovery import registry
from mszoo.errors import MszooError
from mszoo.testing import bases, conditioners, datasets, heads, importers, objectives, operators, samplers
from mszoo.testing.kit import Check, ContractError, Report, Subject, outcome, report

if TYPE_CHECKING:
    from mszoo.discovery import Plugin
    from mszoo.inference.operators import Operator

__all__ = [
    "CHECKS",
    "ContractError",
    "Report",
    "check_basis",
    "check_conditioner",
    "check_dataset",
    "check_head",
    "check_importer",
    "check_objective",
    "check_operator",
    "check_plugin",
    "check_sampler",
    "parametrize_with_checks",
]

CHECKS: Mapping[str, Sequence[Check]] = {
    "basis": bases.CHECKS,
    "conditioner": conditioners.CHECKS,
    "head": heads.CHECKS,
    "objective": objectives.CHECKS,
    "dataset": datasets.CHECKS,
    "sampler": samplers.CHECKS,
    "importer": importers.CHECKS,
}
"""The checks of each kind; their docstrings are the contract, sentence by sentence."""


def check_basis(name: str, *, expected: Mapping[str, str] | None = None, **options: Any) -> None:
    """Check a registered basis with these options. Raises :class:`ContractError` naming all that is broken.

    Args:
        name: of a registered basis.
        expected: checks that are known to fail, and why.
        options: of the component.

    Example:
        >>> check_basis("db2")
        >>> check_basis("db2", expected={"refuses_odd_sides": "pads them"})
        Traceback (most recent call last):
        ...
        mszoo.testing.kit.ContractError: basis 'db2' breaks its contract:
          refuses_odd_sides: passes, and was expected to fail: pads them
    """
    _check("basis", name, options, expected)


def check_conditioner(name: str, *, expected: Mapping[str, str] | None = None, **options: Any) -> None:
    """Check a registered conditioner, as :func:`check_basis` does.

    Args:
        name: of a registered conditioner.
        expected: checks that are known to fail, and why.
        options: of the component.

    Example:
        >>> [check.__name__ for check in CHECKS["conditioner"]][:2]
        ['returns_the_stated_shape', 'reads_t_as_it_says']
        >>> check_conditioner("unet", width=4, halvings=1)  # doctest: +SKIP
    """
    _check("conditioner", name, options, expected)


def check_head(name: str, *, expected: Mapping[str, str] | None = None, **options: Any) -> None:
    """Check a registered head, as :func:`check_basis` does, on a small network that fits it.

    Args:
        name: of a registered head.
        expected: checks that are known to fail, and why.
        options: of the component.

    Example:
        >>> [check.__name__ for check in CHECKS["head"]][:2]
        ['denoises', 'score_is_miyasawas']
        >>> check_head("anchored", levels=1)  # doctest: +SKIP
    """
    _check("head", name, options, expected)


def check_objective(name: str, *, expected: Mapping[str, str] | None = None, **options: Any) -> None:
    """Check a registered objective, as :func:`check_basis` does, on a small head that fits it.

    Args:
        name: of a registered objective.
        expected: checks that are known to fail, and why.
        options: of the component.

    Example:
        >>> [check.__name__ for check in CHECKS["objective"]][:2]
        ['corrupts_as_it_says', 'draws_for_each_sample_alone']
        >>> check_objective("denoising", weight_exponent=1.0)  # doctest: +SKIP
    """
    _check("objective", name, options, expected)


def check_dataset(name: str, *, expected: Mapping[str, str] | None = None, **options: Any) -> None:
    """Check a registered data set, as :func:`check_basis` does.

    Args:
        name: of a registered data set.
        expected: checks that are known to fail, and why.
        options: of the component.

    Example:
        >>> check_dataset("photographs", split="test")
        >>> check_dataset("photographs", split="test", expected={"has_labels": "all are one person"})
        Traceback (most recent call last):
        ...
        mszoo.testing.kit.ContractError: dataset 'photographs' breaks its contract:
          has_labels: passes, and was expected to fail: all are one person
    """
    _check("dataset", name, options, expected)


def check_sampler(name: str, *, expected: Mapping[str, str] | None = None, **options: Any) -> None:
    """Check a registered sampler, as :func:`check_basis` does, on Gaussians, whose denoisers are exact.

    Args:
        name: of a registered sampler.
        expected: checks that are known to fail, and why.
        options: of the component.

    Example:
        >>> [check.__name__ for check in CHECKS["sampler"]][:2]
        ['draws_the_density', 'draws_from_the_generators_alone']
        >>> check_sampler("heun", steps=40)  # doctest: +SKIP
    """
    _check("sampler", name, options, expected)


def check_importer(name: str, *, expected: Mapping[str, str] | None = None, **options: Any) -> None:
    """Check a registered importer, as :func:`check_basis` does, on the files that it writes as an example.

    Args:
        name: of a registered importer.
        expected: checks that are known to fail, and why.
        options: of the component.

    Example:
        >>> check_importer("paper_a")
        >>> check_importer("paper_a", basis="dbl2")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        mszoo.testing.kit.ContractError: importer 'paper_a' breaks its contract:
          gives_a_model: OptionsError: model: basis: unknown basis 'dbl2'; ...
    """
    _check("importer", name, options, expected)


def check_operator(operator: Operator, shape: tuple[int, int, int]) -> None:
    """Check a measurement of images (C, H, W), as ``model.solve`` takes it: shapes, linearity, adjoint, pseudo-inverse.

    Raises:
        ContractError: it names all that is broken.

    Example:
        >>> import torch
        >>> from mszoo.inference import Blur
        >>> check_operator(Blur.gaussian(1.5, (32, 32)), (1, 32, 32))
        >>> class Wrong(Blur):
        ...     def adjoint(self, m):
        ...         return 2 * super().adjoint(m)
        >>> check_operator(Wrong.gaussian(1.5, (32, 32)), (1, 32, 32))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        mszoo.testing.kit.ContractError: the operator Wrong breaks its contract:
          has_a_true_adjoint: ...
    """
    faults = {check.__name__: outcome(partial(check, operator, shape)) for check in operators.CHECKS}
    told = [f"{name}: {fault}" for name, fault in faults.items() if fault is not None]
    if told:
        name = type(operator).__name__
        raise ContractError(f"the operator {name} breaks its contract:\n  " + "\n  ".join(told))


def parametrize_with_checks(
    *components: tuple[str, str] | tuple[str, str, Mapping[str, Any]], expected: Mapping[str, str] | None = None
) -> Callable[[Any], Any]:
    """A pytest decorator: the test runs once for every check of every component, as ``check``, and calls it.

    Args:
        components: kind and name, and options if it needs them.
        expected: checks that are known to fail, by name, with the reason; they are strict expected failures.

    Example:
        >>> mark = parametrize_with_checks(("basis", "db2"), ("basis", "haar"))
        >>> [case.id for case in mark.args[1]][:2]
        ['basis-db2-has_the_stated_shapes', 'basis-db2-reconstructs']
    """
    import pytest

    cases = []
    for kind, name, *given in components:
        for i, subject in enumerate(Subject.of(kind, name, given[0] if given else None)):
            for check in CHECKS[kind]:
                reason = (expected or {}).get(check.__name__)
                marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason is not None else []
                label = f"{kind}-{name}-{check.__name__}" + (f"-{i}" if i else "")
                cases.append(pytest.param(partial(_run, check, subject), id=label, marks=marks))
    return pytest.mark.parametrize("check", cases)


def check_plugin(plugin: Plugin) -> list[Report]:
    """Import every component of an installed plugin and run its checks.

    Example:
        >>> from mszoo.discovery import Plugin
        >>> mine = Plugin("mine", "mszoo-mine", "0.1", components=(("basis", "db2"),))
        >>> [(found.kind, found.name, found.failures) for found in check_plugin(mine)]
        [('basis', 'db2', ())]
    """
    reports = []
    for kind, name in plugin.components:
        spec, notes = registry().get(kind, name), ()
        try:
            _, caught = spec.load_watched()
            notes = tuple(caught.notes())
            for subject in Subject.of(kind, name):
                found = report(subject, CHECKS[kind])
                reports.append(Report(kind, name, found.passed, found.failures, notes))
        except MszooError as error:
            reports.append(Report(kind, name, 0, (str(error),), notes))
    return reports


def _check(kind: str, name: str, options: Mapping[str, Any], expected: Mapping[str, str] | None) -> None:
    for subject in Subject.of(kind, name, options or None):
        found = report(subject, CHECKS[kind], expected)
        if found.failures:
            raise ContractError(f"{kind} {name!r} breaks its contract:\n  " + "\n  ".join(found.failures))


def _run(check: Check, subject: Subject) -> None:
    fault = outcome(partial(check, subject))
    if fault is not None:
        raise ContractError(f"{subject.kind} {subject.name!r}: {check.__name__}: {fault}")
