"""From tensors under our names to a model, with an error that names the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import mszoo
from mszoo.errors import CheckpointError
from mszoo.importers import Source

__all__ = ["build", "convolutions", "only_file", "template"]


def only_file(source: Source) -> tuple[Path, dict[str, Tensor]]:
    """The one file and its state dict. Raises CheckpointError for several."""
    if len(source.paths) != 1:
        raise CheckpointError(f"this layout is one file, got {len(source.paths)}")
    return source.paths[0], source.state(source.paths[0])


def convolutions(path: Path, state: Mapping[str, Tensor], pattern: str, count: int, stride: int = 1) -> list[Tensor]:
    """Weights of numbered convolutions, ``pattern`` with 0, stride, 2 stride, ...; four-dimensional.

    Args:
        path: of the file, for errors.
        state: its tensors.
        pattern: a name with ``{}`` for the number.
        count: how many.
        stride: between two numbers.
    """
    names = [pattern.format(stride * i) for i in range(count)]
    for name in names:
        if name not in state or state[name].ndim != 4:
            raise CheckpointError(f"{path}: there is no {name} of four dimensions")
    return [state[name] for name in names]


def build(
    path: Path, channels: int, network: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> mszoo.MultiScaleModel:
    """A model of one scale, in eval mode.

    Args:
        path: of the file, for errors.
        channels: of its images.
        network: the conditioner's name and options.
        tensors: by the conditioner's names.

    Raises:
        CheckpointError: a tensor that is missing, unknown or of another shape.
    """
    config = {"channels": channels, "coarse": {"conditioner": dict(network), "head": "denoiser"}}
    try:
        with torch.device("meta"):  # nothing is allocated before the shapes are known to be those of the file
            expected = mszoo.MultiScaleModel.from_config(config).coarse.conditioner.state_dict()
    except mszoo.MszooError as error:
        raise CheckpointError(f"{path}: {error}") from None
    for name in [*expected, *tensors]:
        if name not in tensors or name not in expected or tensors[name].shape != expected[name].shape:
            given = f"is {tuple(tensors[name].shape)}" if name in tensors else "is missing"
            wanted = f"{tuple(expected[name].shape)} is expected" if name in expected else "is not of this network"
            raise CheckpointError(f"{path}: its tensor for {name} {given}, {wanted}")
    model = mszoo.MultiScaleModel.from_config(config)
    model.coarse.conditioner.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return model.eval()


def template(network: Mapping[str, Any], channels: int = 1) -> dict[str, Tensor]:
    """Random weights of a conditioner, for examples."""
    options = dict(network)
    return mszoo.create("conditioner", options.pop("name"), channels, **options).state_dict()
