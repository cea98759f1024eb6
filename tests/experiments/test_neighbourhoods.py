"""Energies of several receptive fields: of equal sizes, and bits that add up."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from mszoo.cli import app
from mszoo.experiments.neighbourhoods import FIELDS, make, measure, neighbourhood


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_models_differ_in_their_neighbourhoods_alone(levels: int) -> None:
    models = {field: make(1, levels, field, 60_000) for field in FIELDS}
    for field, model in models.items():
        assert model.levels == levels
        assert all(head.conditioner.receptive_field == field for head in model.scales)
        assert sum(p.numel() for p in model.parameters()) == pytest.approx(60_000, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("levels", [0, 1])
def test_bits_of_the_scales_add_up_and_fall_with_training(levels: int) -> None:
    torch.manual_seed(0)
    contrast = torch.where(torch.rand(64, 1, 1, 1) < 0.5, 0.02, 0.2)  # which the coarser image shows
    x = 0.5 + contrast * torch.randn(64, 1, 8, 8)
    before, after = (
        measure(*neighbourhood(make(1, levels, 5, 4000), x, None, steps)[:1], x, 5, steps, 0.0) for steps in (1, 80)
    )
    for whole, *scales in (before, after):
        assert whole.scale is None
        assert [row.scale for row in scales] == ([0, 1] if levels else [])
        if levels:
            assert whole.bits == pytest.approx(0.75 * scales[0].bits + 0.25 * scales[1].bits, abs=1e-4)
        assert math.isfinite(whole.bits)
    if levels:  # a flat one has to find the contrast by itself, which takes longer
        assert after[0].bits < before[0].bits - 0.05


@pytest.mark.slow
def test_seconds_are_spent_and_no_more() -> None:
    x = torch.rand(16, 1, 8, 8)
    _, few, short = neighbourhood(make(1, 0, 5, 4000), x, 0.5, 10**9, batch=4)
    _, many, longer = neighbourhood(make(1, 0, 5, 4000), x, 2.0, 10**9, batch=4)
    assert few < many
    assert 0.5 <= short < 2 <= longer < 20


def test_the_command_writes_a_table_and_a_plot(tmp_path: Path) -> None:
    for i in range(12):
        Image.effect_noise((8, 8), 20 + i).save(tmp_path / f"{i}.png")
    out = tmp_path / "out"
    given = ["experiment", "neighbourhoods", "--data", str(tmp_path / "*.png"), "--test", str(tmp_path / "*.png")]
    result = CliRunner().invoke(
        app, [*given, "--field", "5", "--field", "9", "--steps", "2", "--parameters", "3000", "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    lines = (out / "neighbourhoods.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 1 + 2 * 3
    assert (out / "neighbourhoods.png").stat().st_size > 1000
    Image.effect_noise((10, 8), 20).save(tmp_path / "other.png")
    result = CliRunner().invoke(app, [*given, "--steps", "2", "--out", str(tmp_path / "other")])
    assert result.exit_code == 1


def test_what_is_measured_is_kept_when_it_is_stopped(tmp_path: Path) -> None:
    for i in range(4):
        Image.effect_noise((8, 8), 20 + i).save(tmp_path / f"{i}.png")
    images, out = str(tmp_path / "*.png"), tmp_path / "out"
    given = ["--data", images, "--test", images, "--out", str(out), "--parameters", "3000", "--levels", "0"]
    fields = ["--field", "5", *(word for field in range(7, 23, 2) for word in ("--field", str(field)))]
    command = [sys.executable, "-m", "mszoo", "experiment", "neighbourhoods", *given, *fields, "--steps", "60"]

    def heed() -> None:  # what a shell starts in the background ignores SIGINT, and so would its children
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipes, text=True, preexec_fn=heed) as process:
        assert process.stdout is not None
        assert "receptive field 5" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert process.returncode
    header, first, *_ = (out / "neighbourhoods.csv").read_text().splitlines()
    assert first.split(",")[:2] == ["0", "5"], header
