"""Pickled batches are read as published, and never run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import mszoo
from mszoo.errors import DataError


def write(path: Path, pixels: np.ndarray, protocol: int = 2, key: Any = "data", **more: Any) -> np.ndarray:
    """Images (N, S, S, 3) as the published files hold them."""
    rows = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
    path.write_bytes(pickle.dumps({key: rows, "labels": [1] * len(pixels), **more}, protocol))
    return pixels


def random(count: int = 3, side: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("key", ["data", b"data"])
def test_every_pixel_is_where_it_was(tmp_path: Path, protocol: int, key: Any) -> None:
    pixels = write(tmp_path / "val_data", random(), protocol, key)
    data = mszoo.create("dataset", "pickled_batches", 3, path=str(tmp_path / "val_data"))
    assert len(data) == 3
    assert data.size(0) == (8, 8)
    for i in range(3):
        assert torch.equal(data[i], torch.from_numpy(pixels[i]).permute(2, 0, 1) / 255)


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "val_data", random())
    assert [len(mszoo.create("dataset", "pickled_batches", 3, path=p)) for p in ("~/val_data", "~/val_*")] == [3, 3]


def test_grey_is_pillows(tmp_path: Path) -> None:
    pixels = write(tmp_path / "val_data", random())
    data = mszoo.create("dataset", "pickled_batches", 1, path=str(tmp_path / "val_data"))
    for image, array in zip(data, pixels, strict=True):
        assert torch.equal(image[0], torch.from_numpy(np.array(Image.fromarray(array).convert("L"))) / 255)


def test_a_glob_joins_batches_in_natural_order(tmp_path: Path) -> None:
    for i in (1, 2, 10):
        write(tmp_path / f"train_data_batch_{i}", np.full((i, 4, 4, 3), i, np.uint8))
    data = mszoo.create("dataset", "pickled_batches", 3, path=str(tmp_path / "train_data_batch_*"))
    assert [round(255 * float(x[0, 0, 0])) for x in data] == [1] + [2] * 2 + [10] * 10
    assert data.label(3) == "train_data_batch_*[3]"


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("made-by-a-pickle",)


def test_nothing_else_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "val_data", random(), evil=Evil())
    with pytest.raises(DataError, match="mkdir, which is refused"):
        mszoo.create("dataset", "pickled_batches", 3, path="val_data")
    assert not (tmp_path / "made-by-a-pickle").exists()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    def fault(path: str) -> str:
        with pytest.raises(DataError) as caught:
            mszoo.create("dataset", "pickled_batches", 3, path=str(tmp_path / path))
        return str(caught.value)

    assert "no such file" in fault("nothing")
    (tmp_path / "torn").write_bytes(pickle.dumps({"data": random()})[:-20])
    assert "torn is no pickled batch" in fault("torn")
    (tmp_path / "other").write_bytes(pickle.dumps([1, 2]))
    assert "'data', an array" in fault("other")
    (tmp_path / "odd").write_bytes(pickle.dumps({"data": np.zeros((2, 10), np.uint8)}))
    assert "no square colour images" in fault("odd")
    write(tmp_path / "a1", random(side=4))
    write(tmp_path / "a2", random(side=8))
    assert "different sizes: 4, 8" in fault("a*")
