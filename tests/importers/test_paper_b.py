"""The importer of paper B's training folders, on files of the same layout."""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mszoo
from mszoo.conditioners import UNet
from mszoo.errors import CheckpointError
from mszoo.heads import EnergyHead
from mszoo.importers import import_files
from mszoo.importers.paper_b import rename
from mszoo.model import MultiScaleModel

ENERGY = {"network": "UNet", "model": "EnergyModel", "reparam_kwargs": "{'conversion':'inner_product'}"}
NORM = {**ENERGY, "reparam_kwargs": "{'conversion':'squared_norm'}"}
SCORE = {**ENERGY, "model": "DenoiserModel", "reparam_kwargs": "{'output_scaling':1,'residual':True}"}
DEPTHS = ("num_layers_encoder_block", "num_layers_mid_block", "num_layers_decoder_block")
# the line of the authors' own args.json
PAPER = (
    "{'num_scales':3,'group_size':1,'num_layers_encoder_block':3,'num_layers_mid_block':3,'num_layers_decoder_block':3}"
)


def options(width: int = 2, halvings: int = 1, depth: Any = 3, **more: Any) -> dict[str, Any]:
    """network_kwargs like those of the paper, of a network of another size."""
    depths = (depth,) * 3 if isinstance(depth, int) else depth
    size = {"num_scales": halvings, "base_width": width, **dict(zip(DEPTHS, depths, strict=True))}
    return {**ast.literal_eval(PAPER), **size, **more}


NO_DICTS = ["[1, 2]", [1, 2], "None", None, 3, "", "{", "\0", "{[]: 1}", "{'a': f()}", "__import__('os')"]
NO_DICTS += ["(" * 1000, "-" * 999 + "1", "[" * 10**4, str({"a" * 1000: 1})]


def convert(folder: Path) -> tuple[MultiScaleModel, list[str]]:
    done = import_files([folder], "paper_b")
    return done.model, done.refused


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
    halvings, depth = len(network.encoder), len(network.decoder[-1]) + 1  # type: ignore[arg-type]
    most = max(len(block) for block in (*network.encoder, network.middle, *network.decoder)) + 1  # type: ignore[arg-type]
    blocks = [f"{side}.{s}" for side in ("encoder", "decoder") for s in range(halvings)] + ["middle_block"]
    names = [f"noise_var_embedding.time_embed.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")]
    for block in blocks:
        for layer in range(most):
            names += [f"{block}.{3 * layer}.weight", f"{block}.{3 * layer + 1}.weight"]
            names += [f"{block}.{3 * layer + 1}.conditioning_embedding.{kind}" for kind in ("weight", "bias")]
    state = network.state_dict()
    pairs = {prefix + name: state.get(rename(name, halvings, depth)) for name in names}
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
    rest = {"name": "trained", "noise_covariance": None, "embed_noise_level_in_range": False}
    (folder / "args.json").write_text(json.dumps({**rest, "network_kwargs": str(options()), **args}))
    return folder


@pytest.mark.parametrize("args", [ENERGY, NORM, SCORE], ids=["inner_product", "squared_norm", "score"])
@pytest.mark.parametrize(
    ("channels", "width", "halvings", "depth"),
    [(1, 4, 2, 3), (3, 6, 3, 4), (1, 2, 1, 2), (1, 4, 2, (3, 2, 4)), (3, 2, 1, (1, 5, 2))],
)
def test_converted_it_computes_the_same(
    tmp_path: Path, args: dict[str, Any], channels: int, width: int, halvings: int, depth: Any
) -> None:
    network = UNet(channels, width=width, halvings=halvings, depth=depth)
    state = theirs(network)
    assert len(state) == len(network.state_dict())
    sizes = {"network_kwargs": str(options(width, halvings, depth))}
    model, refused = convert(write(tmp_path, {**args, **sizes}, state))
    y, t = torch.randn(2, channels, 16, 16), torch.tensor([1e-4, 0.3])
    expected = mszoo.create("head", model.coarse.part.name, network)
    torch.testing.assert_close(model.coarse.denoise(y, t), expected.denoise(y, t))
    assert any("Performance" in name for name in refused)
    assert "argparse.Namespace" in refused
    model.save_pretrained(tmp_path / "ours")
    torch.testing.assert_close(mszoo.load(tmp_path / "ours").denoise(y, 0.1), model.denoise(y, 0.1))


def test_the_papers_own_arguments(tmp_path: Path) -> None:
    network = UNet(1)
    model, _ = convert(write(tmp_path, {**ENERGY, "network_kwargs": PAPER}, theirs(network)))
    torch.testing.assert_close(model.coarse.conditioner.state_dict(), network.state_dict())


@pytest.mark.parametrize("prefix", ["", "module.", "network.", "module.network."])
def test_prefixes_do_not_matter(tmp_path: Path, prefix: str) -> None:
    convert(write(tmp_path, ENERGY, theirs(UNet(1, width=2, halvings=1), prefix)))


def test_nothing_in_the_file_is_run(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    state = theirs(UNet(1, width=2, halvings=1))
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


@pytest.mark.parametrize(
    "given",
    [
        options(),
        json.dumps(options()),
        json.dumps(options(homogeneous=True, num_groups=None)),
        " dict(" + ", ".join(f"{k}={v}" for k, v in options(non_linearity="GELU").items()) + ")",
        str(options(t_min=1.0, t_max=100, symmetric_eps=False, normalize_by="stddev", eps=1e-5)),
        str(options())[:-1] + ", 'non_linearity': nn.GELU, 'normalization': Normalization}",
    ],
    ids=["object", "json", "json names", "call", "defaults", "names"],
)
def test_network_kwargs_are_read_however_they_are_written(tmp_path: Path, given: Any) -> None:
    convert(write(tmp_path, {**ENERGY, "network_kwargs": given}, theirs(UNet(1, width=2, halvings=1))))


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("group_size", 8, "only networks with group_size = 1, as paper B's, can be converted"),
        ("num_groups", 1, "only networks with num_groups = None"),
        ("num_scales", 2, "the tensors have 1"),
        ("base_width", 4, "the tensors have 2"),
        ("num_layers_encoder_block", 2, "the tensors have 3"),
        ("num_layers_mid_block", 4, "the tensors have 3"),
        ("num_layers_decoder_block", 4, "the tensors have 3"),
        ("non_linearity", "ReLU", "only networks with non_linearity = 'GELU'"),
        ("normalization", "BatchNorm2d", "only networks with normalization = 'Normalization'"),
        ("t_min", 1e-9, "only networks with t_min = 1,"),
        ("t_max", 1000.0, "only networks with t_max = 100,"),
        ("symmetric_eps", True, "only networks with symmetric_eps = False"),
        ("normalize_by", "scale", "only networks with normalize_by = 'stddev'"),
        ("eps", 1e-6, "only networks with eps = 1e-05"),
        ("center", False, "only networks with center = True"),
        ("use_statistics", "batch", "only networks with use_statistics = 'input'"),
        ("homogeneous", False, "only networks with homogeneous = True"),
        ("noise_conditioning", False, "only networks with noise_conditioning = True"),
        ("kernel_size", [5, 3], "only networks with kernel_size = 3"),
        ("attention", True, "paper B's UNet has no such option"),
    ],
)
def test_other_networks_are_refused(tmp_path: Path, name: str, value: Any, why: str) -> None:
    given = options(**{name: value})
    for written in (given, str(given), json.dumps(given)):
        message = faults(tmp_path, {**ENERGY, "network_kwargs": written}, theirs(UNet(1, width=2, halvings=1)))
        assert f"args.json: network_kwargs: {name!r} is {value!r}, but {why}" in message


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("dict()", "'num_layers_encoder_block' is 2 (not given: the authors' default), but the tensors have 3"),
        (PAPER.replace("'group_size':1,", ""), "'group_size' is 8 (not given: the authors' default), but only"),
        (PAPER.replace("}", ",'non_linearity':ReLU}"), "'non_linearity' is 'ReLU'"),
        (PAPER.replace("}", ",'normalization':nn.BatchNorm2d}"), "'normalization' is 'BatchNorm2d'"),
    ],
)
def test_what_their_defaults_and_names_mean(tmp_path: Path, written: str, said: str) -> None:
    assert said in faults(tmp_path, {**ENERGY, "network_kwargs": written}, theirs(UNet(1)))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"embed_noise_level_in_range": True}, "embed_noise_level_in_range is True: the range of its noise embedding"),
        ({"noise_covariance": "StationaryCovariance(s)"}, "noise_covariance is 'StationaryCovariance(s)'"),
        ({"network": "DnCNN"}, "the network is 'DnCNN'"),
        ({"network": ["UNet"]}, "the network is ['UNet']"),
        ({"model": ["EnergyModel"]}, "['EnergyModel'] with reparam_kwargs"),
        ({"reparam_kwargs": "{'conversion': []}"}, "{'conversion': []} is none of paper B's"),
        ({"reparam_kwargs": "{'final_scaling': 1}"}, "{'final_scaling': 1} is none of paper B's"),
        ({"reparam_kwargs": {"conversion": None}}, "{'conversion': None} is none of paper B's"),
        ({"reparam_kwargs": "dict()"}, "{} is none of paper B's"),
    ],
)
def test_other_models_are_refused(tmp_path: Path, args: dict[str, Any], said: str) -> None:
    assert said in faults(tmp_path, {**ENERGY, **args}, theirs(UNet(1, width=2, halvings=1)))


@pytest.mark.parametrize("name", ["reparam_kwargs", "network_kwargs"])
@pytest.mark.parametrize("written", NO_DICTS, ids=lambda written: repr(written)[:20])
def test_options_that_are_no_dict_are_refused(tmp_path: Path, name: str, written: Any) -> None:
    message = faults(tmp_path, {**ENERGY, name: written}, theirs(UNet(1, width=2, halvings=1)))
    assert f"args.json: {name} cannot be read" in message
    assert len(message) < 400


@pytest.mark.parametrize("given", [{"conversion": "squared_norm"}, '{"conversion": "squared_norm", "residual": false}'])
def test_reparam_kwargs_may_be_json(tmp_path: Path, given: Any) -> None:
    model, _ = convert(write(tmp_path, {**ENERGY, "reparam_kwargs": given}, theirs(UNet(1, width=2, halvings=1))))
    assert model.coarse.part.name == "squared_norm"


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "nonsense", "[" * 10**5, '{"network": "UNet"}', "{} " + " " * 10**6]
)
def test_damaged_arguments_are_named(tmp_path: Path, content: str) -> None:
    write(tmp_path, ENERGY, theirs(UNet(1, width=2, halvings=1)))
    (tmp_path / "args.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"args\.json (cannot be read|is not of the authors' training)"):
        convert(tmp_path)


@pytest.mark.parametrize("kind", ["scalars", "no strides"])
def test_a_small_file_of_a_huge_network_is_refused_before_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Of 504 GB: with all but the first tensor of one element, and with all of the right shape but no data."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in theirs(UNet(1, width=1024, halvings=6)).items()}
    if kind == "scalars":
        state = {k: torch.zeros(s if "encoder.0.0." in k else [1] * len(s)) for k, s in shapes.items()}
        fault = r"coarse\.conditioner\.\S+ should be \S+ .*, is \(1,"
    else:
        state = {k: torch.zeros(1).as_strided(s, [0] * len(s)) for k, s in shapes.items()}
        fault = "its tensors are larger than the file"
    folder = write(tmp_path, {**ENERGY, "network_kwargs": str(options(1024, 6))}, state)
    assert (folder / "model.pth.tar").stat().st_size < 100_000
    monkeypatch.setattr("mszoo.importers.paper_b.MultiScaleModel", None)
    with pytest.raises(CheckpointError, match=fault):
        convert(folder)


def test_what_is_no_such_checkpoint_is_said(tmp_path: Path) -> None:
    state = theirs(UNet(1, width=2, halvings=2))
    args = {**ENERGY, "network_kwargs": str(options(halvings=2))}
    assert "'network.other.weight' is not one of paper B's" in faults(
        tmp_path, args, {**state, "network.other.weight": torch.rand(2)}
    )
    more = {**state, "network.middle_block.9.weight": torch.rand(4, 4, 3, 3)}
    assert "'num_layers_mid_block' is 3, but the tensors have 4" in faults(tmp_path, args, more)
    missing = {k: v for k, v in state.items() if "decoder.1.0.weight" not in k}
    assert "decoder.0.0.convolution.weight is missing" in faults(tmp_path, args, missing)
    wrong = {k: v[:1] if k.endswith("middle_block.1.weight") else v for k, v in state.items()}
    assert "middle.0.norm.gain should be (8,), is (1,)" in faults(tmp_path, args, wrong)
    assert "no state_dict of tensors" in faults(tmp_path, args, {**state, 1: torch.rand(2)})
    assert "no four-dimensional tensor encoder.0.0.weight" in faults(tmp_path, args, {"a": torch.rand(2)})
    wide = {"network.encoder.0.0.weight": torch.rand(2000, 1, 3, 3)}
    assert "1024" in faults(tmp_path, {**ENERGY, "network_kwargs": str(options(2000, 1, (1, 0, 0)))}, wide)
    (tmp_path / "args.json").unlink()
    with pytest.raises(CheckpointError, match=r"args\.json is missing"):
        convert(tmp_path)
    with pytest.raises(CheckpointError, match="no such file"):
        convert(tmp_path / "nothing")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x80\x04garbage", b"text"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, ENERGY, theirs(UNet(1, width=2, halvings=1)))
    (tmp_path / "model.pth.tar").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.pth\.tar"):
        convert(tmp_path)


@pytest.mark.parametrize("args", [ENERGY, NORM, SCORE], ids=["inner_product", "squared_norm", "score"])
def test_a_file_of_the_authors_own_code(tmp_path: Path, args: dict[str, str]) -> None:
    """Their command line, network and checkpoint, with random weights; f and the energy in single precision."""
    name = "MSZOO_DUAL_SCORE_MATCHING"
    if name not in os.environ:
        pytest.skip(f"{name} is not set: a checkout of FlorentinGuth/DualScoreMatching")
    words = [f"--{key.replace('_', '-')}={value}" for key, value in args.items()]
    command = [
        sys.executable,
        Path(__file__).with_name("paper_b_folder.py"),
        os.environ[name],
        tmp_path,
        *words,
        f"--network-kwargs={options(8, 2)}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    model, refused = convert(tmp_path / "run")
    assert {"argparse.Namespace", "main.PerformanceInfo"} <= set(refused)
    y, t, f, output = torch.load(tmp_path / "expected.pt")
    head = model.coarse
    computed = head.energy(y, t) if isinstance(head, EnergyHead) else head.denoise(y, t)
    for ours, expected in ((head.conditioner(y, t), f), (computed, output)):
        for one, other in zip(ours, expected, strict=True):  # each noise level on its own
            assert (one - other).norm() <= 1e-5 * other.norm()
