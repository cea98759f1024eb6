"""Weights that are no finite fractions, or not those that were saved, are refused by name."""

import json
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch

import mszoo
from mszoo.errors import CheckpointError
from tests.factories import denoiser, put_weights


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda w: w.index_fill(0, torch.tensor([0]), float("nan")), "not finite"),
        (lambda w: w.index_fill(0, torch.tensor([0]), float("-inf")), "not finite"),
        (lambda w: w.to(torch.int32), "int32"),
        (lambda w: w.to(torch.uint8), "uint8"),
        (lambda w: w.to(torch.bool), "bool"),
    ],
    ids=["nan", "infinite", "int32", "uint8", "bool"],
)
def test_weights_that_are_no_numbers(spoil, fault: str, tmp_path: Path):
    part = {"conditioner": {"name": "bias_free_cnn", "receptive_field": 5, "depth": 3, "width": 4}, "head": "denoiser"}
    mszoo.MultiScaleModel.from_config({"coarse": part}).save_pretrained(tmp_path)
    tensors = safetensors.torch.load_file(tmp_path / "model.safetensors")
    name = next(n for n in tensors if n.endswith("last.weight"))
    put_weights({**tensors, name: spoil(tensors[name])}, tmp_path)
    with pytest.raises(CheckpointError, match=rf"{name} .*{fault}"):
        mszoo.load(tmp_path)


def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path: Path):
    denoiser().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    data = path.read_bytes()
    for at in (0, 9, 200, len(data) // 2, len(data) - 1):
        for bit in (0, 7):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
            with pytest.raises(CheckpointError, match=r"model\.safetensors|do not match"):
                mszoo.load(tmp_path)
    path.write_bytes(data)
    mszoo.load(tmp_path)


def test_a_checkpoint_without_a_checksum_loads_and_a_malformed_one_is_refused(tmp_path: Path):
    denoiser().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    right = config.pop("weights_sha256")
    (tmp_path / "config.json").write_text(json.dumps(config))
    mszoo.load(tmp_path)
    for wrong in ("", right[0], [], [1], [right[0].upper()], [*right, "x"], {right[0]: 1}, right * 3, None):
        (tmp_path / "config.json").write_text(json.dumps({**config, "weights_sha256": wrong}))
        with pytest.raises(CheckpointError, match=r"config\.json.*weights_sha256"):
            mszoo.load(tmp_path)


@pytest.mark.parametrize("checksums", [True, False], ids=["a checksum", "an older one, without"])
def test_a_model_that_another_replaces_or_the_other_is_there_at_every_moment(
    checksums: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Whenever it is killed: one of the two is whole, and what is read is one of them."""
    first, second = denoiser(seed=0), denoiser(levels=1, seed=1)
    first.save_pretrained(tmp_path, beside={"recipe.yaml": "name: first\n"})
    (tmp_path / "evaluation.json").write_text('{"psnr": []}')
    if not checksums:
        config = json.loads((tmp_path / "config.json").read_text())
        del config["weights_sha256"]
        (tmp_path / "config.json").write_text(json.dumps(config))
    replace, read = os.replace, []

    def look(source, target):
        replace(source, target)
        names = {p.name for p in tmp_path.iterdir()}
        read.append((mszoo.load(tmp_path).levels, "recipe.yaml" in names))

    monkeypatch.setattr(os, "replace", look)
    second.save_pretrained(tmp_path, beside={"recipe.yaml": "name: second\n"})
    assert read[0] == (0, True)
    assert read[-1] == (1, True)
    assert sorted(read) == read
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors", "recipe.yaml"]
    assert "replaced" not in json.loads((tmp_path / "config.json").read_text())


def test_a_model_that_is_saved_again_can_be_read_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A run saves every so often, while others read: no moment is without a whole checkpoint."""
    denoiser(seed=0).save_pretrained(tmp_path)
    replace, read = os.replace, []

    def look(source, target):
        replace(source, target)
        read.append(mszoo.load(tmp_path).state_dict())

    monkeypatch.setattr(os, "replace", look)
    for seed in (1, 2):
        denoiser(seed=seed).save_pretrained(tmp_path)
    expected = [denoiser(seed=seed).state_dict() for seed in (0, 1, 1, 2)]
    assert len(read) == len(expected)
    assert all(torch.equal(t, e[name]) for r, e in zip(read, expected, strict=True) for name, t in r.items())
