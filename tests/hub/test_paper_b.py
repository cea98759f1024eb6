"""The importer of paper B's training folders, on files of the same layout."""

from __future__ import annotations

import argparse
import json
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mszoo
from mszoo.conditioners import UNet
from mszoo.errors import CheckpointError
from mszoo.hub.paper_b import convert, rename

ENERGY = {"network": "UNet", "model": "EnergyModel", "reparam_kwargs": "{'conversion':'inner_product'}"}
NORM = {**ENERGY, "reparam_kwargs": "{'conversion':'squared_norm'}"}
SCORE = {**ENERGY, "model": "DenoiserModel", "reparam_kwargs": "{'output_scaling':1,'residual':True}"}


class Performance:
    """Something of the authors' own that their file holds, too."""

    def __init__(self, loss: Tensor) -> None:
        self.loss = loss


class Evil:
    """What a pickle can do to whoever reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def theirs(network: UNet, prefix: str = "network.") -> OrderedDict[str, Tensor]:
    """A network's weights under the authors' names: the inverse of ``rename``, by trying all of them."""
    scales, depth = len(network.encoder), len(network.encoder[0])  # type: ignore[arg-type]
    blocks = [f"{side}.{s}" for side in ("encoder", "decoder") for s in range(scales)] + ["middle_block"]
    names = [f"noise_var_embedding.time_embed.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")]
    for block in blocks:
        for layer in range(depth):
            names += [f"{block}.{3 * layer}.weight", f"{block}.{3 * layer + 1}.weight"]
            names += [f"{block}.{3 * layer + 1}.conditioning_embedding.{kind}" for kind in ("weight", "bias")]
    state = network.state_dict()
    pairs = {prefix + name: state.get(rename(name, scales, depth)) for name in names}
    return OrderedDict((name, tensor) for name, tensor in pairs.items() if tensor is not None)


def write(folder: Path, args: dict[str, Any], state: Any, **more: Any) -> Path:
    content = {
        "step": 1000,
        "args": argparse.Namespace(lr=5e-4, dir=Path("experiments")),
        "state_dict": state,
        "train_perf": Performance(torch.rand(5)),
        "test_perf": Performance(torch.rand(5)),
        **more,
    }
    torch.save(content, folder / "model.pth.tar")
    (folder / "args.json").write_text(json.dumps({"name": "trained", "grayscale": True, **args}))
    return folder


@pytest.mark.parametrize("args", [ENERGY, NORM, SCORE], ids=["inner_product", "squared_norm", "score"])
@pytest.mark.parametrize(("channels", "width", "scales", "depth"), [(1, 4, 2, 3), (3, 6, 3, 4), (1, 2, 1, 2)])
def test_converted_it_computes_the_same(
    tmp_path: Path, args: dict[str, Any], channels: int, width: int, scales: int, depth: int
) -> None:
    network = UNet(channels, width=width, scales=scales, depth=depth)
    state = theirs(network)
    assert len(state) == len(network.state_dict())
    model, refused = convert(write(tmp_path, args, state))
    y, t = torch.randn(2, channels, 16, 16), torch.tensor([1e-4, 0.3])
    expected = mszoo.create("head", model.coarse.part.name, network)
    torch.testing.assert_close(model.coarse.denoise(y, t), expected.denoise(y, t))
    assert any("Performance" in name for name in refused)
    assert "argparse.Namespace" in refused
    model.save_pretrained(tmp_path / "ours")
    torch.testing.assert_close(mszoo.load(tmp_path / "ours").denoise(y, 0.1), model.denoise(y, 0.1))


@pytest.mark.parametrize("prefix", ["", "module.", "network.", "module.network."])
def test_prefixes_do_not_matter(tmp_path: Path, prefix: str) -> None:
    convert(write(tmp_path, ENERGY, theirs(UNet(1, width=2, scales=1), prefix)))


def test_nothing_in_the_file_is_run(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    state = theirs(UNet(1, width=2, scales=1))
    model, refused = convert(write(tmp_path, ENERGY, state, evil=Evil(touched)))
    assert not touched.exists()
    assert {f"{os.system.__module__}.system"} <= set(refused)
    assert model.channels == 1
    state["network.evil"] = Evil(touched)  # type: ignore[assignment]
    with pytest.raises(CheckpointError, match="no state_dict of tensors"):
        convert(write(tmp_path, ENERGY, state))
    assert not touched.exists()


def faults(tmp_path: Path, args: dict[str, Any], state: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        convert(write(tmp_path, args, state))
    return str(caught.value)


def test_what_is_no_such_checkpoint_is_said(tmp_path: Path) -> None:
    state = theirs(UNet(1, width=2, scales=2))
    assert "DnCNN" in faults(tmp_path, {**ENERGY, "network": "DnCNN"}, state)
    assert "final_scaling" in faults(tmp_path, {**ENERGY, "reparam_kwargs": "{'final_scaling': 1}"}, state)
    assert "cannot be read" in faults(tmp_path, {**ENERGY, "reparam_kwargs": "__import__('os')"}, state)
    assert "'network.other.weight' is not one of paper B's" in faults(
        tmp_path, ENERGY, {**state, "network.other.weight": torch.rand(2)}
    )
    missing = {k: v for k, v in state.items() if "decoder.1.0.weight" not in k}
    assert "decoder.0.0.convolution.weight is missing" in faults(tmp_path, ENERGY, missing)
    wrong = {k: v[:1] if k.endswith("middle_block.1.weight") else v for k, v in state.items()}
    assert "middle.0.norm.gain is of shape (1,)" in faults(tmp_path, ENERGY, wrong)
    assert "no four-dimensional tensor encoder.0.0.weight" in faults(tmp_path, ENERGY, {"a": torch.rand(2)})
    (tmp_path / "args.json").unlink()
    with pytest.raises(CheckpointError, match=r"args\.json is missing"):
        convert(tmp_path)
    with pytest.raises(CheckpointError, match="is missing"):
        convert(tmp_path / "nothing")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x80\x04garbage", b"text"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, ENERGY, theirs(UNet(1, width=2, scales=1)))
    (tmp_path / "model.pth.tar").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.pth\.tar"):
        convert(tmp_path)
