"""Images inside tar files and inside data sets of the Hub's library: the contract, and what cannot be read."""

from __future__ import annotations

import functools
import http.server
import io
import tarfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mszoo
import mszoo.testing
from mszoo.errors import DataError
from mszoo.recipe import DatasetConfig, TrainingConfig
from mszoo.training.batches import Batches


def picture(i: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (24 + i, 20), (20 * i, 10, 5 * i)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two shards of four images, with captions; the last image is damaged."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for number in range(2):
        with tarfile.open(folder / f"{number:02d}.tar", "w") as shard:
            for i in range(4 * number, 4 * number + 4):
                content = picture(i) if i < 7 else picture(i)[:60]
                for name, data in ((f"{i}.png", content), (f"{i}.txt", b"a caption")):
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    shard.addfile(member, io.BytesIO(data))
    return folder


@pytest.fixture
def served(shards: Path) -> Iterator[tuple[str, list[str]]]:
    """The shards' address, and what was asked for there."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *given: object) -> None:
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(shards))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.fixture
def parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    rows = {"image": [{"bytes": picture(i), "path": None} for i in range(5)], "caption": list("abcde")}
    features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})
    datasets.Dataset.from_dict(rows, features).to_parquet(tmp_path / "rows.parquet")
    return str(tmp_path / "rows.parquet")


def test_the_contract(shards: Path, served: tuple[str, list[str]], parquet: str, tmp_path: Path) -> None:
    mszoo.testing.check_dataset("webdataset", path=str(shards / "*.tar"))
    mszoo.testing.check_dataset("webdataset", path=f"{served[0]}/{{00..01}}.tar", cache=str(tmp_path / "fetched"))
    mszoo.testing.check_dataset("hub_dataset", path="parquet", files=parquet)


def test_shards_hold_what_was_put_into_them(shards: Path, served: tuple[str, list[str]], tmp_path: Path) -> None:
    address, asked = served
    local = mszoo.create("dataset", "webdataset", 3, path=str(shards / "{00..01}.tar"))
    far = mszoo.create("dataset", "webdataset", 3, path=f"{address}/{{00..01}}.tar", cache=str(tmp_path / "fetched"))
    assert [far.label(i) for i in range(8)] == [f"{address}/{i // 4:02d}.tar/{i}.png" for i in range(8)]
    for i in range(7):
        expected = torch.from_numpy(np.array(Image.open(io.BytesIO(picture(i))))).movedim(-1, 0) / 255
        assert torch.equal(local[i], expected)
        assert torch.equal(far[i], expected)
        assert far.size(i) == (20, 24 + i)
    with pytest.raises(DataError, match=r"01\.tar/7\.png cannot be read"):
        local[7]
    assert asked == ["/00.tar", "/01.tar"]
    mszoo.create("dataset", "webdataset", 3, path=f"{address}/{{00..01}}.tar", cache=str(tmp_path / "fetched"))
    assert asked == ["/00.tar", "/01.tar"]  # they are there


@pytest.mark.parametrize("name", ["webdataset", "hub_dataset"])
def test_the_order_is_the_same_for_any_number_of_processes_and_workers(name: str, shards: Path, parquet: str) -> None:
    options = {"path": str(shards / "*.tar")} if name == "webdataset" else {"path": "parquet", "files": parquet}
    images = mszoo.create("dataset", name, 1, **options)

    def steps(start: int = 0, workers: int = 0, share: tuple[int, int] = (0, 1)) -> list[torch.Tensor]:
        training = TrainingConfig(steps=6, batch_size=4, workers=workers)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            drawn = Batches(images, DatasetConfig(name=name, crop=16), training, *share)
            return [x for x, _ in drawn.steps(start, 6)]

    whole = steps()
    assert all(map(torch.equal, steps(3), whole[3:]))
    assert all(map(torch.equal, steps(workers=2), whole))
    parts = [steps(share=(rank, 2)) for rank in range(2)]
    assert all(torch.equal(torch.cat(both), x) for *both, x in zip(*parts, whole, strict=True))


def test_rows_of_a_data_set(parquet: str) -> None:
    images = mszoo.create("dataset", "hub_dataset", 3, path="parquet", files=parquet)
    assert [images.size(i) for i in range(len(images))] == [(20, 24 + i) for i in range(5)]
    assert torch.equal((images[3] * 255).round()[:, 0, 0], torch.tensor([60.0, 10.0, 15.0]))
    some = mszoo.create("dataset", "hub_dataset", 3, path="parquet", files=parquet, split="train[1:3]")
    assert torch.equal(some[0], images[1])
    with pytest.raises(DataError, match=r"no column of images 'caption'.*columns of images: image"):
        mszoo.create("dataset", "hub_dataset", 3, path="parquet", files=parquet, column="caption")
    with pytest.raises(DataError, match="cannot be opened"):
        mszoo.create("dataset", "hub_dataset", 3, path="parquet", files=f"{parquet}.none")


def test_shards_that_are_none(shards: Path, served: tuple[str, list[str]], tmp_path: Path) -> None:
    (tmp_path / "text.tar").write_text("no archive" * 200)
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz") as shard:
        shard.add(shards / "00.tar", "00.tar")
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    for path, fault in {
        str(tmp_path / "text.tar"): r"text\.tar is no plain tar file",
        str(tmp_path / "packed.tar.gz"): "unpack a compressed one",
        str(tmp_path / "empty.tar"): r"no image files in 1 shard\(s\)",
        str(shards / "{00..02}.tar"): r"no such shard: .*02\.tar",
        str(shards / "{03..01}.tar"): "no range of shards",
        f"{served[0]}/{{00..02}}.tar": r"02\.tar cannot be fetched: .*404",
    }.items():
        with pytest.raises(DataError, match=fault):
            mszoo.create("dataset", "webdataset", 1, path=path, cache=str(tmp_path / "fetched"))
