"""A larger network from a smaller one, which computes the same at first.

Old channels keep their weights and do not hear the new ones: what leads from a new channel to an old one starts as
zero, all else that is new as it would in a fresh network. New residual blocks are the identity if they start as that,
as those of ``bias_free_unet`` do. Net2Net's idea (Chen, Goodfellow, Shlens, ICLR 2016, arXiv 1511.05641).
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from mszoo.errors import TrainingError
from mszoo.model import MultiScaleModel

__all__ = ["check_growth", "grow"]

_Shapes = dict[str, tuple[int, ...]]
_SIDE = 32  # of the images, at least, on which a grown model is held against the smaller one


def grow(model: MultiScaleModel, smaller: MultiScaleModel, name: str) -> None:
    """Give a model the weights of one of the same kinds of parts, with fewer channels or residual blocks.

    Args:
        model: with fresh weights, which are kept where the smaller one has none.
        smaller: the other, in eval mode; it may be of the same size.
        name: what to call it in messages.

    Raises:
        TrainingError: it is of another kind, or larger; or the grown model would not compute the same, because its
            layers mix channels (a norm over them, or features joined side by side) or new ones are not residual.
    """
    shapes = [{n: tuple(t.shape) for n, t in m.state_dict().items()} for m in (smaller, model)]
    check_growth(smaller.config(), model.config(), *shapes, name=name)
    weights = model.state_dict()
    outputs = _output_dimensions(model)
    with torch.no_grad():
        for key, old in smaller.state_dict().items():
            new, first = weights[key], outputs.get(key, 0)
            if old.shape != new.shape:
                new.narrow(first, 0, old.shape[first]).zero_()
            new[tuple(slice(size) for size in old.shape)] = old
    for j in range(model.levels + 1):
        if not _same_function(smaller, model, j):
            raise TrainingError(
                f"training.init: the network of scale {j} cannot be grown from that of {name}: with more channels or "
                f"layers it computes something else at first, since a norm mixes new channels with old ones, features "
                f"are joined side by side, or a new layer is not the identity; give it the size of {name}'s"
            )


def check_growth(smaller: dict[str, Any], larger: dict[str, Any], old: _Shapes, new: _Shapes, *, name: str) -> None:
    """Compare two models' configurations and the shapes of their tensors.

    Args:
        smaller, larger: configurations, as :meth:`MultiScaleModel.config` gives them.
        old, new: shapes of the smaller's tensors and of the larger's.
        name: what to call the smaller in messages.

    Raises:
        TrainingError: other parts, or tensors that the larger does not have, or not as large.
    """
    if _kinds(smaller) != _kinds(larger):
        raise TrainingError(f"training.init: {name} is another model: its basis, networks or heads differ")
    for key, size in old.items():
        held = new.get(key)
        if held is None or len(held) != len(size) or any(n < o for n, o in zip(held, size, strict=True)):
            here = f"of shape {held}" if held else "missing"
            raise TrainingError(
                f"training.init: {name} is another model: its {key} of shape {size} is {here} here; "
                f"a network can take over one of fewer channels or residual blocks, none that has more"
            )


def _kinds(config: dict[str, Any]) -> dict[str, Any]:
    """A model's configuration without the options of its conditioners."""

    def scale(given: dict[str, Any]) -> dict[str, Any]:
        return {**given, "conditioner": given["conditioner"]["name"]}

    return {**config, "detail": [scale(s) for s in config["detail"]], "coarse": scale(config["coarse"])}


def _output_dimensions(model: nn.Module) -> dict[str, int]:
    """The dimension of the output channels, for weights where it is not the first."""
    transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    return {f"{name}.weight": 1 for name, module in model.named_modules() if isinstance(module, transposed)}


@torch.no_grad()
def _same_function(one: MultiScaleModel, other: MultiScaleModel, j: int) -> bool:
    """Whether the heads of scale j denoise noise of several levels alike."""
    generator, unit = torch.Generator().manual_seed(0), math.lcm(one.unit, other.unit)
    side = math.ceil(_SIDE / unit) * unit
    x = torch.rand(3, one.channels, side, side, generator=generator)
    clean, cond = one.decompose(x)[j]
    t = torch.tensor([1e-4, 1e-2, 1.0])
    y = clean + t.sqrt()[:, None, None, None] * torch.randn(clean.shape, generator=generator)
    found: list[Tensor] = []
    for model in (one, other):
        head = copy.deepcopy(model.scales[j]).eval()  # a norm of the model itself stays in its mode
        found.append(head.denoise(y, t, cond))
    return bool((found[0] - found[1]).abs().max() <= 1e-4 * found[0].abs().max())
