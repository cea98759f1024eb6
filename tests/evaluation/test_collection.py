"""log p of a collection: the rows of `probabilities`, in the order of the images, each once."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mszoo
from mszoo.data import ImageDataset, ImageFolder
from mszoo.errors import ImageSizeError, MszooError
from mszoo.evaluation import Joined, log_prob_table, probabilities
from mszoo.processes import Processes
from tests.factories import energy

ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture
def model() -> mszoo.MultiScaleModel:
    return energy(levels=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of three sizes by turns, one too small for the model, one damaged."""
    images = tmp_path / "images"
    images.mkdir()
    rng = np.random.default_rng(0)
    for i in range(11):
        height, width = ((8, 8), (9, 12), (16, 6))[i % 3]
        Image.fromarray(rng.integers(0, 256, (height, width), dtype=np.uint8)).save(images / f"{i}.png")
    Image.new("L", (9, 1)).save(images / "5.png")
    damaged = images / "7.png"
    damaged.write_bytes(damaged.read_bytes()[:45])
    return images


def table(path: Path) -> list[dict[str, str]]:
    if path.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        return [{name: str(value) for name, value in row.items()} for row in parquet.read_table(path).to_pylist()]
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.filterwarnings("ignore:skipped")
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_are_in_the_order_of_the_images(model, folder: Path, tmp_path: Path, suffix: str) -> None:
    images, counts = ImageFolder(1, path=str(folder)), []
    out = tmp_path / f"scores.{suffix}"
    assert log_prob_table(model, images, out, ALONE, weights="w", progress=counts.append) == 9
    rows = table(out)
    assert [Path(row["image"]).name for row in rows] == [f"{i}.png" for i in (0, 1, 2, 3, 4, 6, 8, 9, 10)]
    expected = {row.image: row for row in probabilities(model, images)}
    for row in rows:
        one = expected[row["image"]]
        assert row == {name: str(getattr(one, name)) for name in row}
    assert counts == sorted(counts)
    assert counts[-1] == 10  # all but the one whose header tells that it is too small
    assert list(tmp_path.glob("*.part")) == []


def test_what_has_no_row_is_named(model, folder: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="skipped") as told:
        log_prob_table(model, ImageFolder(1, path=str(folder)), tmp_path / "a.csv", ALONE, weights="w")
    texts = [str(one.message) for one in told]
    assert any("5.png is 1x9, the model needs 2x2" in text for text in texts)
    assert any("7.png cannot be read" in text for text in texts)
    assert len(texts) == 2
    small = tmp_path / "small.png"
    Image.new("L", (9, 1)).save(small)
    with pytest.raises(ImageSizeError), pytest.warns(UserWarning, match="1x9"):
        log_prob_table(model, ImageFolder(1, path=str(small)), tmp_path / "b.csv", ALONE, weights="w")


class Interrupted(ImageDataset):
    """Images of one size each, the last of which cannot be had today."""

    def __init__(self, fail: bool, name: str = "image") -> None:
        super().__init__(1)
        self._fail, self._name = fail, name

    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: int) -> torch.Tensor:
        if i == 4 and self._fail:
            raise KeyboardInterrupt
        return torch.full((1, 8, 8 + 2 * i), i / 10)

    def size(self, i: int) -> tuple[int, int]:
        return 8, 8 + 2 * i

    def label(self, i: int) -> str:
        return f"{self._name} {i}"


def test_what_was_ended_goes_on(model, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    log_prob_table(model, Interrupted(False), whole, ALONE, weights="w")
    with pytest.raises(KeyboardInterrupt):
        log_prob_table(model, Interrupted(True), out, ALONE, weights="w")
    [rows] = (tmp_path / "out.csv.part").glob("*.rows")
    assert rows.stat().st_size == 4 * 24
    with pytest.raises(MszooError, match=r"holds 4 row\(s\).*--resume"):
        log_prob_table(model, Interrupted(False), out, ALONE, weights="w")
    with pytest.raises(MszooError, match="another model's"):
        log_prob_table(model, Interrupted(False), out, ALONE, weights="other", resume=True)
    with pytest.raises(MszooError, match="of other images"):
        log_prob_table(model, Interrupted(False, "picture"), out, ALONE, weights="w", resume=True)
    with open(rows, "ab") as file:
        file.write(b"cut off")
    assert log_prob_table(model, Interrupted(False), out, ALONE, weights="w", resume=True) == 6
    assert out.read_bytes() == whole.read_bytes()


def test_sets_are_joined(folder: Path) -> None:
    parts = [Interrupted(False), Interrupted(False, "picture")]
    joined = Joined(parts)
    assert len(joined) == 12
    labels = [joined.label(i) for i in range(12)]
    assert labels == [part.label(i) for part in parts for i in range(6)]
    assert all(torch.equal(joined[6 + i], parts[1][i]) and joined.size(6 + i) == parts[1].size(i) for i in range(6))
    for i in (-1, 12):
        with pytest.raises(IndexError):
            joined[i]
