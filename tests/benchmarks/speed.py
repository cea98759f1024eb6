"""Seconds for an image of 512 x 512 beside DnCNN's, in one process with the same threads.

    python tests/benchmarks/speed.py [MODEL_OR_RECIPE ...]

DnCNN (Zhang et al. 2017: 17 layers of 3 x 3 convolutions, 64 channels, its norms merged) is PyTorch's own, as its
authors run it. By default ``photographs-grey`` and the recipe ``photographs-grey-fast`` with fresh weights, which take
as long as trained ones. Interleaved; prints the median, the ratio, and multiply-adds a pixel. The first is to take at
most a third of DnCNN's time, the second a tenth.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import nn

import mszoo
from mszoo.evaluation.cost import multiply_adds
from mszoo.inference import fast
from mszoo.model import MultiScaleModel
from mszoo.recipe import read_recipe
from mszoo.training import check

ROUNDS, SIDE = 3, 512


def dncnn() -> nn.Sequential:
    widths = [1, *[64] * 16, 1]
    layers = [nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths)]
    return nn.Sequential(*[part for layer in layers[:-1] for part in (layer, nn.ReLU(inplace=True))], layers[-1]).eval()


def named(name: str) -> MultiScaleModel:
    if name in mszoo.list_models():
        return mszoo.load(name)
    return MultiScaleModel.from_config(check(read_recipe(name))[0].model).eval()


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> None:
    models = {name: named(name) for name in sys.argv[1:] or ["photographs-grey", "photographs-grey-fast"]}
    network, y = dncnn(), torch.rand(1, 1, SIDE, SIDE)
    products = sum(layer.weight.numel() for layer in network if isinstance(layer, nn.Conv2d))
    calls: dict[str, Callable[[], object]] = {"DnCNN": lambda: network(y)}
    for name, model in models.items():
        quick, image = fast(model), y.expand(-1, model.channels, -1, -1)
        calls[name] = lambda quick=quick, image=image: quick.denoise(image)
    with torch.no_grad():
        taken = [{name: seconds(call) for name, call in calls.items()} for _ in range(ROUNDS + 1)][1:]
    median = {name: statistics.median(one[name] for one in taken) for name in calls}
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, an image of {SIDE}x{SIDE}")
    for name, value in median.items():
        count = products if name == "DnCNN" else multiply_adds(models[name])
        ratio = value / median["DnCNN"]
        print(f"{name:<24} {value:6.3f} s, {ratio:5.3f} of DnCNN's; {count / 1000:.0f} thousand multiply-adds a pixel")


if __name__ == "__main__":
    main()
