"""Import paper B's networks: the authors' names of weights, and ours."""

from __future__ import annotations

import re

from mszoo.errors import CheckpointError

__all__ = ["rename"]

_CONVOLUTION = re.compile(r"(?:module\.)?(encoder\.\d+|decoder\.\d+|middle_block)\.(\d+)\.weight\Z")
_MODULATION = re.compile(
    r"(?:module\.)?(encoder\.\d+|decoder\.\d+|middle_block)\.(\d+)\.conditioning_embedding\.(weight|bias)\Z"
)
_EMBEDDING = re.compile(r"(?:module\.)?noise_var_embedding\.time_embed\.([02])\.(weight|bias)\Z")


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
