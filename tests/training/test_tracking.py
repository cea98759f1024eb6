"""A tracker shows what ``metrics.jsonl`` holds, and pictures."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from PIL import Image

from mszoo.errors import RecipeError
from mszoo.recipe import read_recipe
from mszoo.training import train
from mszoo.training.tracking import FOLDER
from tests.factories import small_run

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def run(out: Path, *more: str, steps: int = 20, resume: bool = False) -> None:
    test = f"data.test={{name: image_folder, path: {out.parent / 'test'}}}"
    words = ["training.tracker=tensorboard", "training.ema=null", test, "evaluation.every=10", *more]
    train(read_recipe("smoke-denoiser", small_run(*words, steps=steps)), out, resume)


def read_back(out: Path):
    [folder] = [path for path in (out / FOLDER).iterdir() if path.is_dir()]
    events = accumulator.EventAccumulator(str(folder), {"images": 0, "scalars": 0})
    events.Reload()
    return events


@pytest.fixture
def test_images(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 24, 20), dtype=np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "test" / f"{i}.png")


@pytest.mark.usefixtures("test_images")
def test_tensorboard_files_are_read_back(tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(out)
    run(out, steps=30, resume=True)
    events = read_back(out)
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    of_training = [record for record in records if record["event"] == "train"]
    for name in ("loss", "lr", "images_per_second", *(f"scale{j}/loss" for j in range(3))):
        shown = [(event.step, event.value) for event in events.Scalars(f"train/{name}")]
        assert [step for step, _ in shown] == [10, 20, 30]
        assert [value for _, value in shown] == pytest.approx([r[name] for r in of_training], rel=1e-3)
    for sigma in (0.2, 0.4):
        measured = [r for r in records if r["event"] == "evaluation" and r["sigma"] == sigma]
        shown = [(event.step, event.value) for event in events.Scalars(f"psnr/sigma {sigma}")]
        assert shown == [(r["step"], pytest.approx(r["psnr"])) for r in measured]
        pictures = events.Images(f"1/sigma {sigma}")
        assert [picture.step for picture in pictures] == [10, 20, 30]
        picture = np.asarray(Image.open(io.BytesIO(pictures[-1].encoded_image_string)))
        assert picture.shape == (24, 3 * 20, 3)
        clean = np.asarray(Image.open(tmp_path / "test" / "1.png"))
        assert (picture[:, :20] == clean[..., None]).all()
        assert np.abs(picture[:, 20:40].astype(float) - clean[..., None]).mean() > 20  # noise


def test_a_tracker_that_is_not_there_is_told_before_training(tmp_path: Path) -> None:
    absent = sorted(set(map(str, LOGGER_TYPE_TO_CLASS)) - set(map(str, get_available_trackers())))
    faults = {"tensorbord": r"training\.tracker  Accelerate has no tracker 'tensorbord'; did you mean 'tensorboard'"}
    faults |= {name: rf"training\.tracker  {name} is not installed: pip install {name}" for name in absent}
    for name, fault in faults.items():
        with pytest.raises(RecipeError, match=fault):
            train(read_recipe("smoke-denoiser", small_run(f"training.tracker={name}")), tmp_path / "run")
    assert not (tmp_path / "run").exists()
