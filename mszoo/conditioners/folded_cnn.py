"""The bias-free CNN for inference: its norms folded into its convolutions.

In eval mode the norm multiplies each channel by gain / running deviation, a constant: it can be multiplied into the
convolution before it, exactly. What is left is a chain of convolutions and activations that is limited by memory;
so images go through the whole chain a few at a time, such that a layer's output stays in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mszoo.conditioners.base import Conditioner
from mszoo.conditioners.layers import Activation, activate

__all__ = ["FoldedCNN"]

# Pixels that go through the chain together on a CPU: 64 channels of them in float32 fill 8 MiB.
_PIXELS_AT_ONCE = 32768


class FoldedCNN(Conditioner):
    """A chain of convolutions with activations between them; for inference only.

    Args:
        channels: of y and of the output.
        cond_channels: of the condition; 0 for none.
        weights: of the convolutions, with the norms multiplied in.
        activation: after all but the first and the last.
        receptive_field: of the chain.
        dtype: to compute in; the output has y's dtype.
        edge: how the image goes on beyond its edge for the first layer, a mode of :func:`torch.nn.functional.pad`.
    """

    def __init__(
        self,
        channels: int,
        cond_channels: int,
        weights: Sequence[Tensor],
        activation: Activation,
        receptive_field: int,
        dtype: torch.dtype,
        edge: str = "constant",
    ) -> None:
        super().__init__(channels, cond_channels)
        self.weights = nn.ParameterList(
            nn.Parameter(w.to(dtype, memory_format=torch.channels_last, copy=True), requires_grad=False)
            for w in weights
        )
        self.activation: Activation = activation
        self.batch_independent = True
        self.smooth = activation != "relu"
        self._receptive_field = receptive_field
        self.edge = edge

    @property
    def receptive_field(self) -> int | None:
        """As of the network it was folded from."""
        return self._receptive_field

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        """Apply the network; see :meth:`Conditioner.forward`. It is blind."""
        joined = self.join(y, cond).to(self.weights[0].dtype)
        height, width = y.shape[-2:]
        together = len(y) if y.is_cuda else max(1, _PIXELS_AT_ONCE // (height * width))
        parts = [self._chain(part.contiguous(memory_format=torch.channels_last)) for part in joined.split(together)]
        return torch.cat(parts).to(y.dtype) if len(parts) > 1 else parts[0].to(y.dtype)

    def _chain(self, h: Tensor) -> Tensor:
        first, *inner, last = self.weights
        h = F.conv2d(F.pad(h, (1, 1, 1, 1), mode=self.edge), first)
        for weight in inner:
            h = F.conv2d(h, weight, padding=weight.shape[-1] // 2)
            h = h.relu_() if self.activation == "relu" else activate(h, self.activation)
        return F.conv2d(h, last, padding=1)
