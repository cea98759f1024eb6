"""A precision that the processor only imitates is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mszoo.training.precision import slowdown
from tests.factories import small_run


def test_the_same_precision_is_as_fast() -> None:
    assert 0.1 < slowdown(torch.float32) < 10


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_is_told_where_it_is_so(precision: str, tmp_path: Path) -> None:
    measured = slowdown(torch.bfloat16)
    if 1.5 < measured < 6:
        pytest.skip(f"bf16 is neither fast nor slow on this processor: {measured:.1f} times as long")
    words = "train", "smoke-denoiser", *small_run(f"training.precision={precision}"), "--out", str(tmp_path / "run")
    done = subprocess.run([sys.executable, "-m", "mszoo", *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stderr.split())
    expected = precision == "bf16" and measured > 3
    assert ("no instructions for bf16" in told and "training.precision=fp32" in told) == expected
