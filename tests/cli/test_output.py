"""Nothing that is printed, or cannot be, ends a command: in processes of their own, with streams that people have."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mszoo.evaluation import read_results
from tests.cli.conftest import save_image
from tests.factories import denoiser, gaussian

MSZOO = [sys.executable, "-m", "mszoo"]
NAMES = [
    "日本.png",  # in no Latin encoding
    "a\nb.png",
    "esc\x1b[2J.png",
    "\u202egnp.png",  # written from right to left
    "[bold]x[0].png",
    "$x$_^.png",  # a formula to matplotlib
    "caf\udce9.png",  # a byte that is no UTF-8
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in NAMES:
        os.replace(save_image(folder / "plain.png", 8, 8), folder / name)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tmp_path_factory.mktemp("model") / "gaussian"
    gaussian().save_pretrained(model)
    return model


def run(*words: object, encoding: str = "utf-8", shell: str = '"$@"') -> subprocess.CompletedProcess[bytes]:
    """A command in a shell, which says where its streams go."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = ["bash", "-c", shell, "bash", *MSZOO, *map(str, words)]
    done = subprocess.run(command, capture_output=True, timeout=300, env=environment)
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    return done


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_names_that_no_terminal_can_show(folder: Path, model: Path, tmp_path: Path, encoding: str) -> None:
    done = run("log-prob", folder, "--model", model, "--out", tmp_path, encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    done.stdout.decode(encoding)
    text = (tmp_path / "log-prob.csv").read_text(encoding="utf-8")
    found = {Path(row["image"]).name for row in csv.DictReader(text.splitlines(keepends=True))}
    assert found == {name.replace("\udce9", "\\udce9") for name in NAMES}
    assert (tmp_path / "most-and-least.png").stat().st_size > 1000


@pytest.mark.parametrize("shell", ['"$@" >&- 2>&-', '"$@" >/dev/full', '"$@" | true', '"$@" 2>/dev/full'])
def test_nobody_reads(folder: Path, model: Path, tmp_path: Path, shell: str) -> None:
    done = run(
        *("evaluate", model, "--data", folder, "--sigma", "0.1", "--sigma", "0.4", "--out", tmp_path),
        shell=f"set -o pipefail; {shell}",
    )
    assert done.returncode == 0, done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"psnr.csv", "psnr-noise.png"}


@pytest.mark.parametrize("name", ["a\nb", "esc\x1b[2J", "caf\udce9", "$x_", "_hidden"])
def test_results_of_any_name_are_read_back(mszoo_command, tmp_path: Path, name: str) -> None:
    model, data, out = tmp_path / "model", tmp_path / "data" / name, tmp_path / "out"
    denoiser().save_pretrained(model)
    save_image(data / "a.png", 8, 8)
    other = tmp_path / "models" / name.replace("\udce9", "_")  # safetensors opens no folder that is no UTF-8
    denoiser().save_pretrained(other)
    code, printed, complaints = mszoo_command(
        *("evaluate", model, other, "--data", data, "--sigma", "0.1", "--out", out, "--pixel", "1,1")
    )
    assert code == 0, complaints
    assert "\x1b" not in printed
    (result,) = read_results(model)
    assert result.data.isprintable()
    assert mszoo_command("info", model)[0] == 0
    assert len(list(out.glob("filters-*.png"))) == 2


@pytest.mark.parametrize("text", ["\x1b[2Jwiped", "a\x07b"])
def test_an_error_steers_no_terminal(text: str) -> None:
    done = run("evaluate", text)
    assert done.returncode == 1
    assert text.encode() not in done.stdout + done.stderr
