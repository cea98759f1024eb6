"""A fully connected network for small images of one size: a density that is not stationary needs one."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from mszoo.conditioners import Conditioner
from mszoo.conditioners.layers import NoiseEmbedding
from mszoo.errors import ImageSizeError, UnsupportedError

__all__ = ["Dense"]


class Dense(Conditioner):
    """Linear layers and GELUs over all pixels at once, each scaled and shifted by an embedding of log t.

    Its last layer starts from zero, for a head that adds the network to something.

    Args:
        shape: (C, H, W) of the images, the only size it takes.
        width: of the hidden layers.
        depth: number of hidden layers.
    """

    takes_t = True
    batch_independent = True
    smooth = True

    def __init__(self, shape: tuple[int, int, int], width: int = 256, depth: int = 3) -> None:
        super().__init__(shape[0])
        self.shape = shape
        d = math.prod(shape)
        self.embedding = NoiseEmbedding()
        self.layers = nn.ModuleList(nn.Linear(d if i == 0 else width, width) for i in range(depth))
        self.modulations = nn.ModuleList(nn.Linear(self.embedding.features, 2 * width) for _ in self.layers)
        self.last = nn.Linear(width, d)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    @property
    def receptive_field(self) -> int | None:
        """None: the whole image."""
        return None

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        """See :meth:`Conditioner.forward`. Raises UnsupportedError without t, ImageSizeError for another size."""
        if t is None:
            raise UnsupportedError("this network is not blind: give the noise level (sigma, or t)")
        if y.shape[1:] != self.shape:
            raise ImageSizeError(f"a dense network takes images of shape {self.shape} alone, not {tuple(y.shape[1:])}")
        h, embedded = self.join(y, cond).flatten(1), self.embedding(t)
        for layer, modulation in zip(self.layers, self.modulations, strict=True):
            scale, shift = modulation(embedded).chunk(2, 1)
            h = F.gelu(layer(h) * (1 + scale) + shift)
        return self.last(h).reshape(y.shape)
