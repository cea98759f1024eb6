"""Wavelet transforms against PyWavelets (and ptwt, if installed): python tests/benchmarks/bases.py

Three levels of analysis of 16 colour images of 256 x 256, float32, on the CPU. Prints the median time of each and
the ratio peer / mszoo: above 1, mszoo is faster. Rounds are interleaved, so that a machine that slows down slows all.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import pywt
import torch

import mszoo

LEVELS, ROUNDS = 3, 15


def main() -> None:
    x = torch.randn(16, 3, 256, 256)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {LEVELS} levels of {tuple(x.shape)}")
    for name in ("haar", "db2", "db4", "db10"):
        basis, array = mszoo.create("basis", name), x.numpy()

        def ours(basis=basis) -> None:
            low = x
            for _ in range(LEVELS):
                low, _ = basis.analyze(low)

        def pywavelets(name=name, array=array) -> None:
            pywt.wavedec2(array, name, mode="periodization", level=LEVELS)

        peers: dict[str, Callable[[], object]] = {"PyWavelets": pywavelets}
        try:
            from ptwt.conv_transform_2 import wavedec2  # type: ignore[import-not-found]  # an extra
        except ImportError:
            pass
        else:
            # ptwt has no periodization mode; its periodic padding gives a few more coefficients
            peers["ptwt"] = lambda name=name: wavedec2(x, name, mode="periodic", level=LEVELS)
        times = interleaved({"mszoo": ours, **peers})
        mine = times.pop("mszoo")
        shown = ", ".join(f"{peer} {t * 1e3:.1f} ms (ratio {t / mine:.2f})" for peer, t in times.items())
        print(f"{name:5}: mszoo {mine * 1e3:.1f} ms, {shown}")


def interleaved(functions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of each function."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(ROUNDS + 2):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(np.array(t)[2:].tolist()) for name, t in taken.items()}


if __name__ == "__main__":
    main()
