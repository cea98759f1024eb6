"""Scales are independent: trained apart and put together, they are what one run makes of them."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

import mszoo
from mszoo.errors import CheckpointError, MszooError, RecipeError
from mszoo.recipe import read_recipe
from mszoo.training import assemble, check, train
from tests.factories import small_run


def run(out: Path, *overrides: str) -> Path:
    train(read_recipe("smoke-denoiser", small_run("training.calibration_batches=2", *overrides, steps=6)), out)
    return out


def test_trained_apart_and_assembled_is_bitwise_one_run(tmp_path):
    whole = run(tmp_path / "whole")
    runs = [run(tmp_path / "a", "training.scales=[0, 2]"), run(tmp_path / "b", "training.scales=[1]")]
    assemble(tmp_path / "out", runs)
    one, other = (safetensors.torch.load_file(f / "model.safetensors") for f in (whole, tmp_path / "out"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[k], other[k]) for k in one)
    check(read_recipe(tmp_path / "out" / "recipe.yaml"))
    assembled = mszoo.load(tmp_path / "out")
    assert assembled.denoise(torch.rand(1, 1, 8, 8)).isfinite().all()
    assert assembled.largest_t == mszoo.load(whole).largest_t


def test_the_assembled_recipe_tells_what_differs(tmp_path):
    fine = run(tmp_path / "a", "training.scales=[0, 1]")
    coarse = run(tmp_path / "b", "training.scales=[2]", "training.steps=4")
    assemble(tmp_path / "out", [fine, coarse])
    notes = [r for r in (tmp_path / "out" / "recipe.yaml").read_text().splitlines() if r.startswith("#")]
    assert notes == ["# assembled from runs of", "# scales [0, 1]", "# scales [2]: training.steps=4"]
    assert "scales" not in read_recipe(tmp_path / "out" / "recipe.yaml").values["training"]


def test_runs_that_make_no_whole(tmp_path):
    a, b = run(tmp_path / "a", "training.scales=[0, 1]"), run(tmp_path / "b", "training.scales=[1, 2]")
    other = run(tmp_path / "c", "training.scales=[2]", "model.basis=db2")
    for runs, message in [
        ([a], "scale 2 was trained by none of the runs"),
        ([a, b], "scale 1 was trained by"),
        ([a, other], "another model"),
    ]:
        with pytest.raises(MszooError, match=message):
            assemble(tmp_path / "out", runs)
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        assemble(tmp_path / "out", [a, tmp_path])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("scales", ["[3]", "[]", "[-1]", "all"])
def test_scales_that_are_not_there(scales):
    with pytest.raises(RecipeError, match=r"training\.scales"):
        check(read_recipe("smoke-denoiser", [f"training.scales={scales}"]))


def test_a_run_can_start_from_another_model(tmp_path):
    first = run(tmp_path / "first")
    still = run(tmp_path / "still", f"training.init={first}", "training.optimizer.lr=0", "training.ema=null")
    one, other = (safetensors.torch.load_file(f / "model.safetensors") for f in (first, still))
    assert all(torch.equal(one[k], other[k]) for k in one if "running" not in k)
    with pytest.raises(MszooError, match=r"training\.init: .* is another model"):
        run(tmp_path / "other", f"training.init={first}", "model.basis=db2")
    with pytest.raises(CheckpointError, match="no packaged model and no folder 'nowhere'"):
        run(tmp_path / "none", "training.init=nowhere")
