"""Images inside tar files and inside data sets of the Hub's library: the contract, and what cannot be read."""

from __future__ import annotations

import functools
import http.server
import io
import json
import re
import sys
import tarfile
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

import mszoo
import mszoo.testing
from mszoo.data import ImageDataset
from mszoo.data.row_groups import RowGroups
from mszoo.errors import DataError, MszooError
from mszoo.recipe import DatasetConfig, TrainingConfig, read_recipe
from mszoo.training import train
from mszoo.training.batches import Batches
from tests.factories import small_run


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


class Server(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, parts of files too; notes what it is asked for, and is out of breath when told so."""

    asked: ClassVar[list[str]] = []
    busy: ClassVar[list[int]] = []  # answers that it gives first
    parts: ClassVar[bool] = True

    def log_message(self, format: str, *given: object) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.busy:
            self.send_error(self.busy.pop())
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted is None or not self.parts:
            super().do_GET()
            return
        content = Path(self.translate_path(self.path)).read_bytes()
        first, last = int(wanted[1]), min(int(wanted[2]) + 1, len(content))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last - 1}/{len(content)}")
        self.send_header("Content-Length", str(last - first))
        self.end_headers()
        self.wfile.write(content[first:last])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, type[Server]]]:
    """The address of the test's folder, and who answers there."""
    answers = type("Answers", (Server,), {"asked": [], "busy": [], "parts": True})
    handler = functools.partial(answers, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", answers
        running.shutdown()


@pytest.fixture
def served(shards: Path, server: tuple[str, type[Server]]) -> tuple[str, list[str]]:
    """The shards' address, and what was asked for there."""
    return f"{server[0]}/shards", server[1].asked


@pytest.fixture
def parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    rows = {"image": [{"bytes": picture(i), "path": None} for i in range(5)], "caption": list("abcde")}
    features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})
    datasets.Dataset.from_dict(rows, features).to_parquet(tmp_path / "rows.parquet", batch_size=2)  # of a row group
    return str(tmp_path / "rows.parquet")


@pytest.fixture
def streamed(
    request: pytest.FixtureRequest, server: tuple[str, type[Server]], tmp_path: Path
) -> tuple[str, dict[str, Any]]:
    """A data set of a server, and the options with which it is streamed."""
    options = {"streaming": True, "keep": 2, "cache": str(tmp_path / "fetched")}
    request.getfixturevalue("shards" if request.param == "webdataset" else "parquet")
    if request.param == "webdataset":
        return "webdataset", {"path": f"{server[0]}/shards/{{00..01}}.tar", **options}
    return "hub_dataset", {"path": "parquet", "files": f"{server[0]}/rows.parquet", **options}


STREAMED = pytest.mark.parametrize("streamed", ["webdataset", "hub_dataset"], indirect=True)


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
    assert asked == ["/shards/00.tar", "/shards/01.tar"]
    mszoo.create("dataset", "webdataset", 3, path=f"{address}/{{00..01}}.tar", cache=str(tmp_path / "fetched"))
    assert asked == ["/shards/00.tar", "/shards/01.tar"]  # they are there


def steps(
    images: ImageDataset, start: int = 0, workers: int = 0, share: tuple[int, int] = (0, 1)
) -> list[torch.Tensor]:
    """The batches of a run's steps, up to the sixth."""
    training = TrainingConfig(steps=6, batch_size=4, workers=workers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drawn = Batches(images, DatasetConfig(name="any", crop=16), training, *share)
        return [x for x, _ in drawn.steps(start, 6)]


def check_order(make: Callable[[], ImageDataset]) -> None:
    """The same batches for any number of processes and workers, and from a step in the middle on."""
    whole = steps(make())
    assert all(map(torch.equal, steps(make(), start=3), whole[3:]))
    assert all(map(torch.equal, steps(make(), workers=2), whole))
    parts = [steps(make(), share=(rank, 2)) for rank in range(2)]
    assert all(torch.equal(torch.cat(both), x) for *both, x in zip(*parts, whole, strict=True))


@pytest.mark.parametrize("name", ["webdataset", "hub_dataset"])
def test_the_order_is_the_same_for_any_number_of_processes_and_workers(name: str, shards: Path, parquet: str) -> None:
    options = {"path": str(shards / "*.tar")} if name == "webdataset" else {"path": "parquet", "files": parquet}
    check_order(lambda: mszoo.create("dataset", name, 1, **options))


@STREAMED
def test_streams_keep_the_contract(streamed: tuple[str, dict[str, Any]]) -> None:
    name, options = streamed
    mszoo.testing.check_dataset(name, **options)
    check_order(lambda: mszoo.create("dataset", name, 1, **options))


@STREAMED
def test_a_run_over_a_stream_goes_on_in_its_middle(streamed: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    name, options = streamed
    data = {"name": name, **options, "crop": 16}
    words = small_run("training.scheduler=null", "training.ema=null", f"data.train={json.dumps(data)}")

    def run(out: Path, steps: int, resume: bool = False) -> dict[str, torch.Tensor]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one image is damaged
            train(read_recipe("smoke-denoiser", [*words, f"training.steps={steps}"]), tmp_path / out, resume)
        return safetensors.torch.load_file(tmp_path / out / "model.safetensors")

    whole = run(tmp_path / "whole", 5)
    run(tmp_path / "again", 2)
    again = run(tmp_path / "again", 5, resume=True)
    assert all(torch.equal(whole[key], again[key]) for key in whole)


@STREAMED
def test_a_stream_has_the_images_of_the_whole(streamed: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    name, options = streamed
    whole = {"cache": str(tmp_path / "whole"), "streaming": False}
    whole |= {} if name == "webdataset" else {"files": str(tmp_path / "rows.parquet")}
    stream, known = (mszoo.create("dataset", name, 3, **given) for given in (options, options | whole))
    assert len(stream) == len(known)
    for i in range(7 if name == "webdataset" else 5):
        assert torch.equal(stream[i], known[i])
        assert (stream.size(i), stream.label(i)) == (known.size(i), known.label(i))
    if name == "webdataset":
        with pytest.raises(DataError, match=r"01\.tar/7\.png cannot be read"):
            stream[7]


def test_rows_on_the_disk_are_streamed_as_those_of_a_server(parquet: str, tmp_path: Path) -> None:
    options = {"path": "parquet", "files": parquet, "streaming": True, "cache": str(tmp_path / "fetched")}
    images = mszoo.create("dataset", "hub_dataset", 3, **options, keep=1)
    assert images.blocks.ends.tolist() == [2, 4, 5]
    assert [images.size(i) for i in range(5)] == [(20, 24 + i) for i in range(5)]
    assert len(list((tmp_path / "fetched").glob("groups-*/[0-9]"))) == 1


def test_rows_need_pyarrow(parquet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)  # not installed
    with pytest.raises(DataError, match=r"pip install 'mszoo\[data\]'"):
        RowGroups([parquet], "image", Path("nowhere"), 1)


def test_a_pass_goes_through_the_blocks_in_turn(shards: Path, server: tuple[str, type[Server]], tmp_path: Path) -> None:
    for number in range(2, 6):
        (shards / f"{number:02d}.tar").write_bytes((shards / "00.tar").read_bytes())
    options = {"path": f"{server[0]}/shards/{{00..05}}.tar", "cache": str(tmp_path / "fetched"), "streaming": True}
    images = mszoo.create("dataset", "webdataset", 1, **options, keep=4)
    passes = [Batches(images, DatasetConfig(name="any", crop=16), TrainingConfig())._cuts._order(k) for k in range(20)]
    for order in passes:
        assert sorted(order.tolist()) == list(range(24))
        turns = [{int(i) // 4 for i in order[k : k + 8]} for k in (0, 8, 16)]
        assert [len(shards) for shards in turns] == [2, 2, 2]
    assert len({tuple(order.tolist()) for order in passes}) == 20
    assert len({int(order[0]) // 4 for order in passes}) > 2
    assert any({int(i) // 4 for i in order[:4]} == {int(i) // 4 for i in order[4:8]} for order in passes)


def test_a_stream_fetches_what_it_needs_and_keeps_little(
    shards: Path, server: tuple[str, type[Server]], tmp_path: Path
) -> None:
    address, answers = server
    for number in range(2, 6):
        (shards / f"{number:02d}.tar").write_bytes((shards / "00.tar").read_bytes())
    options = {"path": f"{address}/shards/{{00..05}}.tar", "cache": str(tmp_path / "fetched"), "streaming": True}
    images = mszoo.create("dataset", "webdataset", 1, **options, keep=2)

    def kept() -> list[str]:
        return [str(path) for path in (tmp_path / "fetched").rglob("*.tar")]

    assert len(answers.asked) == 6  # once each, for the list
    assert len(kept()) == 2
    for i in (0, 5, 20, 9, 13, 1):
        images[i]
        assert len(kept()) == 2
    answers.asked.clear()
    images = mszoo.create("dataset", "webdataset", 1, **options, keep=2)
    assert answers.asked == []
    training = TrainingConfig(steps=24, batch_size=1)
    batches = Batches(images, DatasetConfig(name="any", crop=16), training)
    list(batches.steps(20, 24))  # the last of six shards; one was looked at
    assert len(answers.asked) <= 2


def test_a_server_that_is_busy_is_asked_again_and_a_lost_one_ends_the_run(
    shards: Path, server: tuple[str, type[Server]], tmp_path: Path
) -> None:
    address, answers = server
    options = {"path": f"{address}/shards/{{00..01}}.tar", "cache": str(tmp_path / "fetched"), "streaming": True}
    answers.busy.append(503)
    images = mszoo.create("dataset", "webdataset", 1, **options, keep=1)
    assert answers.asked == ["/shards/00.tar", "/shards/00.tar", "/shards/01.tar"]
    content = (shards / "00.tar").read_bytes()
    (shards / "00.tar").write_bytes(content + bytes(512))
    with pytest.raises(MszooError, match=r"00\.tar has .* bytes, and had .* it is another one now") as told:
        images[0]
    assert not isinstance(told.value, DataError)  # another image would be taken instead
    (shards / "01.tar").unlink()
    with pytest.raises(MszooError, match=r"01\.tar cannot be fetched: .*404") as told:
        images[5]
    assert not isinstance(told.value, DataError)


def test_what_cannot_be_streamed(shards: Path, server: tuple[str, type[Server]], parquet: str, tmp_path: Path) -> None:
    address, answers = server
    cache = {"streaming": True, "cache": str(tmp_path / "fetched")}
    with pytest.raises(DataError, match="on the disk already"):
        mszoo.create("dataset", "webdataset", 1, path=str(shards / "*.tar"), **cache)
    rows = {"path": "parquet", "files": f"{address}/rows.parquet", **cache}
    with pytest.raises(DataError, match=r"no split 'test'.*there are train, and none in part"):
        mszoo.create("dataset", "hub_dataset", 1, **rows, split="test")
    with pytest.raises(DataError, match=r"no column of images 'picture'.*may hold images: image"):
        mszoo.create("dataset", "hub_dataset", 1, **rows, column="picture")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.png").write_bytes(picture(0))
    with pytest.raises(DataError, match=r"a\.png is no Parquet file"):
        mszoo.create("dataset", "hub_dataset", 1, path="imagefolder", files=str(tmp_path / "folder" / "*.png"), **cache)
    answers.parts = False
    (tmp_path / "other.parquet").write_bytes(Path(parquet).read_bytes())
    with pytest.raises(DataError, match=r"other\.parquet cannot be fetched: its server gives no parts of files"):
        mszoo.create("dataset", "hub_dataset", 1, **{**rows, "files": f"{address}/other.parquet"})


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
