"""Which images a step sees: a function of (seed, step) alone, also where some of them cannot be used."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mszoo
from mszoo.data import ImageDataset, base, image_folder
from mszoo.errors import DataError
from mszoo.recipe import DatasetConfig, TrainingConfig, read_recipe
from mszoo.training import batches, train
from mszoo.training.batches import Batches
from tests.factories import small_run


class Numbers(ImageDataset):
    """Image i has the value i / 255."""

    def __init__(self, count: int) -> None:
        super().__init__(1)
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, i: int) -> torch.Tensor:
        return torch.full((1, 8, 8), i / 255)

    def size(self, i: int) -> tuple[int, int]:
        return 8, 8


def seen(images: torch.Tensor) -> list[int]:
    return [round(255 * float(value)) for value in images.flatten(1).mean(1)]


def write(path: Path, value: int, side: int = 16, damaged: bool = False) -> None:
    """A grey image; its header is fine where its pixels are damaged."""
    Image.fromarray(np.full((side, side), value, np.uint8)).save(path)
    if damaged:
        path.write_bytes(path.read_bytes()[:45])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve images, of which three are damaged, and two too small for a crop of 16."""
    (tmp_path / "images").mkdir()
    for i in range(12):
        write(tmp_path / "images" / f"{i}.png", 20 * i, side=12 if i in (4, 7) else 16, damaged=i in (2, 5, 9))
    return tmp_path / "images"


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve images are many: they are not all looked at beforehand."""
    for module in (base, image_folder, batches):
        monkeypatch.setattr(module, "LOOKED_AT", 11)


def steps(folder: Path, start: int = 0, stop: int = 12, share: tuple[int, int] = (0, 1), workers: int = 0) -> Batches:
    images = mszoo.create("dataset", "image_folder", 1, path=str(folder))
    cut = DatasetConfig(name="image_folder", crop=16)
    return Batches(images, cut, TrainingConfig(steps=12, batch_size=4, workers=workers), *share)


def test_the_order_is_that_of_older_runs():
    cut, training = DatasetConfig(name="numbers", crop=8), TrainingConfig(steps=4, batch_size=5, seed=3)
    orders = [seen(x) for x, _ in Batches(Numbers(12), cut, training).steps(0, 4)]
    assert orders == [[7, 6, 0, 11, 8], [10, 9, 1, 4, 3], [2, 5, 11, 5, 0], [9, 2, 10, 1, 6]]


@pytest.mark.parametrize("many", [False, True], ids=["few", "many"])
def test_what_cannot_be_used_is_replaced_alike_everywhere(folder: Path, many: bool, request) -> None:
    if many:
        request.getfixturevalue("large")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = [x for x, _ in steps(folder).steps(0, 12)]
        assert {value // 20 for x in whole for value in seen(x)} == {0, 1, 3, 6, 8, 10, 11}
        resumed = [x for x, _ in steps(folder).steps(7, 12)]
        assert all(map(torch.equal, resumed, whole[7:]))
        by_workers = [x for x, _ in steps(folder, workers=2).steps(0, 12)]
        assert all(map(torch.equal, by_workers, whole))
        shares = [[x for x, _ in steps(folder, share=(rank, 2)).steps(0, 12)] for rank in range(2)]
        assert all(torch.equal(torch.cat(parts), x) for *parts, x in zip(*shares, whole, strict=True))


@pytest.mark.usefixtures("large")
def test_what_cannot_be_used_is_named_once_and_counted(folder: Path) -> None:
    drawn = steps(folder, workers=2)
    with pytest.warns(UserWarning, match="replaced by another") as told:
        list(drawn.steps(0, 12))
    texts = [text for one in told if "replaced" in (text := str(one.message))]  # torch warns of few processors
    assert len(texts) == len(set(texts)) == 5
    for i in (2, 5, 9):
        assert any(f"{i}.png cannot be read" in text for text in texts)
    for i in (4, 7):
        assert any(f"{i}.png is 12x12, smaller than crop: 16" in text for text in texts)
    assert drawn.replaced >= 4 * 5  # four passes over twelve images, five of which cannot be used
    several = [steps(folder, share=(rank, 2)) for rank in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one in several:
            list(one.steps(0, 12))
    assert sum(one.replaced for one in several) == drawn.replaced


def test_a_run_counts_what_it_replaced(folder: Path, tmp_path: Path) -> None:
    data = f"data.train={{name: image_folder, path: {folder}, crop: 16}}"
    with pytest.warns(UserWarning, match="replaced by another"):
        train(read_recipe("smoke-denoiser", small_run(data, "training.ema=null", steps=10)), tmp_path / "run")
    assert '"replaced": ' in (tmp_path / "run" / "metrics.jsonl").read_text()


def test_where_nothing_can_be_used_it_ends(tmp_path: Path) -> None:
    for i in range(3):
        write(tmp_path / f"{i}.png", 20, damaged=True)
    with pytest.raises(DataError, match=r"100 training images.* none can be used: .*png cannot be read"):
        steps(tmp_path).first()


def test_many_images_are_not_all_looked_at(tmp_path: Path, large: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_folder, "_SOME", 3)
    monkeypatch.setattr(batches, "_SOME", 3)
    for i in range(12):
        write(tmp_path / f"{i}.png", 20 * i)
    for i in (1, 2, 3):  # 0, 4 and 8 are looked at
        (tmp_path / f"{i}.png").write_bytes(b"no image")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = steps(tmp_path)
    with pytest.warns(UserWarning, match=r"replaced by another image: .*[123]\.png"):
        list(drawn.steps(0, 12))
    with pytest.raises(DataError, match="no training image is as large"):
        Batches(mszoo.create("dataset", "image_folder", 1, path=str(tmp_path)), *too_large())


def too_large() -> tuple[DatasetConfig, TrainingConfig]:
    return DatasetConfig(name="image_folder", crop=64), TrainingConfig(steps=1, batch_size=1)
