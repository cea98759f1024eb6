"""Import paper A's checkpoints: the authors' state dicts become an ordinary mszoo model.

Their networks are homogeneous of degree 1 in eval mode, and all inputs of one network share the factor 2^(j+1) that
the authors divide level j by. So the factor cancels, and the weights run on plain orthonormal coefficients unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mszoo.conditioners.bias_free_cnn import wide_layers
from mszoo.errors import CheckpointError
from mszoo.model import MultiScaleModel
from mszoo.pickles import read_tensors
from mszoo.recipe import ModelConfig

__all__ = ["convert_flat", "convert_multi_scale"]

_CONVOLUTION = re.compile(r"(?:module\.)?conv_layers\.(\d+)\.weight\Z")
_NORM = re.compile(r"(?:module\.)?BN_layers\.(\d+)\.(running_sd|gammas)\Z")


def convert_multi_scale(low: Path, detail: Sequence[Path], basis: str = "haar") -> MultiScaleModel:
    """A multi-scale model from a low-pass checkpoint and conditional ones, finest first.

    Raises:
        CheckpointError: a file that is no such checkpoint; the message names the file and the tensor.
    """
    coarse, details = _Network.read(low), [_Network.read(path) for path in detail]
    channels = coarse.outputs
    if coarse.inputs != channels:
        raise CheckpointError(
            f"{low}: conv_layers.0.weight takes {coarse.inputs} channels and the last gives {channels}: "
            f"this is no low-pass model"
        )
    for path, network in zip(detail, details, strict=True):
        if (network.inputs, network.outputs) != (4 * channels, 3 * channels):
            raise CheckpointError(
                f"{path}: conv_layers.0.weight takes {network.inputs} channels and the last gives {network.outputs}, "
                f"a conditional model of {channels}-channel images takes {4 * channels} and gives {3 * channels}"
            )
    return _model([*details, coarse], channels, basis)


def convert_flat(path: Path) -> MultiScaleModel:
    """A pixel-domain model (no basis). Raises as :func:`convert_multi_scale`."""
    network = _Network.read(path)
    if network.inputs != network.outputs:
        raise CheckpointError(
            f"{path}: conv_layers.0.weight takes {network.inputs} channels and the last gives {network.outputs}: "
            f"this is no pixel-domain model (a conditional one goes under --detail)"
        )
    return _model([network], network.outputs, None)


@dataclass(frozen=True)
class _Network:
    """One of the authors' networks: its weights under our names, and what its shapes say."""

    tensors: dict[str, Tensor]
    inputs: int
    outputs: int
    width: int
    depth: int
    receptive_field: int

    @classmethod
    def read(cls, path: Path) -> _Network:
        state = read_tensors(path).value
        if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
            raise CheckpointError(f"{path} holds no state dict of tensors")
        convolutions = {int(m[1]): v for k, v in state.items() if (m := _CONVOLUTION.match(str(k)))}
        norms = {(int(m[1]), m[2]): v for k, v in state.items() if (m := _NORM.match(str(k)))}
        unknown = [k for k in state if not _CONVOLUTION.match(str(k)) and not _NORM.match(str(k))]
        if unknown or not convolutions:
            what = f"tensor {unknown[0]!r} is not one of paper A's" if unknown else "it has no conv_layers"
            raise CheckpointError(f"{path}: {what}")
        return cls._named(path, convolutions, norms)

    @classmethod
    def _named(cls, path: Path, convolutions: dict[int, Tensor], norms: dict[tuple[int, str], Tensor]) -> _Network:
        depth, first = len(convolutions), convolutions.get(0)
        if first is None or first.ndim != 4 or depth < 3 or sorted(convolutions) != list(range(depth)):
            raise CheckpointError(f"{path}: conv_layers are not numbered 0, 1, ... with four-dimensional weights")
        width, inputs, outputs = first.shape[0], first.shape[1], convolutions[depth - 1].shape[0]
        wide = {i for i, w in convolutions.items() if w.shape[-1] == 3}
        field = 2 * len(wide) + 1
        try:
            expected_wide = wide_layers(field, depth) | {0, depth - 1}
        except ValueError as error:
            raise CheckpointError(f"{path}: conv_layers: {error}") from None
        tensors: dict[str, Tensor] = {}

        def take(name: str, ours: str, given: Tensor | None, shape: tuple[int, ...]) -> None:
            if given is None or given.shape != shape:
                found = "missing" if given is None else f"of shape {tuple(given.shape)}"
                raise CheckpointError(
                    f"{path}: tensor {name} is {found}; {shape} is expected in a network of {depth} layers, "
                    f"{width} channels and receptive field {field}"
                )
            tensors[ours] = given.float()

        for i, weight in convolutions.items():
            size = 3 if i in expected_wide else 1
            shape = (outputs if i == depth - 1 else width, inputs if i == 0 else width, size, size)
            ours = "first" if i == 0 else "last" if i == depth - 1 else f"inner.{i - 1}"
            take(f"conv_layers.{i}.weight", f"{ours}.weight", weight, shape)
        for i in range(depth - 2):
            for theirs, ours in (("running_sd", "running_std"), ("gammas", "gain")):
                name = f"norms.{i}.{ours}"
                take(f"BN_layers.{i}.{theirs}", name, norms.get((i, theirs)), (1, width, 1, 1))
                tensors[name] = tensors[name].reshape(width)
        return cls(tensors, inputs, outputs, width, depth, field)


def _model(networks: list[_Network], channels: int, basis: str | None) -> MultiScaleModel:
    scales = [
        {
            "conditioner": {
                "name": "bias_free_cnn",
                "receptive_field": n.receptive_field,
                "width": n.width,
                "depth": n.depth,
            },
            "head": "denoiser",
        }
        for n in networks
    ]
    config = {
        "channels": channels,
        "basis": basis,
        "levels": len(networks) - 1,
        "detail": scales[:-1],
        "coarse": scales[-1],
    }
    model = MultiScaleModel.from_config(ModelConfig.model_validate(config))
    for head, network in zip(model.scales, networks, strict=True):
        head.conditioner.load_state_dict(network.tensors)
    return model.eval()
