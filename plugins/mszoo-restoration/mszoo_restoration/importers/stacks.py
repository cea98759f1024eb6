"""Plain stacks of convolutions, in the layouts they are published in; norms are merged into the convolutions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mszoo import MultiScaleModel
from mszoo.errors import CheckpointError
from mszoo.importers import Importer, Source
from mszoo_restoration.importers.building import build, convolutions, only_file, template

__all__ = ["BFCNN", "IRCNN", "BiasFreeDnCNN", "DnCNN"]

_STACK = "restoration/stack"
_UNLICENSED = "where this layout is published ({}) no license is stated; ask its authors before you pass the model on"
_DILATIONS = (1, 2, 3, 4, 3, 2, 1)  # of IRCNN


class DnCNN(Importer):
    """DnCNN as ``model.N.*``, biases everywhere, norms merged; or as ``dncnn.N.*``, with batch norms."""

    def recognizes(self, source: Source) -> bool:
        """See :meth:`mszoo.importers.Importer.recognizes`."""
        return len(source.paths) == 1 and (_is_sequence(source) or "dncnn.0.weight" in source.names[0])

    def convert(self, source: Source) -> MultiScaleModel:
        """See :meth:`mszoo.importers.Importer.convert`."""
        path, state = only_file(source)
        if "dncnn.0.weight" not in state:
            return _sequence(path, state, None)
        self.license = _UNLICENSED.format("SaoYan/DnCNN-PyTorch")
        depth = (max(_numbers(state, r"dncnn\.(\d+)\.weight")) - 2) // 3 + 2  # convolution, norm, ReLU; then the last
        weights = [_needed(path, state, "dncnn.0.weight", 4)]
        biases = [torch.zeros(len(weights[0]))]
        used = {"dncnn.0.weight", f"dncnn.{3 * depth - 4}.weight"}
        for i in range(depth - 2):
            first = f"dncnn.{2 + 3 * i}.weight"
            norm = f"dncnn.{3 + 3 * i}"
            weight, bias = _batch_norm(path, state, norm, _needed(path, state, first, 4), None)
            weights.append(weight)
            biases.append(bias)
            used |= {first, *(f"{norm}.{part}" for part in _NORM)}
        weights.append(_needed(path, state, f"dncnn.{3 * depth - 4}.weight", 4))
        biases.append(torch.zeros(len(weights[-1])))
        _no_more(path, state, used)
        return _stack(path, weights, biases)

    def write_example(self, folder: Path) -> list[Path]:
        """See :meth:`mszoo.importers.Importer.write_example`."""
        return [_write_sequence(folder / "dncnn.pth", 4, None)]


class IRCNN(Importer):
    """IRCNN as ``model.N.*``, or as 25 such networks for sigma = 2, 4, ..., 50 of 255 in one file.

    Args:
        sigma: which of 25 networks: the one for this standard deviation, image values from 0 to 1.
    """

    def __init__(self, *, sigma: float = 25 / 255) -> None:
        if not 0 < sigma <= 1:
            raise ValueError(f"sigma is a standard deviation for image values from 0 to 1, got {sigma:g}")
        self.sigma = sigma

    def recognizes(self, source: Source) -> bool:
        """See :meth:`mszoo.importers.Importer.recognizes`."""
        if len(source.paths) != 1 or source.paths[0].is_dir():
            return False
        return _is_sequence(source, dilated=True) or _of_levels(source.read(source.paths[0])) is not None

    def convert(self, source: Source) -> MultiScaleModel:
        """See :meth:`mszoo.importers.Importer.convert`."""
        if len(source.paths) != 1:
            raise CheckpointError(f"this layout is one file, got {len(source.paths)}")
        path = source.paths[0]
        levels = _of_levels(source.read(path))
        if levels is None:
            return _sequence(path, source.state(path), _DILATIONS)
        number = min(24, max(0, round(self.sigma * 255 / 2 + 0.49999) - 1))
        if str(number) not in levels:
            raise CheckpointError(f"{path}: there is no network {number}, the one for sigma = {self.sigma:g}")
        return _sequence(path, levels[str(number)], _DILATIONS)

    def write_example(self, folder: Path) -> list[Path]:
        """See :meth:`mszoo.importers.Importer.write_example`."""
        return [_write_sequence(folder / "ircnn.pth", 7, _DILATIONS)]


class BFCNN(Importer):
    """BF-CNN: ``conv_layers.L.weight``, and for inner layers ``running_sd.L`` and ``gammas.L``."""

    license = _UNLICENSED.format("LabForComputationalVision/universal_inverse_problem")

    def recognizes(self, source: Source) -> bool:
        """See :meth:`mszoo.importers.Importer.recognizes`."""
        return len(source.paths) == 1 and any(
            "conv_layers.0.weight" in names and any(name.startswith("running_sd.") for name in names)
            for names in source.names
        )

    def convert(self, source: Source) -> MultiScaleModel:
        """See :meth:`mszoo.importers.Importer.convert`."""
        path, state = only_file(source)
        depth = 1 + max(_numbers(state, r"conv_layers\.(\d+)\.weight"), default=0)
        weights = convolutions(path, state, "conv_layers.{}.weight", depth)
        used = {f"conv_layers.{i}.weight" for i in range(depth)}
        for i in range(depth - 2):
            scales = [_needed(path, state, f"{part}.{i}", 4) for part in ("running_sd", "gammas")]
            width = len(weights[i + 1])
            if any(s.shape != (1, width, 1, 1) for s in scales):
                raise CheckpointError(f"{path}: running_sd.{i} and gammas.{i} are not of shape {(1, width, 1, 1)}")
            weights[i + 1] = weights[i + 1] * (scales[1] / scales[0]).reshape(-1, 1, 1, 1)
            used |= {f"running_sd.{i}", f"gammas.{i}"}
        _no_more(path, state, used)
        return _stack(path, weights, None)

    def write_example(self, folder: Path) -> list[Path]:
        """See :meth:`mszoo.importers.Importer.write_example`."""
        weights = template({"name": _STACK, "width": 3, "depth": 4, "bias": False}).values()
        state = {f"conv_layers.{i}.weight": weight for i, weight in enumerate(weights)}
        for i in range(2):
            state[f"running_sd.{i}"], state[f"gammas.{i}"] = torch.rand(1, 3, 1, 1) + 0.5, torch.randn(1, 3, 1, 1)
        torch.save(state, folder / "model.pt")
        return [folder / "model.pt"]


class BiasFreeDnCNN(Importer):
    """DnCNN of *bias_free_denoising*: ``first_layer``, ``hidden_layer_list.N``, ``bn_layer_list.N``, ``last_layer``.

    Without biases its norm is h / (sqrt(running_var) + 1e-5) * weight; with them it is the usual batch norm.
    """

    def recognizes(self, source: Source) -> bool:
        """See :meth:`mszoo.importers.Importer.recognizes`."""
        return len(source.paths) == 1 and {"first_layer.weight", "last_layer.weight"} & source.names[0] != set()

    def convert(self, source: Source) -> MultiScaleModel:
        """See :meth:`mszoo.importers.Importer.convert`."""
        path, state = only_file(source)
        biased = any(name.endswith(".bias") and not name.startswith("bn_layer_list.") for name in state)
        inner = 1 + max(_numbers(state, r"hidden_layer_list\.(\d+)\.weight"), default=-1)
        layers = ["first_layer", *(f"hidden_layer_list.{i}" for i in range(inner)), "last_layer"]
        weights = [_needed(path, state, f"{layer}.weight", 4) for layer in layers]
        biases = [_needed(path, state, f"{layer}.bias", 1) for layer in layers] if biased else None
        used = {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}
        for i in range(inner):
            norm = f"bn_layer_list.{i}"
            used |= {f"{norm}.{part}" for part in (*_NORM, "num_batches_tracked")}
            if biases is not None:
                weights[i + 1], biases[i + 1] = _batch_norm(path, state, norm, weights[i + 1], biases[i + 1])
            else:
                gain, variance = (_needed(path, state, f"{norm}.{p}", 1) for p in ("weight", "running_var"))
                scale = _of_length(path, norm, gain / (variance.sqrt() + 1e-5), len(weights[i + 1]))
                weights[i + 1] = weights[i + 1] * scale[:, None, None, None]
        _no_more(path, state, used)
        return _stack(path, weights, biases)

    def write_example(self, folder: Path) -> list[Path]:
        """See :meth:`mszoo.importers.Importer.write_example`."""
        given = list(template({"name": _STACK, "width": 3, "depth": 4}).values())
        state = {}
        for i, layer in enumerate(("first_layer", "hidden_layer_list.0", "hidden_layer_list.1", "last_layer")):
            state[f"{layer}.weight"], state[f"{layer}.bias"] = given[2 * i], given[2 * i + 1]
        for i in range(2):
            state |= {f"bn_layer_list.{i}.{part}": 0.5 + torch.rand(3) for part in _NORM}
        torch.save({"model": [state], "step": 1}, folder / "checkpoint.pt")
        return [folder / "checkpoint.pt"]


_NORM = ("weight", "bias", "running_mean", "running_var")


def _is_sequence(source: Source, dilated: bool = False) -> bool:
    """Whether the one file is ``model.0``, ``model.2``, ... from images to images; seven layers are IRCNN's."""
    path = source.paths[0]
    if not {"model.0.weight", "model.2.weight", "model.4.weight"} & source.names[0]:
        return False
    state = source.state(path)
    numbers = _numbers(state, r"model\.(\d+)\.weight")
    first, last = (state[f"model.{i(numbers)}.weight"] for i in (min, max))
    same = first.ndim > 1 and last.ndim > 1 and first.shape[1] % 2 == last.shape[0] % 2  # FFDNet's inputs are odd
    return same and (max(numbers) == 12) == dilated


def _sequence(path: Path, state: Mapping[str, Tensor], dilations: tuple[int, ...] | None) -> MultiScaleModel:
    depth = 1 + max(_numbers(state, r"model\.(\d+)\.weight"), default=0) // 2
    weights = convolutions(path, state, "model.{}.weight", depth, 2)
    biases = [_needed(path, state, f"model.{2 * i}.bias", 1) for i in range(depth)]
    _no_more(path, state, {f"model.{2 * i}.{part}" for i in range(depth) for part in ("weight", "bias")})
    return _stack(path, weights, biases, dilations)


def _write_sequence(path: Path, depth: int, dilations: tuple[int, ...] | None) -> Path:
    ours = template({"name": _STACK, "width": 3, "depth": depth, "dilations": dilations})
    torch.save({f"model.{2 * int(n.split('.')[1])}.{n.split('.')[2]}": v for n, v in ours.items()}, path)
    return path


def _of_levels(content: object) -> dict[str, dict[str, Tensor]] | None:
    """State dicts by number, of a file that holds one network for each noise level."""
    if not isinstance(content, dict) or not content:
        return None
    fits = all(
        isinstance(k, str) and k.isdecimal() and isinstance(v, dict) and isinstance(v.get("model.0.weight"), Tensor)
        for k, v in content.items()
    )
    return content if fits else None


def _stack(
    path: Path, weights: list[Tensor], biases: list[Tensor] | None, dilations: tuple[int, ...] | None = None
) -> MultiScaleModel:
    network = {"name": _STACK, "width": len(weights[0]), "depth": len(weights), "bias": biases is not None}
    if dilations is not None:
        network["dilations"] = list(dilations)
    tensors = {f"layers.{i}.weight": weight for i, weight in enumerate(weights)}
    tensors |= {f"layers.{i}.bias": bias for i, bias in enumerate(biases or [])}
    return build(path, len(weights[-1]), network, tensors)


def _batch_norm(
    path: Path, state: Mapping[str, Tensor], norm: str, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """A convolution with torch's batch norm (eps 1e-5) of after it merged into it."""
    parts = [_of_length(path, norm, _needed(path, state, f"{norm}.{part}", 1), len(weight)) for part in _NORM]
    gain, shift, mean, variance = (part.double() for part in parts)
    scale = gain / (variance + 1e-5).sqrt()
    start = 0 if bias is None else _of_length(path, norm, bias, len(weight)).double()
    return weight.double() * scale[:, None, None, None], shift + (start - mean) * scale


def _needed(path: Path, state: Mapping[str, Tensor], name: str, dimensions: int) -> Tensor:
    if name not in state or state[name].ndim != dimensions:
        found = f"has {state[name].ndim} dimensions" if name in state else "is missing"
        raise CheckpointError(f"{path}: tensor {name} {found}; one of {dimensions} is expected")
    return state[name]


def _of_length(path: Path, name: str, vector: Tensor, length: int) -> Tensor:
    if vector.shape != (length,):
        raise CheckpointError(f"{path}: tensor {name} is {tuple(vector.shape)}, {(length,)} is expected")
    return vector


def _no_more(path: Path, state: Mapping[str, Tensor], used: set[str]) -> None:
    unknown = [n for n in state if n not in used and not n.endswith(".num_batches_tracked")]
    if unknown:
        raise CheckpointError(f"{path}: tensor {unknown[0]!r} is not one of this layout")


def _numbers(state: Mapping[str, Tensor], pattern: str) -> list[int]:
    return [int(m[1]) for m in (re.fullmatch(pattern, name) for name in state) if m and len(m[1]) < 5]
