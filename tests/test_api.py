"""mszoo.train: overrides as keyword arguments mean what they mean on the command line."""

from pathlib import Path

import pytest

import mszoo
from mszoo.errors import RecipeError, TrainingError

TINY = {
    "training__steps": 2,
    "training__warmup": 0,
    "training__batch_size": 2,
    "training__calibration_batches": 1,
    "evaluation__every": 2,
    "data__train__crop": 16,
}


def test_train_writes_the_run_and_returns_its_model(tmp_path: Path):
    model = mszoo.train("smoke-denoiser", tmp_path / "run", **TINY, **{"training.seed": 3})
    assert not model.training
    assert mszoo.load(tmp_path / "run").config() == model.config()
    recipe = (tmp_path / "run" / "recipe.yaml").read_text()
    for line in ("steps: 2", "seed: 3", "crop: 16"):
        assert line in recipe
    with pytest.raises(TrainingError, match="resume"):
        mszoo.train("smoke-denoiser", tmp_path / "run", **TINY)
    assert mszoo.train(
        "smoke-denoiser", tmp_path / "run", resume=True, **{**TINY, "training__steps": 3, "training__seed": 3}
    )


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        ({"training__stepz": 2}, "stepz"),
        ({"training": {"steps": 0}}, "steps"),
        ({"training__steps": object()}, "override training.steps: a recipe cannot hold"),
        ({"training__optimizer__lr": float("nan")}, "cannot hold nan"),
    ],
    ids=["unknown", "mapping", "object", "nan"],
)
def test_overrides_that_make_no_recipe(overrides: dict, fault: str, tmp_path: Path):
    with pytest.raises(RecipeError, match=fault):
        mszoo.train("smoke-denoiser", tmp_path / "run", **overrides)
    assert not (tmp_path / "run").exists()
