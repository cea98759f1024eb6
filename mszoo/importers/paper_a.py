"""Import paper A's checkpoints: the authors' state dicts become an ordinary mszoo model.

Their networks are homogeneous of degree 1 in eval mode, and all inputs of one network share the factor 2^(j+1) that
the authors divide level j by. So the factor cancels, and the weights run on plain orthonormal coefficients unchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mszoo.conditioners.bias_free_cnn import wide_layers
from mszoo.errors import CheckpointError
from mszoo.importers.base import Importer, Source
from mszoo.model import MultiScaleModel
from mszoo.recipe import ModelConfig

__all__ = ["PaperA"]

_CONVOLUTION = re.compile(r"conv_layers\.(\d+)\.weight\Z")
_NORM = re.compile(r"BN_layers\.(\d+)\.(running_sd|gammas)\Z")


class PaperA(Importer):
    """One file: a pixel-domain model. Several: a low-pass model and conditional ones, the conditional finest first.

    The shapes of its tensors show which file is the low-pass model.

    Args:
        basis: the wavelet basis that several were trained on.
    """

    def __init__(self, *, basis: str = "haar") -> None:
        self.basis = basis

    def recognizes(self, source: Source) -> bool:
        """See :meth:`Importer.recognizes`."""
        found = source.names
        return bool(found) and all(
            any(map(_CONVOLUTION.match, names)) and any(name.startswith("BN_layers.") for name in names)
            for names in found
        )

    def convert(self, source: Source) -> MultiScaleModel:
        """See :meth:`Importer.convert`."""
        networks = [_Network.read(path, source.state(path)) for path in source.paths]
        coarse = [n for n in networks if n.inputs == n.outputs]
        if len(coarse) != 1:
            found = ", ".join(f"{n.path} takes {n.inputs} channels and gives {n.outputs}" for n in networks)
            raise CheckpointError(
                f"one pixel-domain or low-pass model is needed, which gives as many channels as it takes; {found}"
            )
        channels = coarse[0].outputs
        details = [n for n in networks if n is not coarse[0]]
        for n in details:
            if (n.inputs, n.outputs) != (4 * channels, 3 * channels):
                raise CheckpointError(
                    f"{n.path}: conv_layers.0.weight takes {n.inputs} channels and the last gives {n.outputs}, "
                    f"a conditional model of {channels}-channel images takes {4 * channels} and gives {3 * channels}"
                )
        return _model([*details, *coarse], channels, self.basis if details else None)

    def write_example(self, folder: Path) -> list[Path]:
        """See :meth:`Importer.write_example`."""
        paths = [folder / "scale0.pt", folder / "low.pt"]
        for path, inputs, outputs in zip(paths, (4, 1), (3, 1), strict=True):
            shapes = [(4, inputs, 3, 3), (4, 4, 1, 1), (4, 4, 3, 3), (outputs, 4, 3, 3)]
            state = {f"module.conv_layers.{i}.weight": 0.3 * torch.randn(shape) for i, shape in enumerate(shapes)}
            for i in range(len(shapes) - 2):
                state[f"module.BN_layers.{i}.running_sd"] = 0.5 + torch.rand(1, 4, 1, 1)
                state[f"module.BN_layers.{i}.gammas"] = torch.randn(1, 4, 1, 1)
            torch.save(state, path)
        return paths


@dataclass(frozen=True)
class _Network:
    """One of the authors' networks: its weights under our names, and what its shapes say."""

    path: Path
    tensors: dict[str, Tensor]
    inputs: int
    outputs: int
    width: int
    depth: int
    receptive_field: int

    @classmethod
    def read(cls, path: Path, state: dict[str, Tensor]) -> _Network:
        convolutions = {int(m[1]): v for k, v in state.items() if (m := _CONVOLUTION.match(k))}
        norms = {(int(m[1]), m[2]): v for k, v in state.items() if (m := _NORM.match(k))}
        unknown = [k for k in state if not _CONVOLUTION.match(k) and not _NORM.match(k)]
        if unknown or not convolutions:
            what = f"tensor {unknown[0]!r} is not one of paper A's" if unknown else "it has no conv_layers"
            raise CheckpointError(f"{path}: {what}")
        return cls._named(path, convolutions, norms)

    @classmethod
    def _named(cls, path: Path, convolutions: dict[int, Tensor], norms: dict[tuple[int, str], Tensor]) -> _Network:
        depth, first = len(convolutions), convolutions.get(0)
        if (
            first is None
            or any(w.ndim != 4 for w in convolutions.values())
            or depth < 3
            or sorted(convolutions) != list(range(depth))
        ):
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
        return cls(path, tensors, inputs, outputs, width, depth, field)


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
