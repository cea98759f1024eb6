"""Backbones of timm as conditioners: an image in, its pooled features out."""

from __future__ import annotations

import math
from typing import Any

import timm
from torch import Tensor, nn

from mszoo.conditioners import Conditioner
from mszoo.errors import IncompatiblePartsError

__all__ = ["Backbone"]

_NOT_SMOOTH = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.MaxPool2d)
_BATCH_NORMS = (nn.modules.batchnorm._BatchNorm,)


class Backbone(Conditioner):
    """A timm model without its classifier: y (B, C, H, W) to features (B, n). Blind; sees the whole image.

    Energies are differentiated twice, image by image. So models with batch norm, with activations that have kinks, or
    with random parts are refused; fused attention, which has no second derivative, is switched off.

    Args:
        channels: of y.
        cond_channels: of the clean coarser image, which is concatenated to y.
        model: a name of timm's, such as ``convnext_atto`` or ``vit_tiny_patch16_224``.
        image_size: height and width, for models that need to know (attention with learned positions).
        options: further arguments of ``timm.create_model``.

    Raises:
        IncompatiblePartsError: no such model, or one that is no part of an energy; the reason is given.
    """

    takes_t = False
    batch_independent = True
    smooth = True
    example_head = {"name": "timm/pooled_energy"}  # noqa: RUF012  # for mszoo.testing

    def __init__(
        self,
        channels: int,
        cond_channels: int = 0,
        *,
        model: str = "convnext_atto",
        image_size: int | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(channels, cond_channels)
        settings = {"num_classes": 0, "in_chans": channels + cond_channels, **(options or {})}
        if image_size is not None:
            settings["img_size"] = image_size
        try:
            network = timm.create_model(model, pretrained=False, **settings)
        except (RuntimeError, TypeError, ValueError) as error:
            raise IncompatiblePartsError(f"timm cannot make {model!r} with {settings}: {error}") from None
        if reason := _why_not(network):
            raise IncompatiblePartsError(f"timm's {model} cannot be part of an energy: {reason}")
        for module in network.modules():
            if hasattr(module, "fused_attn"):
                module.fused_attn = False  # type: ignore[assignment]
        self.network = network
        self.features = int(network.num_features)  # type: ignore[arg-type]
        self.unit = image_size or _unit(network)

    @property
    def receptive_field(self) -> int | None:
        """None: features are pooled over the whole image."""
        return None

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        """Pooled features (B, n)."""
        return self.network(self.join(y, cond))


def _why_not(network: nn.Module) -> str | None:
    """What makes a network unfit for an energy; None: nothing that its modules tell."""
    for name, module in network.named_modules():
        kind = type(module).__name__
        if isinstance(module, _BATCH_NORMS):
            return f"{name} ({kind}) makes an image's output depend on the others of its batch"
        if isinstance(module, _NOT_SMOOTH):
            return f"{name} ({kind}) has kinks, and training differentiates the score once more"
        random = getattr(module, "drop_prob", None) or (module.p if isinstance(module, nn.Dropout) else 0)
        if random:
            return f"{name} ({kind}) drops a part of the network at random; set its rate to 0 among the options"
    return None


def _unit(network: nn.Module) -> int:
    """What both sides of an image must be multiples of: the stride of the last stage."""
    strides = [int(info["reduction"]) for info in getattr(network, "feature_info", []) if "reduction" in info]
    return math.lcm(*strides) if strides else 1
