"""Denoising against the authors' own code of paper A, on their checkpoints.

    python tests/benchmarks/denoising.py CODE CHECKPOINTS

CODE is the folder ``code`` of a checkout of LabForComputationalVision/local-probability-models-of-images; CHECKPOINTS
holds ``flat_rf13.pt``, ``low_40x40.pt``, ``rf13_scale0.pt``, ``rf13_scale1.pt``. Batch 16 of 160 x 160, float32, CPU.
Prints the median time of both, interleaved in one process, the ratio theirs / ours (above 1, mszoo is faster), the
largest difference of the outputs, and the memory that the batch needs above one image's, alone in its own process.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

ROUNDS = 5
Denoise = Callable[[Tensor], Tensor]


def theirs(code: Path, checkpoints: Path, multi_scale: bool) -> Denoise:
    sys.path.insert(0, str(code))
    from model_loader_func import init_BF_CNN, init_BF_CNN_RF, read_trained_params  # type: ignore[import-not-found]
    from wavelet_func import multi_scale_denoising  # type: ignore[import-not-found]

    if not multi_scale:
        flat = read_trained_params(init_BF_CNN_RF(RF=13), checkpoints / "flat_rf13.pt")
        return lambda y: y - flat(y)
    networks: dict[str | int, torch.nn.Module] = {}
    networks["low"] = read_trained_params(init_BF_CNN(), checkpoints / "low_40x40.pt")
    for j in (0, 1):
        networks[j] = read_trained_params(init_BF_CNN_RF(RF=13, coarse=False), checkpoints / f"rf13_scale{j}.pt")
    cpu = torch.device("cpu")
    return lambda y: multi_scale_denoising(y, networks, device=cpu, orth_forward=True)[-1]


def ours(checkpoints: Path, multi_scale: bool) -> Denoise:
    from mszoo.importers import convert
    from mszoo.inference import fast

    if not multi_scale:
        return fast(convert(checkpoints / "flat_rf13.pt")).denoise
    details = [checkpoints / f"rf13_scale{j}.pt" for j in (0, 1)]
    return fast(convert(*details, checkpoints / "low_40x40.pt")).denoise


def make(who: str, code: Path, checkpoints: Path, multi_scale: bool) -> Denoise:
    return theirs(code, checkpoints, multi_scale) if who == "theirs" else ours(checkpoints, multi_scale)


def noisy() -> Tensor:
    return torch.rand(16, 1, 160, 160, generator=torch.Generator().manual_seed(0))


def mebibytes(which: str) -> float:
    """Resident memory now (VmRSS) or at its highest since the last reset (VmHWM); Linux tells."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{which}:")[1].split()[0]) / 1024


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("code", type=Path)
    parser.add_argument("checkpoints", type=Path)
    parser.add_argument("--alone", nargs=2, metavar=("WHO", "WHAT"), help="one round of one of them; prints its memory")
    given = parser.parse_args()
    if given.alone:
        who, what = given.alone
        denoise, y = make(who, given.code, given.checkpoints, what == "multi-scale"), noisy()
        denoise(y[:1])  # what is loaded once
        Path("/proc/self/clear_refs").write_text("5")  # the highest so far is forgotten: imports do not count
        before = mebibytes("VmRSS")
        denoise(y)
        print(mebibytes("VmHWM") - before)
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, batch {tuple(noisy().shape)}")
    for what in ("flat", "multi-scale"):
        sides = {who: make(who, given.code, given.checkpoints, what == "multi-scale") for who in ("theirs", "ours")}
        y = noisy()
        difference = (sides["theirs"](y) - sides["ours"](y)).abs().max().item()
        taken: dict[str, list[float]] = {who: [] for who in sides}
        for _ in range(ROUNDS):
            for who, denoise in sides.items():
                began = time.perf_counter()
                denoise(y)
                taken[who].append(time.perf_counter() - began)
        memory = {}
        for who in sides:
            command = [sys.executable, __file__, str(given.code), str(given.checkpoints), "--alone", who, what]
            memory[who] = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        seconds = {who: statistics.median(times) for who, times in taken.items()}
        print(
            f"{what} RF 13: authors {seconds['theirs']:.2f} s, mszoo {seconds['ours']:.2f} s, "
            f"ratio {seconds['theirs'] / seconds['ours']:.2f}; outputs differ by {difference:.1e}; "
            f"memory: authors {memory['theirs']:.0f} MiB, mszoo {memory['ours']:.0f} MiB"
        )


if __name__ == "__main__":
    main()
