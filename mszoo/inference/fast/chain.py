"""The bias-free CNN for inference: its norms folded into its convolutions.

In eval mode the norm multiplies each channel by gain / running deviation, a constant: it can be multiplied into the
convolution before it, exactly. What is left is a chain of convolutions and activations that is limited by memory;
so images go through the whole chain a few at a time, such that a layer's output stays in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mszoo.conditioners.base import Conditioner
from mszoo.conditioners.layers import Activation, activate
from mszoo.inference.fast.winograd import Stage

__all__ = ["FoldedCNN", "channels_last"]

# Pixels that go through the chain together on a CPU: 64 channels of them in float32 fill 8 MiB.
_PIXELS_AT_ONCE = 32768


class FoldedCNN(Conditioner):
    """A chain of convolutions with activations between them; for inference only.

    Args:
        channels: of y and of the output.
        cond_channels: of the condition; 0 for none.
        weights: of the convolutions, with the norms multiplied in.
        activation: after all but the first and the last.
        dtype: to compute in; the output has y's dtype.
        edge: how the image goes on beyond its edge for the first layer, a mode of :func:`torch.nn.functional.pad`.
    """

    converts = True  # images to its own dtype, and back

    def __init__(
        self,
        channels: int,
        cond_channels: int,
        weights: Sequence[Tensor],
        activation: Activation,
        dtype: torch.dtype,
        edge: str = "constant",
    ) -> None:
        super().__init__(channels, cond_channels)
        first, *inner, last = (w.to(dtype, memory_format=torch.channels_last, copy=True) for w in weights)
        self.first, self.last = (nn.Parameter(w, requires_grad=False) for w in (first, last))
        self.rectify = activation == "relu"
        self.activation: Activation = activation
        self.stages = nn.ModuleList(Stage(run, self.rectify) for run in _runs(inner, together=self.rectify))
        self.batch_independent = True
        self.smooth = activation != "relu"
        self._receptive_field = 1 + sum(w.shape[-1] - 1 for w in weights)
        self.edge = edge

    @property
    def receptive_field(self) -> int | None:
        """As of the network it was folded from."""
        return self._receptive_field

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        """Apply the network; see :meth:`Conditioner.forward`. It is blind."""
        joined = self.join(y, cond).to(self.first.dtype)
        height, width = y.shape[-2:]
        together = len(y) if y.is_cuda else max(1, _PIXELS_AT_ONCE // (height * width))
        parts = [self._chain(channels_last(part)) for part in joined.split(together)]
        return torch.cat(parts).to(y.dtype) if len(parts) > 1 else parts[0].to(y.dtype)

    def _chain(self, h: Tensor) -> Tensor:
        h = F.conv2d(F.pad(h, (1, 1, 1, 1), mode=self.edge), self.first)
        for stage in self.stages:
            h = stage(h)
            h = h if self.rectify else activate(h, self.activation)
        return F.conv2d(h, self.last, padding=1)


def channels_last(x: Tensor) -> Tensor:
    """The same images in the channels-last layout, by operations that ``vmap`` supports."""
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def _runs(weights: Sequence[Tensor], together: bool) -> Iterator[list[Tensor]]:
    """The layers of each stage: a 3 x 3 one and the 1 x 1 ones after it, or each alone."""
    run: list[Tensor] = []
    for weight in weights:
        if run and (weight.shape[-1] == 3 or not together):
            yield run
            run = []
        run.append(weight)
    if run:
        yield run
