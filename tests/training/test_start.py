"""What a run starts from, and how it refuses to start or to go on."""

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

import mszoo
from mszoo.errors import DataError, MszooError, RecipeError, TrainingError
from mszoo.heads import Denoiser
from mszoo.model import MultiScaleModel
from mszoo.objectives import Denoising
from mszoo.recipe import DatasetConfig, TrainingConfig, read_recipe
from mszoo.training import check, rehearse, train
from mszoo.training.batches import Batches
from mszoo.training.statistics import fit_heads
from mszoo.training.step import Step
from tests.factories import small_run


@pytest.fixture(autouse=True)
def _any_algorithm() -> None:
    torch.use_deterministic_algorithms(False)


def run(out: Path, *overrides: str, resume: bool = False) -> Path:
    train(read_recipe("smoke-denoiser", small_run("training.ema=null", *overrides)), out, resume)
    return out


def write_images(folder: Path, *sizes: int) -> Path:
    folder.mkdir()
    for i, size in enumerate(sizes):
        pixels = np.random.default_rng(i).integers(0, 256, (size, size), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def test_a_run_goes_on_only_as_it_began(tmp_path):
    out = run(tmp_path / "run")
    before = safetensors.torch.load_file(out / "model.safetensors")
    with pytest.raises(TrainingError, match=r"training\.seed=5.*another --out") as caught:
        run(out, "training.seed=5", "training.optimizer.name=sgd", "training.steps=4", resume=True)
    assert "training.optimizer.name=sgd" in str(caught.value)
    with pytest.warns(UserWarning, match="is at step 2 already"):
        run(out, "training.workers=0", resume=True)
    after = safetensors.torch.load_file(out / "model.safetensors")
    assert all(torch.equal(before[k], after[k]) for k in before)
    run(out, "training.steps=3", "training.batch_size=2", resume=True)


@pytest.mark.parametrize("way", ["DEEPSPEED", "MEGATRON_LM"])
def test_what_replaces_the_loop_is_refused(tmp_path, monkeypatch, way):
    monkeypatch.setenv(f"ACCELERATE_USE_{way}", "false")
    run(tmp_path / "run")
    monkeypatch.setenv(f"ACCELERATE_USE_{way}", "true")
    with pytest.raises(TrainingError, match=r"is not supported.*--use_fsdp.*--multi_gpu"):
        run(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_images_without_a_log_p_are_told_of_before_the_first_step(tmp_path):
    small = write_images(tmp_path / "small", 7)
    words = small_run("data.train={name: photographs, crop: 16}", "training.best=nll")
    words.append(f"data.test={{name: image_folder, path: {small}}}")
    with pytest.raises(RecipeError, match=r"data\.test .*no image has the 8x8 pixels"):
        rehearse(read_recipe("photographs-energy", words))


def test_new_weights_take_old_measurements_away(tmp_path):
    out = run(tmp_path / "run")
    (out / "evaluation.json").write_text("{}")
    run(out, "training.steps=3", resume=True)
    assert not (out / "evaluation.json").exists()


def test_a_model_with_several_empty_buffers_goes_on(tmp_path):
    shape = "receptive_field: 5, depth: 2, width: 4"
    network = f"{{name: bias_free_cnn, {shape}, norm: channel, activation: gelu, noise_embedding: true}}"
    scale = f"{{conditioner: {network}, head: {{name: anchored, levels: 0}}}}"  # no bands, no variances of bands
    model = ["model.basis=haar", "model.levels=1", f"model.detail={scale}", f"model.coarse={scale}"]
    overrides = [*model, "training.scheduler=null"]  # a cosine of two steps is not that of three

    def go(out: Path, steps: int, resume: bool = False) -> dict[str, Tensor]:
        train(read_recipe("smoke-energy", small_run(*overrides, steps=steps)), out, resume)
        return mszoo.load(str(out)).state_dict()

    whole = go(tmp_path / "whole", 3)
    assert sum(not t.numel() for t in whole.values()) == 2
    go(tmp_path / "run", 2)
    resumed = go(tmp_path / "run", 3, resume=True)
    assert all(torch.equal(t, resumed[name]) for name, t in whole.items())


def test_a_diverged_model_is_never_saved(tmp_path):
    out = run(tmp_path / "run", "training.checkpoint_every=1")
    before = (out / "model.safetensors").read_bytes()
    bad = ("training.optimizer.name=sgd", "training.optimizer.lr=1e30", "training.checkpoint_every=1")
    with pytest.raises(TrainingError, match=r"no longer finite at step \d+; lower training\.optimizer\.lr"):
        run(tmp_path / "bad", *bad, "training.steps=9")
    for weights in (tmp_path / "bad").rglob("*.safetensors"):
        assert all(t.isfinite().all() for t in safetensors.torch.load_file(weights).values()), weights
    assert (out / "model.safetensors").read_bytes() == before


def test_a_loss_that_has_exploded_stops_the_run_though_it_is_finite(tmp_path):
    bad = ("training.optimizer={name: adamw, lr: 100}", "training.steps=100")
    with pytest.raises(TrainingError, match=r"losses have grown from \S+ to \d\S+ at step \d+; lower training\.optim"):
        run(tmp_path / "bad", *bad)
    assert not (tmp_path / "bad" / "model.safetensors").exists()


def test_images_that_cannot_be_read_are_a_fault_of_the_recipe(tmp_path):
    overrides = ("data.train={name: image_folder, path: nowhere, crop: 16}",)
    with pytest.raises(
        RecipeError, match=r"command line: .*data\.train\.path  no such folder.*data\.train\.path=\.\.\."
    ):
        run(tmp_path / "run", *overrides)
    assert not (tmp_path / "run").exists()


UNET = (
    *("model.basis=null", "model.levels=0", "model.detail=[]", "objective=score_matching"),
    *("model.coarse={conditioner: {name: unet, width: 4, halvings: 3}, head: score}",),
)


def test_a_crop_fits_the_whole_model_and_not_its_wavelets_alone(tmp_path):
    for crop, fits in ((36, False), (40, True)):
        source = read_recipe("smoke-denoiser", [*small_run("training.ema=null"), *UNET, f"data.train.crop={crop}"])
        if fits:
            rehearse(source)
            continue
        with pytest.raises(RecipeError, match=r"data\.train\.crop  36 does not fit this model.* multiples of 8"):
            check(source)


def test_a_rehearsal_finds_what_the_run_would_and_allocates_no_model(tmp_path):
    folder = write_images(tmp_path / "images", 20, 20)
    several = write_images(tmp_path / "several", 24, 16)
    data = f"data.train={{name: image_folder, path: {folder}}}"
    _, model = rehearse(read_recipe("smoke-denoiser", [*small_run("training.ema=null"), data]))
    assert all(tensor.is_meta for tensor in model.state_dict().values())
    narrow = run(tmp_path / "narrow", "model.coarse.conditioner.width=20")
    for fault, overrides in {
        r"data\.train\.path  no such folder": ["data.train={name: image_folder, path: nowhere, crop: 16}"],
        r"data\.test\.path  no such folder": ["data.test={name: image_folder, path: nowhere}"],
        r"data\.train  images of 20x20 do not fit this model.* multiples of 8; set data": [data, *UNET],
        r"data\.train  images of different sizes \(16x16, 24x24\)|24x24, 16x16": [
            f"data.train={{name: image_folder, path: {several}}}"
        ],
        r"data\.train  no training image is as large as data\.train\.crop: 32": [data, "data.train.crop=32"],
        r"data\.test  part: \[90, 100\] is empty": ["data.test={name: photographs, part: [90, 100]}"],
        "none that has more": [f"training.init={narrow}"],
        "no packaged model and no folder 'nowhere'": ["training.init=nowhere"],
    }.items():
        source = read_recipe("smoke-denoiser", [*small_run("training.ema=null"), *overrides])
        for find in (rehearse, lambda source: train(source, tmp_path / "run")):
            with pytest.raises(MszooError, match=fault):
                find(source)
        assert not list(tmp_path.glob("run/*.safetensors"))


def test_images_smaller_than_the_crop_are_named_and_left_out(tmp_path):
    folder = write_images(tmp_path / "images", 20, 8, 24, 12)
    images = mszoo.create("dataset", "image_folder", 1, path=str(folder))
    cut, training = DatasetConfig(name="image_folder", crop=16), TrainingConfig(steps=4, batch_size=2)
    with pytest.warns(UserWarning, match=r"2 image\(s\) smaller than crop: 16 left out: .*1\.png, .*3\.png"):
        batches = Batches(images, cut, training)
    assert [tuple(x.shape) for x, _ in batches.steps(0, 4)] == [(2, 1, 16, 16)] * 4
    with pytest.raises(DataError, match=re.escape("no training image is as large as data.train.crop: 64")):
        Batches(images, DatasetConfig(name="image_folder", crop=64), training)


def test_part_and_limit_keep_a_few_images_spread_over_the_set(tmp_path):
    folder = write_images(tmp_path / "images", *[16] * 10)
    images = mszoo.create("dataset", "image_folder", 1, path=str(folder))

    def seen(limit: int | None, part: tuple[int, int] | None = None) -> set[int]:
        config = DatasetConfig(name="image_folder", limit=limit, part=part)
        drawn = Batches(images, config, TrainingConfig(steps=20, batch_size=2)).steps(0, 20)
        return {i for x, _ in drawn for row in x for i in range(10) if torch.equal(row, images[i])}

    assert seen(3) == {0, 3, 6}
    assert seen(1) == {0}
    assert seen(None) == seen(50) == set(range(10))
    assert seen(None, (0, 3)) == {0, 3, 6, 9}
    assert seen(2, (2, 3)) == {2, 5}
    with pytest.raises(DataError, match=re.escape("part: [10, 11] is empty: the set has 10 image(s)")):
        seen(None, (10, 11))
    with pytest.raises(ValueError, match="2 parts, counted from 0"):
        seen(None, (2, 2))


def test_zoom_magnifies_crops_and_enlarges_small_images(tmp_path):
    folder = write_images(tmp_path / "images", 40, 10, 7)
    images = mszoo.create("dataset", "image_folder", 1, path=str(folder))
    training = TrainingConfig(steps=20, batch_size=2)
    with pytest.warns(UserWarning, match=r"1 image\(s\) smaller than crop: 16 left out: .*2\.png"):
        zoomed = Batches(images, DatasetConfig(name="image_folder", crop=16, zoom=(0.5, 2)), training)
    drawn = torch.cat([x for x, _ in zoomed.steps(0, 20)])
    assert drawn.shape == (40, 1, 16, 16)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    again = torch.cat([x for x, _ in zoomed.steps(7, 20)])
    assert torch.equal(again, drawn[14:])


def test_zoom_spreads_a_pixel_over_its_neighbours(tmp_path):
    images = mszoo.create("dataset", "image_folder", 1, path=str(write_images(tmp_path / "images", 40)))

    def first(**cut: object) -> torch.Tensor:
        config = DatasetConfig.model_validate({"name": "image_folder", **cut})
        return next(Batches(images, config, TrainingConfig(steps=1, batch_size=8)).steps(0, 1))[0]

    plain = first(crop=16)
    assert torch.allclose(first(crop=16, zoom=[1, 1]).mean(), plain.mean(), atol=0.02)
    assert first(crop=16, zoom=[2, 2]).diff(dim=-1).std() < 0.7 * plain.diff(dim=-1).std()
    assert first(crop=16, zoom=[0.5, 0.5]).std() < 0.7 * plain.std()


@pytest.mark.parametrize(
    ("cut", "fault"),
    [
        ({"zoom": [1, 2]}, "set crop"),
        ({"zoom": [2, 1], "crop": 8}, "least value second"),
        ({"zoom": [0, 1]}, "greater"),
    ],
)
def test_a_zoom_that_cannot_be_is_refused(cut, fault):
    with pytest.raises(ValueError, match=fault):
        DatasetConfig.model_validate({"name": "photographs", **cut})


def test_frozen_scales_keep_their_running_statistics(tmp_path):
    first = run(tmp_path / "first")
    second = run(tmp_path / "second", f"training.init={first}", "training.scales=[0]")
    one, other = (safetensors.torch.load_file(f / "model.safetensors") for f in (first, second))
    changed = {name.split(".")[1] if name.startswith("detail") else "coarse" for name in one
               if not torch.equal(one[name], other[name])}  # fmt: skip
    assert changed == {"0"}
    assert any("running_std" in name and not torch.equal(t, torch.ones_like(t)) for name, t in one.items())


class Centred(Denoiser):
    """A head that needs the mean of its data."""

    def __init__(self, conditioner) -> None:
        super().__init__(conditioner)
        self.register_buffer("mean", torch.zeros(()))
        self.mean: Tensor

    def fit(self, batches: Iterable[tuple[Tensor, Tensor | None]]) -> None:
        self.mean.fill_(torch.cat([x.flatten() for x, _ in batches]).mean())


def test_heads_see_the_data_of_their_scale_once():
    def conditioner(channels: int, cond: int = 0):
        return mszoo.create("conditioner", "bias_free_cnn", channels, cond, receptive_field=5, depth=3, width=4)

    x = torch.rand(6, 1, 8, 8)
    for trained, coarse_mean in ((None, 2 * x.mean()), ([0], torch.tensor(0.0))):
        basis = mszoo.create("basis", "haar")
        model = MultiScaleModel(1, Centred(conditioner(1)), basis, [Denoiser(conditioner(3, 1))])
        step = Step(model, [Denoising(), Denoising()], trained)
        fit_heads(step, lambda: x.split(2))
        torch.testing.assert_close(model.coarse.mean, coarse_mean)


def test_workers_start_after_a_computation_with_several_threads(tmp_path: Path) -> None:
    """A child that is forked then must compute with one thread, or it hangs."""
    folder = write_images(tmp_path / "images", 48, 64)
    code = f"""
import torch, mszoo
from mszoo.recipe import DatasetConfig, TrainingConfig
from mszoo.training.batches import Batches
torch.set_num_threads(4)
x = torch.rand(8, 3, 256, 256)
torch.nn.functional.conv2d(x, torch.rand(16, 3, 5, 5)), (x @ x).sum()
cut = DatasetConfig(name="image_folder", path={str(folder)!r}, crop=32, zoom=[0.5, 2])
data = mszoo.create("dataset", "image_folder", 1, path={str(folder)!r})
batches = Batches(data, cut, TrainingConfig(steps=3, batch_size=4, workers=2))
first = [images for images, _ in batches.steps(0, 3)]
alone = [images for images, _ in Batches(data, cut, TrainingConfig(steps=3, batch_size=4)).steps(0, 3)]
assert all(torch.equal(a, b) for a, b in zip(first, alone, strict=True))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
