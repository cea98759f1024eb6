"""Several processes measure together what one measures alone: each image once, and the same numbers to the last bit."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mszoo.data import ImageFolder
from mszoo.evaluation import evaluate
from tests.evaluation.on_two_processes import SIGMAS
from tests.factories import energy
from tests.launching import on_two_processes


@pytest.mark.filterwarnings("ignore:skipped")
def test_two_processes_measure_each_image_once(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(9):  # of three sizes by turns, one of them too small for the density
        size = ((8, 8), (9, 12), (16, 6))[i % 3]
        Image.fromarray(rng.integers(0, 256, (1, 9) if i == 5 else size, dtype=np.uint8)).save(folder / f"{i}.png")
    complaints = on_two_processes("on_two_processes.py", __file__, tmp_path / "found", folder)
    shares = [json.loads(Path(f"{tmp_path}/found.{rank}").read_text()) for rank in (0, 1)]
    alone = evaluate(energy(levels=1), ImageFolder(1, path=str(folder)), sigmas=SIGMAS, name="images")
    psnr, log_p = Counter[int](), Counter[int]()
    for share, images in zip(shares, (5, 4), strict=True):
        assert share["processes"] == 2
        assert share["results"] == [asdict(result) for result in alone.results]
        steps = [done for done, _ in share["progress"]]
        assert steps == sorted(steps)
        psnr.update(share["read"][: len(SIGMAS) * images])
        log_p.update(share["read"][len(SIGMAS) * images :])
    assert psnr == {i: len(SIGMAS) for i in range(9)}
    assert log_p == {i: 1 for i in range(9) if i != 5}
    assert complaints.count("5.png is 1x9, the model needs 2x2") == 1
