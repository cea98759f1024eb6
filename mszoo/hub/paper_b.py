"""Import paper B's networks: an authors' training folder becomes an ordinary mszoo model.

Their ``model.pth.tar`` is a pickle of Python objects of all sorts, with the weights among them; ``args.json`` beside
it says what they mean. Nothing of the pickle is run: only tensors and plain containers are built, and of anything else
an empty stand-in that knows its name.
"""

from __future__ import annotations

import ast
import collections
import json
import pickle
import re
import types
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mszoo.conditioners import UNet
from mszoo.errors import CheckpointError
from mszoo.model import MultiScaleModel

__all__ = ["convert", "rename"]

_PREFIX = r"(?:module\.)?(?:network\.)?"
_BLOCK = r"(encoder\.\d+|decoder\.\d+|middle_block)"
_CONVOLUTION = re.compile(rf"{_PREFIX}{_BLOCK}\.(\d+)\.weight\Z")
_MODULATION = re.compile(rf"{_PREFIX}{_BLOCK}\.(\d+)\.conditioning_embedding\.(weight|bias)\Z")
_EMBEDDING = re.compile(rf"{_PREFIX}noise_var_embedding\.time_embed\.([02])\.(weight|bias)\Z")
# model and conversion in args.json, and our head
_HEADS = {
    ("EnergyModel", "inner_product"): "inner_product",
    ("EnergyModel", "squared_norm"): "squared_norm",
    ("DenoiserModel", None): "score",
}


def convert(path: Path) -> tuple[MultiScaleModel, list[str]]:
    """A single-scale model from ``model.pth.tar`` and the ``args.json`` beside it.

    Args:
        path: the file, or its folder.

    Returns:
        The model in eval mode, and the names of what in the file was no tensor and was not built.

    Raises:
        CheckpointError: a file that is no such checkpoint, or a network that is not paper B's U-Net.
    """
    path = path / "model.pth.tar" if path.is_dir() else path
    head = _head(path.parent / "args.json")
    tensors, refused = _read(path)
    model = MultiScaleModel.from_config(
        {"channels": _channels(path, tensors), "coarse": {"conditioner": _options(path, tensors), "head": head}}
    )
    network = model.coarse.conditioner
    assert isinstance(network, UNet)
    scales, depth = len(network.encoder), len(network.encoder[0])  # type: ignore[arg-type]
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        try:
            renamed[rename(name, scales, depth)] = tensor.float()
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from None
    expected = network.state_dict()
    for name, tensor in expected.items():
        if name not in renamed or renamed[name].shape != tensor.shape:
            found = f"of shape {tuple(renamed[name].shape)}" if name in renamed else "missing"
            raise CheckpointError(f"{path}: the tensor for {name} is {found}, {tuple(tensor.shape)} is expected")
    network.load_state_dict(renamed)
    return model.eval(), refused


def rename(name: str, scales: int, depth: int) -> str:
    """Our name of one of the authors' tensors, in a :class:`~mszoo.conditioners.UNet` of these scales and depth.

    Their blocks number convolution, norm and GELU one after the other, and their decoder its finest block first.

    Raises:
        CheckpointError: no such tensor.
    """

    def block(theirs: str) -> str:
        if theirs == "middle_block":
            return "middle"
        side, number = theirs.split(".")
        return f"encoder.{number}" if side == "encoder" else f"decoder.{scales - 1 - int(number)}"

    if match := _EMBEDDING.match(name):
        return f"embedding.network.{match[1]}.{match[2]}"
    if match := _MODULATION.match(name):
        return f"{block(match[1])}.{int(match[2]) // 3}.norm.modulation.{match[3]}"
    if match := _CONVOLUTION.match(name):
        layer, part = divmod(int(match[2]), 3)
        if match[1] == "decoder.0" and (layer, part) == (depth - 1, 0):
            return "last.weight"
        if part < 2:
            return f"{block(match[1])}.{layer}.{('convolution.weight', 'norm.gain')[part]}"
    raise CheckpointError(f"tensor {name!r} is not one of paper B's")


def _head(path: Path) -> str:
    """Our head's name, from args.json."""
    try:
        args = json.loads(path.read_text(encoding="utf-8"))
        given = args["network"], args["model"], ast.literal_eval(args["reparam_kwargs"])
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: it says what the network's output means") from None
    except (OSError, ValueError, KeyError, TypeError, SyntaxError) as error:
        raise CheckpointError(f"{path} cannot be read: {type(error).__name__}: {error}") from None
    network, model, options = given
    if network != "UNet":
        raise CheckpointError(f"{path}: the network is a {network}; only paper B's UNet can be converted")
    options = dict(options)
    conversion = options.pop("conversion", None)
    plain = {"output_scaling": 1, "residual": True} if model == "DenoiserModel" else {}
    if (model, conversion) not in _HEADS or options != plain:
        raise CheckpointError(
            f"{path}: {model} with reparam_kwargs {args['reparam_kwargs']} is none of paper B's: an EnergyModel with "
            f"conversion inner_product or squared_norm, or a DenoiserModel with output_scaling 1 and residual"
        )
    return _HEADS[model, conversion]


def _read(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The state dict, and what was refused."""
    refused: list[str] = []

    class Restricted(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) == ("collections", "OrderedDict"):
                return collections.OrderedDict
            if (module, name) in (("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_parameter")):
                return super().find_class(module, name)
            if module == "torch" and name.endswith("Storage") and name.removesuffix("Storage").isalpha():
                return getattr(torch, name)
            refused.append(f"{module}.{name}")
            return type("Refused", (_Refused,), {})

    reader = types.SimpleNamespace(
        Unpickler=Restricted, load=lambda file, **options: Restricted(file, **options).load(), __name__="restricted"
    )
    try:
        content = torch.load(path, map_location="cpu", pickle_module=reader, weights_only=False)
    except FileNotFoundError:
        raise CheckpointError(f"no such file: {path}") from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile, *_MALFORMED) as error:
        raise CheckpointError(f"{path} is no PyTorch file ({type(error).__name__}: {error})") from None
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"{path} holds no state_dict of tensors")
    return dict(state), list(dict.fromkeys(refused))


_MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)


class _Refused:
    """Stands for an object that was not built: takes whatever a pickle gives it, and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


def _shape(path: Path, tensors: dict[str, Tensor], name: str) -> tuple[int, ...]:
    for key, tensor in tensors.items():
        if re.fullmatch(_PREFIX + re.escape(name), key) and tensor.ndim == 4:
            return tuple(tensor.shape)
    raise CheckpointError(f"{path} has no four-dimensional tensor {name}: it is not paper B's UNet")


def _blocks(tensors: dict[str, Tensor]) -> tuple[int, int]:
    """Number of encoder blocks, and of layers in each."""
    places = [m for m in map(_CONVOLUTION.match, tensors) if m and m[1].startswith("encoder")]
    scales = {m[1] for m in places}
    depth = {int(m[2]) for m in places if m[1] == "encoder.0" and int(m[2]) % 3 == 0}
    return len(scales), len(depth)


def _channels(path: Path, tensors: dict[str, Tensor]) -> int:
    return _shape(path, tensors, "encoder.0.0.weight")[1]


def _options(path: Path, tensors: dict[str, Tensor]) -> dict[str, Any]:
    scales, depth = _blocks(tensors)
    width = _shape(path, tensors, "encoder.0.0.weight")[0]
    return {"name": "unet", "width": width, "scales": scales, "depth": depth}
