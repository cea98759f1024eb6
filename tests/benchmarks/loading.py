"""Reading of training images: seconds to the first step, images/s of the loader beside the step's, memory.

    python tests/benchmarks/loading.py [--files 10000] [--side 72] [--workers 2] [--steps 1000] [--folder PLACE]

Makes a folder of so many small JPEG files (kept in --folder, or else removed), trains the recipe on it, and prints:
seconds from the start of the training process to the end of its first step; memory of that process with its workers
(their proportional set size, so that what they share counts once) on the way; images/s of training, of the loader
alone, and of the step alone (on images that are at hand).
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

    from mszoo.randomness import Draw

_KINDS = 100  # files of different contents
_TIMED = 50  # steps of the step alone, and of the loader alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument(
        "--side", type=int, default=72, help="of each image, in pixels; crops are of eight ninths of it"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--recipe", default="smoke-denoiser")
    parser.add_argument("--folder", type=Path, help="where the files are kept for the next time")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary) / "files"
        make(folder, given.files, given.side)
        crop = given.side * 8 // 9 // 16 * 16
        words = [
            f"data.train={{name: image_folder, path: {folder}, crop: {crop}, flip: true}}",
            *("data.test=null", "training.warmup=0", f"training.workers={given.workers}"),
            *(f"training.steps={given.steps}", f"training.batch_size={given.batch}"),
        ]
        print(
            f"{given.files:,} files of {given.side}x{given.side}, batches of {given.batch}, {given.workers} worker(s)"
        )
        sys.stdout.flush()
        command = [sys.executable, __file__, "--measure", str(time.time()), given.recipe, *words]
        raise SystemExit(subprocess.call(command))


def make(folder: Path, count: int, side: int) -> None:
    """So many JPEG files of noise, a thousand to a folder, unless they are there."""
    if (folder / f"{(count - 1) // 1000:04d}" / f"{count - 1}.jpg").exists():
        return
    rng, kinds = np.random.default_rng(0), []
    for _ in range(_KINDS):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (side, side), dtype=np.uint8)).save(file, "JPEG")
        kinds.append(file.getvalue())
    for i in range(count):
        place = folder / f"{i // 1000:04d}"
        if i % 1000 == 0:
            place.mkdir(parents=True, exist_ok=True)
        (place / f"{i}.jpg").write_bytes(kinds[i % _KINDS])


def measure(began: float, recipe: str, words: list[str]) -> None:
    """Train, in a process that was started at ``began``, and print what is to be known."""
    from mszoo.recipe import read_recipe
    from mszoo.training import check
    from mszoo.training.start import make_accelerator, prepare

    source = read_recipe(recipe, words)
    config, _ = check(source)
    run = prepare(source, config, Path("nowhere"), make_accelerator(config), 0)
    steps, size, device = config.training.steps, config.training.batch_size, run.accelerator.device
    run.step.train()

    def update(x: Tensor, draw: Draw) -> None:
        loss, _ = run.gradients(x.to(device), draw)
        run.optimizer.step()
        run.optimizer.zero_grad()
        loss.item()  # waits for the device

    batches, first = run.batches.steps(0, steps), 0.0
    for k, (x, draw) in enumerate(batches, 1):
        update(x, draw)
        if k == 1:
            print(f"the first step has ended after {time.time() - began:.1f} s")
            first = time.perf_counter()
        if k % max(1, steps // 5) == 0:
            print(f"step {k}: {memory(os.getpid()):,.0f} MB")
    print(f"training: {(steps - 1) * size / (time.perf_counter() - first):,.0f} images/s")
    batches = run.batches.steps(0, steps)
    x, draw = next(batches)
    then = time.perf_counter()
    seen = sum(len(images) for images, _ in islice(batches, _TIMED))
    print(f"the loader alone: {seen / (time.perf_counter() - then):,.0f} images/s")
    del batches  # and its workers
    then = time.perf_counter()
    for _ in range(_TIMED):
        update(x, draw)
    print(f"the step alone: {_TIMED * size / (time.perf_counter() - then):,.0f} images/s")


def memory(number: int) -> float:
    """Megabytes of a process and of those that it started."""
    children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
    text = Path(f"/proc/{number}/smaps_rollup").read_text()
    own = next(float(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return own / 1024 + sum(memory(int(child)) for child in children)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(float(sys.argv[2]), sys.argv[3], sys.argv[4:])
    else:
        main()
