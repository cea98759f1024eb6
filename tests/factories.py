"""Small models and recipes that the tests share; what a test is about, it says in the call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from mszoo.checkpoint.folder import CONFIG, WEIGHTS, checksum
from mszoo.model import MultiScaleModel

__all__ = ["SMOOTH", "chain", "denoiser", "energy", "gaussian", "identity", "network", "put_weights", "small_run"]

# Options that make of paper A's network one that an energy can be made of.
SMOOTH = {"norm": "none", "activation": "gelu", "noise_embedding": True}


def network(**options: Any) -> dict[str, Any]:
    """Configuration of paper A's network, as small as it gets; blind and with batch norm, unless told otherwise."""
    return {"name": "bias_free_cnn", "receptive_field": 5, "depth": 3, "width": 4, **options}


def chain(
    levels: int, conditioner: dict[str, Any], head: Any, channels: int = 1, basis: str = "haar"
) -> dict[str, Any]:
    """Configuration of a model with the same parts at each of its scales."""
    part = {"conditioner": conditioner, "head": head}
    split = {"basis": basis, "levels": levels, "detail": part} if levels else {}
    return {"channels": channels, "coarse": part, **split}


def denoiser(levels: int = 0, channels: int = 1, basis: str = "haar", seed: int = 0, **options: Any) -> MultiScaleModel:
    """A denoiser with fresh weights, in eval mode; ``options`` are those of its networks."""
    torch.manual_seed(seed)
    return MultiScaleModel.from_config(chain(levels, network(**options), "denoiser", channels, basis)).eval()


def identity(**options: Any) -> MultiScaleModel:
    """A denoiser, the same as :func:`denoiser`, that returns what it is given."""
    return _silent(denoiser(**options))


def energy(levels: int = 0, channels: int = 1, head: Any = None, seed: int = 0) -> MultiScaleModel:
    """A density with fresh weights, in eval mode: details anchored, the coarsest image by ``head`` (None: anchored)."""
    torch.manual_seed(seed)
    anchored = {"name": "anchored", "levels": 0}
    config = chain(levels, network(**SMOOTH), anchored, channels)
    config["coarse"] = {**config["coarse"], "head": head or anchored}
    return MultiScaleModel.from_config(config).eval()


def gaussian(levels: int = 0, mean: float = 0.5, variance: float | None = None) -> MultiScaleModel:
    """A density that is known: white pixels of some mean (and, without levels, of some variance; None: 1)."""
    model = _silent(energy(levels))
    with torch.no_grad():
        model.coarse.mean.fill_(mean * 2**levels)  # type: ignore[operator]
        if variance is not None:
            model.coarse.low_variance.fill_(variance)  # type: ignore[operator]
    return model


def small_run(*more: str, steps: int = 2) -> list[str]:
    """Overrides that make of the recipe ``smoke-denoiser`` a run of about a second; later ones win."""
    return [
        *(f"training.steps={steps}", "training.warmup=0", "training.batch_size=2", "training.calibration_batches=1"),
        *("data.test=null", "data.train.crop=16"),
        *more,
    ]


def put_weights(tensors: dict[str, torch.Tensor], folder: Path) -> None:
    """Other weights into a checkpoint, of which its configuration knows."""
    safetensors.torch.save_file(tensors, folder / WEIGHTS)
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, "weights_sha256": [checksum(folder / WEIGHTS)]}))


def _silent(model: MultiScaleModel) -> MultiScaleModel:
    """The networks answer nothing."""
    for head in model.scales:
        torch.nn.init.zeros_(head.conditioner.last.weight)  # type: ignore[arg-type]
    return model
