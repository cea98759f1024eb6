"""Wavelet transforms against PyWavelets (and ptwt, if installed): python tests/benchmarks/bases.py [--device cpu]

Three levels of 16 colour images of 256 x 256, float32: analysis and synthesis, alone and with the gradient of the
whole. PyWavelets has no gradients: its is the transposed transform, which an orthonormal one is undone by. Prints the
median time of each, the ratio peer / mszoo (above 1, mszoo is faster) and the ratio to a copy of the data. Rounds are
interleaved, so that a machine that slows down slows all. ``table.py`` writes the same as CSV.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import pywt
import torch
from torch import Tensor

import mszoo

LEVELS, ROUNDS, SHAPE = 3, 15, (16, 3, 256, 256)
BASES = "haar", "db2", "db4", "sym8"

Times = dict[str, float]  # median seconds, by whose


def measure(device: str = "cpu") -> Iterator[tuple[str, str, Times]]:
    """What was done, in which basis, and the times of ``mszoo``, ``copy`` and the peers."""
    x = torch.randn(*SHAPE, device=device)
    for name in BASES:
        pairs = {"mszoo": ours(name), **ptwts(name)}
        calls: dict[str, dict[str, Callable[[], object]]] = {}
        for who, (analyze, synthesize) in pairs.items():
            coefficients = analyze(x)
            calls.setdefault("analysis", {})[who] = bound(analyze, [x], False)
            calls.setdefault("synthesis", {})[who] = bound(synthesize, coefficients, False)
            calls.setdefault("analysis and gradient", {})[who] = bound(analyze, [x], True)
            calls.setdefault("synthesis and gradient", {})[who] = bound(synthesize, coefficients, True)
        for what, some in calls.items():
            theirs = {"PyWavelets": pywavelets(name, x, what)} if device == "cpu" else {}
            yield what, name, interleaved({**some, **theirs, "copy": x.clone}, device)


def ours(name: str) -> tuple[Callable[..., list[Tensor]], Callable[..., list[Tensor]]]:
    """All levels of analysis, the coarsest image last; and of synthesis."""
    basis = mszoo.create("basis", name)

    def analyze(x: Tensor) -> list[Tensor]:
        details = []
        for _ in range(LEVELS):
            x, detail = basis.analyze(x)
            details.append(detail)
        return [*details, x]

    def synthesize(*coefficients: Tensor) -> list[Tensor]:
        *details, x = coefficients
        for detail in reversed(details):
            x = basis.synthesize(x, detail)
        return [x]

    return analyze, synthesize


def ptwts(name: str) -> dict[str, tuple[Callable[..., list[Tensor]], Callable[..., list[Tensor]]]]:
    """The same by ptwt, under its name; nothing if it is not installed.

    It has no periodization mode; its periodic padding gives a few more coefficients.
    """
    try:
        from ptwt.conv_transform_2 import wavedec2, waverec2  # type: ignore[import-not-found]  # an extra
    except ImportError:
        return {}

    def analyze(x: Tensor) -> list[Tensor]:
        low, *details = wavedec2(x, name, mode="periodic", level=LEVELS)
        return [low, *(band for three in details for band in three)]

    def synthesize(*coefficients: Tensor) -> list[Tensor]:
        low, *bands = coefficients
        pyramid: Any = (low, *(tuple(bands[k : k + 3]) for k in range(0, len(bands), 3)))
        return [waverec2(pyramid, name)]

    return {"ptwt": (analyze, synthesize)}


def pywavelets(name: str, x: Tensor, what: str) -> Callable[[], object]:
    """What is done, by PyWavelets."""
    array: Any = x.numpy()
    coefficients = pywt.wavedec2(array, name, mode="periodization", level=LEVELS)
    steps = [
        lambda: pywt.wavedec2(array, name, mode="periodization", level=LEVELS),
        lambda: pywt.waverec2(coefficients, name, mode="periodization"),
    ]
    chosen = steps if "gradient" in what else steps[:1] if what == "analysis" else steps[1:]
    return lambda: [step() for step in chosen]


def bound(transform: Callable[..., list[Tensor]], given: list[Tensor], gradient: bool) -> Callable[[], object]:
    """A transform of what is given, and the gradient of half its output's squared norm, if asked for."""
    inputs = [one.detach().requires_grad_(gradient) for one in given]

    def call() -> object:
        outputs = transform(*inputs)
        if gradient:
            return torch.autograd.grad(outputs, inputs, [one.detach() for one in outputs])
        return outputs

    return call


def interleaved(functions: dict[str, Callable[[], object]], device: str = "cpu") -> Times:
    """Median seconds of each function."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(ROUNDS + 2):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if device == "cuda":
                torch.cuda.synchronize()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds[2:]) for name, seconds in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {LEVELS} levels of {SHAPE}, {device}")
    for what, name, times in measure(device):
        mine, copy = times.pop("mszoo"), times.pop("copy")
        shown = ", ".join(f"{peer} {t * 1e3:.1f} ms (ratio {t / mine:.2f})" for peer, t in times.items())
        print(f"{what}, {name}: mszoo {mine * 1e3:.1f} ms ({mine / copy:.1f} copies), {shown}")


if __name__ == "__main__":
    main()
