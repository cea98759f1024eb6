"""What the guides show works: their code, their commands, their links."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from skimage import data

from mszoo.cli.guide import guides
from mszoo.recipe import Source
from mszoo.training import check
from tests.factories import small_run

NAMES = list(guides())


def text(name: str) -> str:
    return guides()[name].read_text(encoding="utf-8")


def blocks(name: str) -> list[tuple[str, str]]:
    """Language and text of the code blocks, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```", text(name), re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the commands of the guides find: a few small photographs."""
    camera, crop = data.camera(), data.camera()[200:232, 200:232]
    (tmp_path / "photos").mkdir()
    for i in range(3):
        Image.fromarray(camera[64 * i : 64 * i + 64, 160:224]).save(tmp_path / "photos" / f"{i}.png")
    for name in ("photo.png", "photo.jpg", "blurred.png"):
        Image.fromarray(crop).save(tmp_path / name)
    Image.fromarray(crop[:16, :16]).save(tmp_path / "small.png")
    Image.fromarray((100 + 15 * crop.astype(np.uint16)).astype(np.uint16)).save(tmp_path / "cell.tif")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_its_code_and_its_commands_run(name: str, folder: Path, mszoo_command) -> None:
    names: dict = {}
    for language, code in blocks(name):
        if language == "python":
            exec(code, names)
        elif language == "yaml":
            recipe = yaml.safe_load(code)
            (folder / f"{recipe['name']}.yaml").write_text(code)
            check(Source(code, name))
        elif language == "bash":
            for line in code.splitlines():
                program, *words = shlex.split(line, comments=True)
                assert program == "mszoo", f"{line}: what cannot run in a test is a block of `text`"
                if words[0] == "train":  # two steps will do here, in the one precision that a process has
                    words += small_run("training.precision=fp32")
                exit_code, _, complaints = mszoo_command(*words)
                assert exit_code == 0, f"{line}\n{complaints}"
        else:
            assert language == "text"


@pytest.mark.parametrize("name", NAMES)
def test_it_has_a_title_and_its_links_lead_somewhere(name: str) -> None:
    assert text(name).startswith("# ")
    for target in re.findall(r"\]\(([^)#]+)\)", text(name)):
        assert target.startswith("https://") or (guides()[name].parent / target).exists(), target
    for other in re.findall(r"mszoo guide ([\w-]+)", text(name)):
        assert other in NAMES


def test_a_guide_is_printed_as_it_is_in_a_pipe_and_a_wrong_name_is_told(mszoo_command) -> None:
    code, listed, _ = mszoo_command("guide")
    assert code == 0
    assert all(name in listed for name in NAMES)
    assert mszoo_command("guide", "log-prob")[1] == text("log-prob")
    code, _, complaints = mszoo_command("guide", "log-pro")
    assert code == 1
    assert "did you mean 'log-prob'" in complaints
