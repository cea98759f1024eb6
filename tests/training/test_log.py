"""What a run tells: a line for each event in a file, and nothing twice when it goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from accelerate import Accelerator

from mszoo.options import validate
from mszoo.recipe import Recipe
from mszoo.training.log import Log
from tests.factories import network


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Second(Accelerator):
    """As another process than the first sees itself."""

    is_main_process = False  # type: ignore[assignment]


def recipe(steps: int) -> Recipe:
    part = {"conditioner": network(), "head": "denoiser"}
    values = {"name": "small", "model": {"coarse": part}, "training": {"steps": steps}}
    return validate(Recipe, values, "recipe")


def run(path: Path, start: int, stop: int, accelerator: type[Accelerator] = Accelerator) -> None:
    with Log(path.parent, recipe(stop), start, accelerator(cpu=True)) as log:
        for step in range(start + 1, stop + 1):
            log.progress(step, loss=1 / step, images_per_second=12.3456, rate=0.1)
        log.write("evaluation", stop, psnr=30.5)


def test_every_step_is_a_record(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "metrics.jsonl"
    run(path, 0, 3)
    found = records(path)
    events = [("start", 0), *(("train", k) for k in (1, 2, 3)), ("evaluation", 3)]
    assert [(r["event"], r["step"]) for r in found] == events
    assert found[2] == {"event": "train", "step": 2, "loss": 0.5, "images_per_second": 12.35, "rate": 0.1}
    assert found[-1]["psnr"] == 30.5


@pytest.mark.parametrize("torn", ["", '{"event": "train", "st', "[1]", "null", '{"event": "train"}'])
def test_a_run_that_goes_on_tells_nothing_twice(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "metrics.jsonl"
    run(path, 0, 6)
    with path.open("a") as file:
        file.write(torn)  # cut off by a kill
    run(path, 4, 8)
    found = records(path)
    assert [r["step"] for r in found if r["event"] == "train"] == list(range(1, 9))


def test_a_new_run_forgets_the_old(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    run(path, 0, 6)
    run(path, 0, 2)
    assert max(r["step"] for r in records(path)) == 2


def test_only_the_main_process_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "deep" / "metrics.jsonl", 0, 3, Second)
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr() == ("", "")


def test_what_it_says_is_no_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Log(tmp_path, recipe(5), 0, Accelerator(cpu=True)) as log:
        log.say("[bold]runs/[x][/bold]")
        log.progress(5, loss=0.25, images_per_second=3.0)
    said = capsys.readouterr().err
    assert "[bold]runs/[x][/bold]" in said
    assert "step 5/5, loss 0.25, 3.0 images/s" in said
