from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mszoo
from mszoo import MultiScaleModel
from mszoo.checkpoint.folder import CONFIG, WEIGHTS, read_config, read_shapes, read_tensors, write
from mszoo.errors import CheckpointError
from tests.factories import denoiser

RECIPE = "recipe.yaml"


def build(width: int = 4, levels: int = 0) -> MultiScaleModel:
    return denoiser(levels, width=width)


def save(model: MultiScaleModel, folder: Path, recipe: str = "first") -> None:
    model.save_pretrained(folder, beside={RECIPE: recipe})


def answer(model: MultiScaleModel) -> Tensor:
    return model.denoise(torch.linspace(0, 1, 64).reshape(1, 1, 8, 8))


def test_a_checkpoint_is_data_only(tmp_path: Path) -> None:
    save(build(), tmp_path)
    config, tensors = read_config(tmp_path), read_tensors(tmp_path)
    assert read_shapes(tmp_path) == {name: tuple(t.shape) for name, t in tensors.items()}
    assert config == json.loads((tmp_path / CONFIG).read_text())
    assert config["library_name"] == "mszoo"
    assert {c["kind"] for c in config["components"]} == {"conditioner", "head"}
    assert {c["distribution"] for c in config["components"]} == {"mszoo"}
    assert all(isinstance(t, Tensor) for t in tensors.values())
    assert sorted(p.name for p in tmp_path.iterdir()) == [CONFIG, WEIGHTS, RECIPE]


# ---- what is no checkpoint -----------------------------------------------------------------------------------


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "no config": (CONFIG, Path.unlink),
    "empty config": (CONFIG, lambda p: p.write_text("")),
    "half a config": (CONFIG, shorten),
    "binary config": (CONFIG, lambda p: p.write_bytes(b"\xff\xfe\x00")),
    "config of another kind": (CONFIG, lambda p: p.write_text("[1, 2]")),
    "config without model": (CONFIG, lambda p: p.write_text('{"model": "unet"}')),
    "config is a folder": (CONFIG, lambda p: (p.unlink(), p.mkdir())),
    "config with an unknown part": (CONFIG, lambda p: p.write_text(p.read_text().replace("denoiser", "denoisr"))),
    "config of another architecture": (
        CONFIG,
        lambda p: p.write_text(p.read_text().replace('"width": 4', '"width": 5')),
    ),
    "no weights": (WEIGHTS, Path.unlink),
    "empty weights": (WEIGHTS, lambda p: p.write_bytes(b"")),
    "half the weights": (WEIGHTS, shorten),
    "text for weights": (WEIGHTS, lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\n" * 3)),
    "weights are a folder": (WEIGHTS, lambda p: (p.unlink(), p.mkdir())),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused_by_the_name_of_its_file(damage: str, tmp_path: Path) -> None:
    save(build(), tmp_path / "model")
    name, harm = DAMAGES[damage]
    harm(tmp_path / "model" / name)
    with pytest.raises(CheckpointError, match=name) as caught:
        mszoo.load(tmp_path / "model")
    assert str(tmp_path / "model") in str(caught.value)


@pytest.mark.parametrize("damage", [d for d in DAMAGES if "folder" not in d])
def test_a_damaged_checkpoint_can_be_written_anew(damage: str, tmp_path: Path) -> None:
    save(build(), tmp_path)
    name, harm = DAMAGES[damage]
    harm(tmp_path / name)
    save(model := build(), tmp_path)
    assert torch.equal(answer(mszoo.load(tmp_path)), answer(model))


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_what_is_no_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match=name):
        mszoo.load(tmp_path / name)
    with pytest.raises(CheckpointError, match=f"{name} is not a folder"):
        read_config(tmp_path / name)


# ---- whole or not at all -------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [0, 2])
def test_a_newer_checkpoint_replaces_the_older(levels: int, tmp_path: Path) -> None:
    save(build(), tmp_path)
    save(model := build(width=6, levels=levels), tmp_path, "second")
    assert torch.equal(answer(mszoo.load(tmp_path)), answer(model))
    assert (tmp_path / RECIPE).read_text() == "second"
    assert sorted(p.name for p in tmp_path.iterdir()) == [CONFIG, WEIGHTS, RECIPE]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("width", [4, 6], ids=["same architecture", "another architecture"])
@pytest.mark.parametrize("older", [True, False], ids=["over an older one", "first"])
def test_an_interrupted_write_leaves_a_whole_checkpoint_or_none(
    call: str, at: int, width: int, older: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = build(), build(width)
    if older:
        save(first, tmp_path)
    real, calls = getattr(os, call), iter(range(9))

    def failing(*args: Any) -> Any:
        if next(calls) == at:
            raise OSError("no space left on device")
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        with pytest.raises(OSError, match="no space"):
            save(second, tmp_path, "second")
    assert not [p.name for p in tmp_path.iterdir() if p.name not in (CONFIG, WEIGHTS, RECIPE)]
    try:
        loaded = mszoo.load(tmp_path)
    except CheckpointError:
        assert not (tmp_path / CONFIG).exists()
        return
    model, recipe = (first, "first") if (tmp_path / RECIPE).read_text() == "first" else (second, "second")
    assert torch.equal(answer(loaded), answer(model)), f"these are not the weights of the {recipe} recipe"
    assert older


def test_weights_that_cannot_be_written_leave_the_older_checkpoint(tmp_path: Path) -> None:
    save(first := build(), tmp_path)
    tied = torch.zeros(3)
    with pytest.raises(Exception, match=r"(?i)shar"):
        write(tmp_path, {"model": {}}, {"a": tied, "b": tied})
    assert torch.equal(answer(mszoo.load(tmp_path)), answer(first))


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(CheckpointError, match="is a file; give a folder"):
        write(tmp_path / "file", {"model": {}}, {})
    assert (tmp_path / "file").read_text() == "kept"
