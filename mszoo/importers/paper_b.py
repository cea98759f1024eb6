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

import torch
from torch import Tensor

from mszoo.checkpoint.reading import difference, expected_shapes
from mszoo.errors import CheckpointError, MszooError
from mszoo.files import read_text
from mszoo.importers.base import Importer, Source
from mszoo.model import MultiScaleModel

__all__ = ["PaperB", "rename"]

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
# further values in args.json that change the network or its denoiser if they are set
_REFUSED_ARGS = {
    "embed_noise_level_in_range": "the range of its noise embedding is that of its noise levels, and ours is 1 to 100",
    "noise_covariance": "its noise is coloured, and ours is white",
}
_LARGEST_ARGS, _LONGEST_OPTIONS = 2**16, 1000  # bytes, and characters; theirs have 1300 and 120


class PaperB(Importer):
    """A training folder, or its ``model.pth.tar`` with ``args.json`` beside it: a single-scale model."""

    def recognizes(self, source: Source) -> bool:
        """See :meth:`Importer.recognizes`."""
        if len(source.paths) != 1:
            return False
        path = _file(source)
        if (path.parent / "args.json").exists() and (path.name == "model.pth.tar" or source.paths[0].is_dir()):
            return True
        return any(re.fullmatch(rf"{_PREFIX}encoder\.0\.1\.conditioning_embedding\.weight", n) for n in source.names[0])

    def convert(self, source: Source) -> MultiScaleModel:
        """See :meth:`Importer.convert`."""
        if len(source.paths) != 1:
            raise CheckpointError("paper B's model is one file, or one folder")
        path = _file(source)
        described = path.parent / "args.json"
        args = _arguments(described)
        head, options = _head(described, args), _options(described, args, "network_kwargs")
        tensors = _state(path, source)
        channels, width = _channels_and_width(path, tensors)
        halvings, depths = _size(tensors)
        _check(
            described, options, {"num_scales": halvings, "base_width": width, **dict(zip(_DEPTHS, depths, strict=True))}
        )
        depth = depths[0] if len(set(depths)) == 1 else list(depths)
        network = {"name": "unet", "width": width, "halvings": halvings, "depth": depth}
        config = {"channels": channels, "coarse": {"conditioner": network, "head": head}}
        try:
            renamed = {f"coarse.conditioner.{rename(k, halvings, depths[-1])}": v.float() for k, v in tensors.items()}
            expected = expected_shapes(config)
        except MszooError as error:
            raise CheckpointError(f"{path}: {error}") from None
        assert expected is not None  # our own parts can be built without memory
        found = {name: tuple(tensor.shape) for name, tensor in renamed.items()}
        if found != expected:
            raise CheckpointError(f"{path}: its tensors are not paper B's: {difference(expected, found)}")
        model = MultiScaleModel.from_config(config)
        model.load_state_dict(renamed)
        return model.eval()

    def write_example(self, folder: Path) -> list[Path]:
        """See :meth:`Importer.write_example`."""
        from mszoo.conditioners import UNet

        network = UNet(1, width=2, halvings=1, depth=2)
        ours = {name: 0.3 * torch.randn(tensor.shape) for name, tensor in network.state_dict().items()}
        theirs = [f"noise_var_embedding.time_embed.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")]
        parts = ("0.weight", "1.weight", "1.conditioning_embedding.weight", "1.conditioning_embedding.bias")
        for block in ("encoder.0", "middle_block", "decoder.0"):
            theirs += [f"{block}.{3 * layer + int(part[0])}{part[1:]}" for layer in (0, 1) for part in parts]
        state = {f"network.{name}": ours[rename(name, 1, 2)] for name in theirs[:-3]}  # the last layer has no norm
        torch.save({"step": 1, "state_dict": state}, folder / "model.pth.tar")
        kwargs = {"num_scales": 1, "base_width": 2, "group_size": 1, **dict.fromkeys(_DEPTHS, 2)}
        args = {"network": "UNet", "model": "EnergyModel", "reparam_kwargs": "{'conversion': 'inner_product'}"}
        (folder / "args.json").write_text(json.dumps({**args, "network_kwargs": str(kwargs)}), encoding="utf-8")
        return [folder / "model.pth.tar"]


def _file(source: Source) -> Path:
    """The weights' file and ``args.json`` of the one path."""
    path = source.paths[0]
    return path / "model.pth.tar" if path.is_dir() else path


def rename(name: str, halvings: int, depth: int) -> str:
    """Our name of one of the authors' tensors, in a :class:`~mszoo.conditioners.UNet`.

    Their blocks number convolution, norm and GELU one after the other, and their decoder its finest block first.

    Args:
        name: theirs.
        halvings: of the network.
        depth: layers of a decoder's block.

    Raises:
        CheckpointError: no such tensor.
    """

    def block(theirs: str) -> str:
        if theirs == "middle_block":
            return "middle"
        side, number = theirs.split(".")
        return f"encoder.{number}" if side == "encoder" else f"decoder.{halvings - 1 - int(number)}"

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


def _state(path: Path, source: Source) -> dict[str, Tensor]:
    content = source.read(path)
    state = content.get("state_dict") if isinstance(content, dict) else None
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())
    ):
        raise CheckpointError(f"{path} holds no state_dict of tensors")
    return state


def _channels_and_width(path: Path, tensors: dict[str, Tensor]) -> tuple[int, int]:
    for name, tensor in tensors.items():
        if re.fullmatch(rf"{_PREFIX}encoder\.0\.0\.weight", name) and tensor.ndim == 4:
            return tensor.shape[1], tensor.shape[0]
    raise CheckpointError(f"{path} has no four-dimensional tensor encoder.0.0.weight: it is not paper B's UNet")


def _size(tensors: dict[str, Tensor]) -> tuple[int, tuple[int, int, int]]:
    """Number of halvings, and layers in a block of the encoder, in the middle, and in a block of the decoder."""
    places = [m for m in map(_CONVOLUTION.match, tensors) if m]

    def layers(block: str) -> int:
        return len({m[2] for m in places if m[1] == block and int(m[2]) % 3 == 0})

    halvings = {m[1] for m in places if m[1].startswith("encoder")}
    return len(halvings), (layers("encoder.0"), layers("middle_block"), layers("decoder.0"))
