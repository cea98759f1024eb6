"""A mistake is told before torch is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import save_image

SCRIPT = """
import sys
from mszoo.cli import main
sys.modules["torch"] = None  # whoever imports it now fails
main()
"""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["evaluate", "photographs-haar-rf13", "--data", "nowhere"],
            "image or match: nowhere",
        ),
        (["evaluate", "photographs-haar-rf13", "--data", "no*where"], "no such folder, zip file, image or match"),
        (["evaluate", "photographs-haar-rf13", "--data", "x" * 5000], "no such folder, zip file, image or match"),
        (["evaluate", "photographs-haar-rf13", "--sigma", "abc"], "--sigma: 'abc' is no number"),
        (["evaluate", "photographs-haar-rf13", "--sigma", "25"], "did you mean 25/255?"),
        (["evaluate", "photographs-haar-rf14"], "did you mean 'photographs-haar-rf13'"),
        (["evaluate", "photographs-haar-rf13", "--pixel", "8,8"], "--out FOLDER"),
        (["evaluate", "photographs-haar-rf13", "photographs-haar-rf13"], "the same name"),
        (["evaluate", "photographs-haar-rf13", "--out", "file.png"], "file.png"),
        (["log-prob", "nowhere", "--model", "cifar10-grey-energy"], "nowhere"),
        (["log-prob", "file.png", "--model", "cifar10-gray-energy"], "did you mean 'cifar10-grey-energy'"),
        (["log-prob", "file.png", "--model", "cifar10-grey-energy", "--out", "file.png"], "file.png"),
        (["demo", "--out", "demo.abc"], "no picture's name"),
        (["demo", "--model", "nothing"], "no folder 'nothing'"),
        (["info", "nothing"], "no folder 'nothing'"),
        (["experiment", "histogram", "cifar10-grey-energy", "--data", "nowhere"], "nowhere"),
        (["experiment", "denoisers", "nothing", "--data", "file.png"], "no folder 'nothing'"),
        (["evaluate", "photographs-haar-rf13", "--data", "/dev/null"], "no plain file"),
        (["train", "smoke-denoisr"], "smoke-denoisr"),
        (["train", "smoke-denoiser", "training.steps"], "training.steps"),
    ],
)
def test_a_mistake_is_told_before_torch_is_loaded(tmp_path: Path, words: list[str], message: str) -> None:
    save_image(tmp_path / "file.png", 8, 8)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1, done.stderr
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["file.png"], "a refused command leaves nothing behind"
