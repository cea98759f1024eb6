"""Each write fails at each of its system calls: what stood before stands, and no half file has a final name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.sweep import KINDS, OPERATIONS, Sweep

QUICK = ("ENOSPC", "short", "kill")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    try:
        made = Sweep(tmp_path_factory.mktemp("faults").resolve())
    except RuntimeError as error:
        pytest.skip(str(error))
    yield made
    made.close()


@pytest.mark.parametrize("kind", [*QUICK, *(pytest.param(k, marks=pytest.mark.slow) for k in KINDS if k not in QUICK)])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_whatever_call_fails_files_are_whole(sweep: Sweep, operation: str, kind: str) -> None:
    tries = sweep(operation, kind)
    writes_itself = operation != "the cache of compiled code"  # there the compiler writes
    assert tries or (kind == "short" and not writes_itself), "no call failed"
    for one in tries:
        assert not one.torn, one
        assert not one.fault, one
        assert one.told, one
        assert not one.error or kind != "short", f"what is written in two turns is no fault: {one}"
        if kind != "kill" and "unlink" not in one.call:
            assert not one.left, one


def test_the_sweep_finds_a_careless_write(sweep: Sweep) -> None:
    found = {kind: sweep("carelessly", kind) for kind in KINDS}
    assert all(any(one.torn for one in tries) for kind, tries in found.items() if kind != "short"), found
    assert any(one.torn and not one.error for one in found["short"]), found["short"]
