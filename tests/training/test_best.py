"""The newest states are kept, and the best model by the measure that was chosen."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

import mszoo
from mszoo.errors import RecipeError
from mszoo.evaluation import probabilities, psnr_curve
from mszoo.recipe import read_recipe
from mszoo.training import check, train
from tests.factories import small_run

SIGMAS = (0.1, 0.4)


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A run that is better now, and worse then: its rate is far too large."""
    torch.use_deterministic_algorithms(False)
    (tmp_path / "test").mkdir()
    ramp = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 8
    Image.fromarray(ramp).save(tmp_path / "test" / "a.png")
    return small_run(
        f"data.test={{name: image_folder, path: {tmp_path / 'test'}}}",
        *(f"evaluation.sigmas={list(SIGMAS)}", "evaluation.every=2", "training.checkpoint_every=2"),
        "training.optimizer={name: adam, lr: 0.1}",
        *("training.scheduler=null", "training.ema=null"),
    )


def measured(out: Path, best: str | float) -> dict[int, float]:
    """By step, what the best is chosen by."""
    found: dict[int, list[float]] = {}
    for record in map(json.loads, (out / "metrics.jsonl").read_text().splitlines()):
        if record["event"] == "evaluation" and best in ("psnr", record["sigma"]):
            found.setdefault(record["step"], []).append(record["psnr"])
    return {step: sum(values) / len(values) for step, values in found.items()}


def run(out: Path, words: list[str], steps: int, best: str | float, resume: bool = False) -> Path:
    more = [f"training.best={best}", f"training.steps={steps}", "training.keep=3"]
    train(read_recipe("smoke-denoiser", [*words, *more]), out, resume)
    return out


@pytest.mark.parametrize("best", ["psnr", 0.4])
def test_the_best_is_kept_and_can_be_loaded(tmp_path: Path, words: list[str], best: str | float) -> None:
    whole = run(tmp_path / "whole", words, 12, best)
    values = measured(whole, best)
    assert list(values) == [2, 4, 6, 8, 10, 12]
    record = json.loads((whole / "best" / "best.json").read_text())
    assert record == {"step": max(values, key=values.__getitem__), "measure": best, "value": max(values.values())}
    kept = mszoo.load(whole / "best")
    images = mszoo.create("dataset", "image_folder", 1, path=str(tmp_path / "test"))
    again = [row.denoised for row in psnr_curve(kept, images, SIGMAS if best == "psnr" else [0.4])]
    assert sum(again) / len(again) == pytest.approx(record["value"], abs=1e-4)

    resumed = run(tmp_path / "resumed", words, 4, best)
    run(resumed, words, 12, best, resume=True)
    for name in ("best/best.json", "best/model.safetensors", "model.safetensors"):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()


def test_the_least_nll_is_the_best_of_an_energy(tmp_path: Path, words: list[str]) -> None:
    words = [*words, "training.best=nll", "training.ema=0.5", "training.optimizer={name: adam, lr: 0.01}"]
    words += ["model.coarse.head=inner_product"]
    out = tmp_path / "run"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its constant has a large error
        train(read_recipe("smoke-energy", [*words, "training.steps=8"]), out)
        lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
        values = {record["step"]: record["nll"] for record in lines if record["event"] == "likelihood"}
        assert list(values) == [2, 4, 6, 8]
        record = json.loads((out / "best" / "best.json").read_text())
        assert record == {"step": min(values, key=values.__getitem__), "measure": "nll", "value": min(values.values())}
        images = mszoo.create("dataset", "image_folder", 1, path=str(tmp_path / "test"))
        for folder, value in ((out / "best", record["value"]), (out, values[8])):
            model = mszoo.load(folder)
            model.constants.clear()  # it is found again, of the weights that were kept
            [row] = probabilities(model, images)
            assert row.nll == pytest.approx(value, abs=1e-4)


def test_what_was_best_before_a_run_went_on_stays_the_best(tmp_path: Path, words: list[str]) -> None:
    out = run(tmp_path / "run", words, 2, "psnr")
    (first,) = measured(out, "psnr").values()
    weights = safetensors.torch.load_file(out / "best" / "model.safetensors")
    run(out, words, 8, "psnr", resume=True)
    values = measured(out, "psnr")
    kept = safetensors.torch.load_file(out / "best" / "model.safetensors")
    same = all(torch.equal(weights[name], kept[name]) for name in weights)
    assert same == (max(values.values()) == first)
    assert json.loads((out / "best" / "best.json").read_text())["value"] == max(values.values())


def test_a_run_that_begins_anew_has_no_best(tmp_path: Path, words: list[str]) -> None:
    out = run(tmp_path / "run", words, 2, "psnr")
    train(read_recipe("smoke-denoiser", [*words, "training.steps=2"]), out, overwrite=True)
    assert not (out / "best").exists()


def test_the_newest_states_are_kept(tmp_path: Path, words: list[str]) -> None:
    out = run(tmp_path / "run", words, 10, "psnr")
    assert sorted(path.name for path in (out / "state").iterdir()) == [f"step-{k:08d}" for k in (6, 8, 10)]


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        (["training.best=0.3"], r"training\.best  0\.3 is none of evaluation\.sigmas: 0\.1, 0\.4"),
        (["training.best=psnr", "data.test=null"], r"training\.best  .* set data\.test"),
        (["training.best=psnr", "evaluation.sigmas=[]"], r"training\.best  evaluation\.sigmas is empty"),
        (["training.best=nll"], r"training\.best  nll cannot be measured: .*has no energy"),
        (["training.best=psnr", "training.scales=[0]"], r"training\.best  .*in part"),
        (["training.keep=0"], r"training\.keep"),
    ],
)
def test_what_cannot_be_measured_is_told_beforehand(words: list[str], more: list[str], fault: str) -> None:
    with pytest.raises(RecipeError, match=fault):
        check(read_recipe("smoke-denoiser", [*words, *more]))
