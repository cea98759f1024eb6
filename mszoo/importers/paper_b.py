"""Import paper B's networks: an authors' training folder becomes an ordinary mszoo model.

Their ``model.pth.tar`` is a pickle of Python objects of all sorts, with the weights among them; ``args.json`` beside
it says what they mean. Nothing of the pickle is run: only tensors and plain containers are built, and of anything else
an empty stand-in that knows its name.

Most options of their network leave every tensor's shape unchanged, but not what it computes: ``args.json`` alone tells
that a network is paper B's, so an option that ours does not have is refused.
"""

from __future__ import annotations

import ast
import json
import re
import reprlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from mszoo.checkpoint.reading import difference, expected_shapes
from mszoo.errors import CheckpointError, MszooError
from mszoo.files import read_text
from mszoo.model import MultiScaleModel
from mszoo.pickles import read_tensors

__all__ = ["convert", "rename"]

_PREFIX = r"(?:module\.)?(?:network\.)?"
_BLOCK = r"(encoder\.\d+|decoder\.\d+|middle_block)"
_CONVOLUTION = re.compile(rf"{_PREFIX}{_BLOCK}\.(\d+)\.weight\Z")
_MODULATION = re.compile(rf"{_PREFIX}{_BLOCK}\.(\d+)\.conditioning_embedding\.(weight|bias)\Z")
_EMBEDDING = re.compile(rf"{_PREFIX}noise_var_embedding\.time_embed\.([02])\.(weight|bias)\Z")

# model and reparam_kwargs in args.json, and our head
_HEADS = [
    ("EnergyModel", {"conversion": "inner_product"}, "inner_product"),
    ("EnergyModel", {"conversion": "squared_norm"}, "squared_norm"),
    ("DenoiserModel", {"output_scaling": 1, "residual": True}, "score"),
]
# network_kwargs in args.json: what our unet computes, whatever the tensors ...
_COMPUTED = {
    "group_size": 1,
    "num_groups": None,
    "noise_conditioning": True,
    "t_min": 1,
    "t_max": 100,
    "kernel_size": 3,
    "padding": 1,
    "non_linearity": "GELU",
    "normalization": "Normalization",
    "homogeneous": True,
    "learnable": True,
    "conditioning_shift": False,
    "center": True,
    "normalize_by": "stddev",
    "preserve_scale": False,
    "eps": 1e-5,
    "symmetric_eps": False,
    "use_statistics": "input",
    "momentum": 0.9,
}
# ... and the authors' defaults of the size, and of the one option above whose default is not the paper's
_DEPTHS = ("num_layers_encoder_block", "num_layers_mid_block", "num_layers_decoder_block")
_DEFAULTS = {"num_scales": 3, "base_width": 64, **dict.fromkeys(_DEPTHS, 2), "group_size": 8}
# what else in args.json changes the network or its denoiser, where it is set
_REFUSED_ARGS = {
    "embed_noise_level_in_range": "the range of its noise embedding is that of its noise levels, and ours is 1 to 100",
    "noise_covariance": "its noise is coloured, and ours is white",
}
_LARGEST_ARGS, _LONGEST_OPTIONS = 2**16, 1000  # bytes, and characters; theirs have 1300 and 120


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
    described = path.parent / "args.json"
    args = _arguments(described)
    head, options = _head(described, args), _options(described, args, "network_kwargs")
    tensors, refused = _read(path)
    channels, width = _channels_and_width(path, tensors)
    scales, depth = _blocks(tensors)
    _check(described, options, {"num_scales": scales, "base_width": width, **dict.fromkeys(_DEPTHS, depth)})
    network = {"name": "unet", "width": width, "scales": scales, "depth": depth}
    config = {"channels": channels, "coarse": {"conditioner": network, "head": head}}
    try:
        renamed = {f"coarse.conditioner.{rename(k, scales, depth)}": v.float() for k, v in tensors.items()}
        expected = expected_shapes(config)
    except MszooError as error:
        raise CheckpointError(f"{path}: {error}") from None
    assert expected is not None  # our own parts can be built without memory
    found = {name: tuple(tensor.shape) for name, tensor in renamed.items()}
    if found != expected:
        raise CheckpointError(f"{path}: its tensors are not paper B's: {difference(expected, found)}")
    model = MultiScaleModel.from_config(config)
    model.load_state_dict(renamed)
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


def _arguments(path: Path) -> dict[str, Any]:
    """What args.json holds."""
    try:
        args = json.loads(read_text(path, _LARGEST_ARGS))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: it says what the network's output means") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {type(error).__name__}: {error}") from None
    for name in ("network", "model", "network_kwargs", "reparam_kwargs"):
        if not isinstance(args, dict) or name not in args:
            raise CheckpointError(f"{path} is not of the authors' training: it has no {name}")
    if args["network"] != "UNet":
        network = reprlib.repr(args["network"])
        raise CheckpointError(f"{path}: the network is {network}; only paper B's UNet can be converted")
    for name, reason in _REFUSED_ARGS.items():
        if args.get(name):
            raise CheckpointError(f"{path}: {name} is {reprlib.repr(args[name])}: {reason}")
    return args


def _options(path: Path, args: dict[str, Any], name: str) -> dict[str, Any]:
    """Keyword arguments in args.json: an object, or the text of a Python dict or of a JSON object."""
    options = args[name]
    with suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        if isinstance(options, str) and len(options) <= _LONGEST_OPTIONS:
            options = ast.literal_eval(_Literal().visit(ast.parse(options.strip(), mode="eval")))
    if not isinstance(options, dict):
        given = reprlib.repr(options)
        raise CheckpointError(
            f"{path}: {name} cannot be read: {given} is no dict of plain values, as {{'group_size': 1}}"
        )
    return options


class _Literal(ast.NodeTransformer):
    """Turns an expression of the authors' into a literal: ``dict(non_linearity=nn.ReLU)`` into a dict with "ReLU"."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant({"true": True, "false": False, "null": None}.get(node.id, node.id))  # JSON's names

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return ast.Constant(node.attr)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if not isinstance(node.func, ast.Name) or node.func.id != "dict" or node.args:
            return node
        keys: list[ast.expr | None] = [ast.Constant(k.arg) for k in node.keywords]
        return self.visit(ast.Dict(keys, [k.value for k in node.keywords]))


def _head(path: Path, args: dict[str, Any]) -> str:
    """Our head's name."""
    given = _options(path, args, "reparam_kwargs")
    effective = {k: v for k, v in given.items() if v is not None and v is not False}  # as all are by default
    for model, options, head in _HEADS:
        if (args["model"], effective) == (model, options):
            return head
    raise CheckpointError(
        f"{path}: {reprlib.repr(args['model'])} with reparam_kwargs {reprlib.repr(given)} is none of paper B's: "
        f"an EnergyModel with conversion inner_product or squared_norm, or a DenoiserModel with output_scaling 1 and "
        f"residual"
    )


def _check(path: Path, given: dict[str, Any], size: dict[str, int]) -> None:
    """Refuse network_kwargs of a network that is not of this size, or computes something else than ours."""
    ours = {**_COMPUTED, **size}
    for name, value in {**_DEFAULTS, **given}.items():
        if name in ours and value == ours[name]:
            continue
        if name in size:
            why = f"the tensors have {size[name]}"
        elif name in ours:
            why = f"only networks with {name} = {ours[name]!r}, as paper B's, can be converted"
        else:
            why = "paper B's UNet has no such option"
        default = "" if name in given else " (not given: the authors' default)"
        raise CheckpointError(
            f"{path}: network_kwargs: {reprlib.repr(name)} is {reprlib.repr(value)}{default}, but {why}"
        )


def _read(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The state dict, and what was refused."""
    contents = read_tensors(path)
    content = contents.value
    state = content.get("state_dict") if isinstance(content, dict) else None
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())
    ):
        raise CheckpointError(f"{path} holds no state_dict of tensors")
    return dict(state), contents.refused


def _channels_and_width(path: Path, tensors: dict[str, Tensor]) -> tuple[int, int]:
    for name, tensor in tensors.items():
        if re.fullmatch(rf"{_PREFIX}encoder\.0\.0\.weight", name) and tensor.ndim == 4:
            return tensor.shape[1], tensor.shape[0]
    raise CheckpointError(f"{path} has no four-dimensional tensor encoder.0.0.weight: it is not paper B's UNet")


def _blocks(tensors: dict[str, Tensor]) -> tuple[int, int]:
    """Number of encoder blocks, and of layers in each."""
    places = [m for m in map(_CONVOLUTION.match, tensors) if m and m[1].startswith("encoder")]
    scales = {m[1] for m in places}
    depth = {int(m[2]) for m in places if m[1] == "encoder.0" and int(m[2]) % 3 == 0}
    return len(scales), len(depth)
