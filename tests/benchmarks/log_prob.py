"""How fast `mszoo log-prob` is: images a second against the bare network's forward pass on the same tensors.

    python tests/benchmarks/log_prob.py MODEL IMAGES [--images 10000]

MODEL has one scale with an energy (a packaged name or a checkpoint folder); IMAGES is a folder or zip of images of one
size. The bare network runs on tensors that are ready in memory, in the batches of the command; the command's own time
is from its first to its last image, with what it reads, decodes and adds up. Both take turns; medians of three.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

import mszoo
from mszoo.evaluation.probability import PIXELS_AT_ONCE, probabilities


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("images")
    parser.add_argument("--images", type=int, default=10000, dest="count")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    model = mszoo.load(given.model)
    bare: list[float] = []  # images a second
    command: list[float] = []
    for _ in range(given.rounds):
        began = time.perf_counter()
        data = mszoo.create("dataset", "image_folder", model.channels, path=given.images)
        opened = time.perf_counter() - began
        count = min(given.count, len(data))
        x = torch.stack([data[i] for i in range(count)])
        parts = x.split(max(1, PIXELS_AT_ONCE // (x.shape[-1] * x.shape[-2])))
        with torch.inference_mode():
            began = time.perf_counter()
            for part in parts:
                model.coarse.conditioner(part, torch.zeros(len(part)), None)
            bare.append(count / (time.perf_counter() - began))
        began = time.perf_counter()
        rows = list(probabilities(model, data))
        seconds = time.perf_counter() - began
        command.append(len(rows) / seconds)
        print(
            f"{count} images: bare {bare[-1]:.0f} images/s; log-prob {command[-1]:.0f} images/s, "
            f"{len(rows) / (seconds + opened):.0f} with reading and decoding ({opened:.1f} s)",
            flush=True,
        )
    ratio = statistics.median(command) / statistics.median(bare)
    print(f"log-prob / bare forward: {ratio:.2f}")


if __name__ == "__main__":
    main()
