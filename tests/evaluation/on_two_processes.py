"""Run by ``accelerate launch`` from test_sharing.py: each process measures, and says what it read and what it found.

    on_two_processes.py OUT FOLDER

OUT.<rank> gets them as JSON.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from mszoo.data import ImageFolder
from mszoo.evaluation import evaluate
from mszoo.processes import find_processes
from tests.factories import energy

SIGMAS = (0.1, 0.4)


class Noted(ImageFolder):
    """Images, and the numbers of those that were read."""

    read: list[int]

    def __getitem__(self, i: int) -> Tensor:
        self.read.append(i)
        return super().__getitem__(i)


def main() -> None:
    out, folder = sys.argv[1:]
    processes = find_processes("cpu")
    images, progress = Noted(1, path=folder), []
    images.read = []
    found = evaluate(
        *(energy(levels=1), images),
        sigmas=SIGMAS,
        name="images",
        progress=lambda *counts: progress.append(counts),
        processes=processes,
    )
    results = [asdict(result) for result in found.results]
    said = {"processes": processes.count, "read": images.read, "results": results, "progress": progress}
    Path(f"{out}.{processes.rank}").write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main()
