"""From a checkpoint folder to a model. The folder may be anyone's: nothing in it is run, nor believed.

What a configuration asks for is built without memory first, and held against the tensors that are really there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
import torch
from torch import nn

from mszoo import checkpoint
from mszoo.claims import check_claims
from mszoo.errors import CheckpointError, MszooError, UnsupportedError
from mszoo.heads.normalization import Constant
from mszoo.model import MultiScaleModel

__all__ = ["expected_shapes", "read_model"]

_CONSTANTS = pydantic.TypeAdapter(list[Constant])


def read_model(folder: str | Path, device: str | torch.device = "cpu") -> MultiScaleModel:
    """Read a checkpoint folder, in eval mode.

    Raises:
        CheckpointError: it is not whole, or its files do not fit together; the message names the file.
        UnsupportedError: no such device on this machine.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0]
        raise UnsupportedError(
            f"device {str(device)!r} cannot be used here: {reason}; use cpu, or cuda, or mps"
        ) from None
    folder = Path(folder)
    config, shapes = checkpoint.read_config(folder), checkpoint.read_shapes(folder)
    try:
        check_claims(config.get("components", []))
        expected = expected_shapes(config["model"])
    except MszooError as error:
        raise CheckpointError(f"{folder}: its {checkpoint.CONFIG} cannot be built: {error}") from None
    try:
        if expected is not None and expected != shapes:
            raise RuntimeError(_difference(expected, shapes))
        model = MultiScaleModel.from_config(config["model"])
        model.load_state_dict(checkpoint.read_tensors(folder))
    except RuntimeError as error:
        raise CheckpointError(f"{folder}: weights and {checkpoint.CONFIG} do not match: {error}") from None
    try:
        constants = _CONSTANTS.validate_python(config.get("constants", []))
    except pydantic.ValidationError as error:
        raise CheckpointError(f"{folder}: constants of its {checkpoint.CONFIG}: {error}") from None
    model.eval().constants.update((c.size, c) for c in constants)
    model.folder = folder
    return model.to(device).eval()


def expected_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]] | None:
    """Names and shapes of the tensors of a configured model, without allocating them.

    None if a part (a plugin's) computes with values while it is built: such a part cannot be built without memory.

    Raises:
        OptionsError: unknown parts or options, or parts that do not fit.
    """
    try:
        with torch.device("meta"):
            model: nn.Module = MultiScaleModel.from_config(config)
    except MszooError:
        raise
    except Exception:  # whatever a part does with values that are not there
        return None
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _difference(expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> str:
    """The first few tensors that are missing, unknown or of another shape, and how many more."""
    faults = [f"{name} is missing" for name in expected if name not in found]
    faults += [f"{name} is not of this model" for name in found if name not in expected]
    faults += [
        f"{name} should be {tuple(shape)}, is {found[name]}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
    return ", ".join(faults[:3]) + more
