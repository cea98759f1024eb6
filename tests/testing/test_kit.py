"""The kit finds what is broken: for every check there is a component that fails it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import mszoo.testing
from mszoo.discovery import registry
from mszoo.testing import CHECKS
from mszoo.testing.kit import Subject, outcome
from tests.testing import broken

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def _broken_plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Known here, and installed for the processes that a check starts."""
    known = registry()
    before = known.copy()
    for spec in broken.mszoo_components():
        known.register(spec)
    folder = tmp_path_factory.mktemp("installed")
    info = folder / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mszoo]\nbroken = tests.testing.broken\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MSZOO_PLUGINS", "broken")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(ROOT)]))
        yield
    known._specs = before._specs


def test_every_check_has_its_broken_component() -> None:
    assert set(broken.BROKEN) == {(kind, check.__name__) for kind, checks in CHECKS.items() for check in checks}


@pytest.mark.parametrize(("kind", "name"), list(broken.BROKEN), ids=map("-".join, broken.BROKEN))
def test_a_broken_component_fails_its_check(kind: str, name: str) -> None:
    check = next(c for c in CHECKS[kind] if c.__name__ == name)
    for subject in Subject.of(kind, f"broken/{broken.BROKEN[kind, name].__name__}"):
        fault = outcome(partial(check, subject))
        assert fault is not None
        assert "(the contract: " in fault, fault


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(mszoo.testing.ContractError) as caught:
        mszoo.testing.check_basis("broken/Affine")
    told = str(caught.value)
    assert "basis 'broken/Affine' breaks its contract" in told
    assert "is_linear: it is not linear (the contract: mszoo.bases.Basis)" in told
    assert "is_orthonormal" in told
    mszoo.testing.check_dataset("photographs")
