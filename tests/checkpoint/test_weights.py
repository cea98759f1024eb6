"""Weights that are no finite fractions are refused, by the tensor's name."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

import mszoo
from mszoo.errors import CheckpointError


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
    safetensors.torch.save_file({**tensors, name: spoil(tensors[name])}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=rf"{name} .*{fault}"):
        mszoo.load(tmp_path)
