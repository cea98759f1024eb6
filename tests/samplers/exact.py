"""White Gaussian densities under every head that takes t: what is drawn from them can be checked."""

import torch
from torch import Tensor

import mszoo
from mszoo.conditioners import Conditioner

VARIANCE = 0.05


class White(Conditioner):
    """What each head has to read to be the density of independent coefficients of variance VARIANCE around 0."""

    takes_t = batch_independent = smooth = True

    def __init__(self, channels: int, cond_channels: int, head: str) -> None:
        super().__init__(channels, cond_channels)
        self.head = head
        self.device_of = torch.nn.Parameter(torch.zeros(()))

    @property
    def receptive_field(self) -> int | None:
        return 1

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        self.join(y, cond)
        assert t is not None
        t = t[:, None, None, None]
        weight = {
            "inner_product": 1 / (VARIANCE + t),
            "squared_norm": (VARIANCE + t).rsqrt(),
            "score": 1 / (VARIANCE + t),
            "denoiser": t / (VARIANCE + t),
            "anchored": 0 * t,
            "predictive": 0 * t,
        }
        return weight[self.head] * y


HEADS = ("anchored", "predictive", "inner_product", "squared_norm", "score", "denoiser")


def white(head: str, levels: int = 0, channels: int = 1) -> mszoo.MultiScaleModel:
    """A model whose images are white noise of variance VARIANCE around 0."""

    def part(channels: int, cond: int) -> mszoo.heads.Head:
        options = {"levels": 0} if head == "anchored" else {}
        made = mszoo.create("head", head, White(channels, cond, head), **options)
        for name, buffer in made.named_buffers():
            if name in ("low_variance", "band_variance"):
                buffer.fill_(VARIANCE)
        return made

    detail = [part(3 * channels, channels) for _ in range(levels)]
    basis = mszoo.create("basis", "haar") if levels else None
    return mszoo.MultiScaleModel(channels, part(channels, 0), basis, detail).eval()
