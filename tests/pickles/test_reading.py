"""Foreign pickles: what they hold is read as torch and NumPy wrote it, and nothing in them is run."""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mszoo.errors import CheckpointError, DataError, MszooError
from mszoo.pickles import Refused, read_arrays, read_tensors

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
DTYPES += [torch.int32, torch.int16, torch.int8, torch.complex64]


class Stranger:
    """An object of the writer's own."""

    def __init__(self, **inside: Any) -> None:
        self.__dict__.update(inside)


class Evil:
    """What a pickle can do to whoever reads it."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def save(path: Path, content: Any, old: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    return path


def state(width: int = 4, seed: int = 0) -> OrderedDict[str, torch.Tensor]:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.Conv2d(width, 1, 3))
    return network.state_dict()


def content() -> dict[str, Any]:
    wide = torch.arange(24.0).reshape(4, 6)
    return {
        "model": [state()],
        "views": (
            wide.T,
            wide[1:3, ::2],
            wide[2],
            nn.Parameter(wide[:1].clone()),
            torch.zeros(0, 3),
            torch.tensor(3.5),
        ),
        "dtypes": [torch.ones(3).to(dtype) for dtype in DTYPES],
        "plain": {"step": 3, "score": 27.5, "names": ["a", "é\n"], 7: None, "yes": True, "size": wide.shape},
        "more": [2**70, -1, b"\xff\x00", {1, 2}, frozenset("ab"), (), OrderedDict(a=1), 1 + 2j],
    }


def same(a: Any, b: Any) -> bool:
    if isinstance(b, torch.Tensor):
        return torch.equal(a, b) and (a.dtype, a.stride(), a.device.type) == (b.dtype, b.stride(), "cpu")
    if isinstance(b, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in b)
    if isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("old", [False, True])
def test_what_torch_wrote_is_read(tmp_path: Path, old: bool) -> None:
    found = read_tensors(save(tmp_path / "file.pth", content(), old))
    expected = content()
    assert same({**found.value, "more": found.value["more"][:-1]}, {**expected, "more": expected["more"][:-1]})
    assert found.refused == ["builtins.complex"] or found.refused == ["__builtin__.complex"]
    assert isinstance(found.value["more"][-1], Refused)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_protocols(tmp_path: Path, old: bool, protocol: int) -> None:
    path = tmp_path / "file.pth"
    torch.save(state(), path, pickle_protocol=protocol, _use_new_zipfile_serialization=not old)
    found = read_tensors(path)
    assert same(found.value, state())
    assert not found.refused


def test_tied_tensors_stay_tied(tmp_path: Path) -> None:
    one = torch.rand(1000)
    found = read_tensors(save(tmp_path / "file.pth", {"a": one, "b": one, "c": one.reshape(10, 100)[:1]})).value
    assert found["a"].data_ptr() == found["b"].data_ptr() == found["c"].data_ptr()


@pytest.mark.parametrize("old", [False, True])
def test_strangers_become_stand_ins(tmp_path: Path, old: bool) -> None:
    content = {"args": Stranger(a=1, w=torch.ones(3)), "state": state(), "seen": [Stranger()], "class": Stranger}
    found = read_tensors(save(tmp_path / "file.pth", content, old))
    assert found.refused == [f"{Stranger.__module__}.Stranger"]
    assert isinstance(found.value["args"], Refused)
    assert "Stranger" in found.value["args"].name
    assert same(found.value["state"], state())


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    "function",
    [os.system, os.mkdir, eval, exec, getattr, subprocess.call, __import__, pickle.loads, torch.load, io.open],
    ids=lambda f: f.__name__,
)
def test_no_function_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any], protocol: int, old: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    evil = Evil(function, "made-by-a-pickle", "w")
    path = tmp_path / "file.pth"
    torch.save(
        {"x": torch.ones(2), "evil": evil}, path, pickle_protocol=protocol, _use_new_zipfile_serialization=not old
    )
    found = read_tensors(path)
    assert any(function.__name__ in name for name in found.refused)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file.pth"]
    (tmp_path / "batch").write_bytes(pickle.dumps({"data": evil}, protocol))
    assert any(function.__name__ in name for name in read_arrays(tmp_path / "batch").refused)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["batch", "file.pth"]


class Program(nn.Module):
    """A module whose ``__setstate__`` writes a file, when torch.jit reads it."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target, self.training = target, False

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.target, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.target, self.training = state[0], state[1]
        torch.save(torch.ones(3), state[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def script(path: Path, target: Path) -> Path:
    """A TorchScript archive; reading it with torch.jit.load writes the target."""
    torch.jit.save(torch.jit.script(Program(str(target))), str(path))
    return path


@pytest.mark.parametrize("name", ["model.pth.tar", "model.pt", "model.pth"])
def test_torchscript_is_refused_whatever_its_name(tmp_path: Path, name: str) -> None:
    target = tmp_path / "written"
    path = script(tmp_path / name, target)
    with pytest.raises(CheckpointError, match=rf"{name} .*TorchScript archive, a program"):
        read_tensors(path)
    assert not target.exists()
    torch.jit.load(str(path))
    assert target.exists()  # it would have been


def rezip(path: Path, **changes: Any) -> Path:
    """The archive again, with members changed, or (given as a number) the method of compression."""
    with zipfile.ZipFile(path) as archive:
        members = {i.filename: archive.read(i) for i in archive.infolist()}
    method = changes.pop("method", zipfile.ZIP_STORED)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, changes.get(name.rsplit("/", 1)[-1].replace(".", "_"), data))
    return path


def zipped(path: Path, pickled: bytes, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, data in members.items():
            archive.writestr(f"archive/{name}", data)
    return path


def test_archives_that_are_not_torchs(tmp_path: Path) -> None:
    def fault(path: Path) -> str:
        with pytest.raises(CheckpointError) as caught:
            read_tensors(path)
        assert str(path) in str(caught.value)
        return str(caught.value)

    path = tmp_path / "file.pth"
    save(path, {"x": torch.zeros(2_000_000)})
    assert path.stat().st_size > 8_000_000
    rezip(path, method=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    assert "is compressed" in fault(path)
    assert "big-endian" in fault(rezip(save(path, state()), byteorder=b"big"))
    assert "storage '0' is missing, or of another size" in fault(zipped(path, pickled_tensor()))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/readme", b"hello")
    assert "without data.pkl" in fault(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"N.")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("archive/data.pkl", b"N.")
    assert "two members" in fault(path)
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("pickle"))
    assert "no PyTorch state dict" in fault(path)
    path.write_bytes(pickle.dumps({"x": 1}))
    assert "a pickle of something else" in fault(path)


def pickled_tensor(
    count: Any = 4,
    offset: Any = 0,
    shape: Any = (2, 2),
    strides: Any = (2, 1),
    kind: str = "FloatStorage",
    times: int = 1,
) -> bytes:
    """The pickle of a dictionary of tensors that are alike but for a dimension, in storages 0."""

    def push(value: Any) -> bytes:
        return pickle.dumps(value, 2)[2:-1]

    one = (
        b"ctorch._utils\n_rebuild_tensor_v2\n(("
        + push("storage") + b"ctorch\n" + kind.encode() + b"\n" + push("0") + push("cpu") + push(count) + b"tQ"
        + push(offset) + push(shape) + push(strides) + b"\x89}tR"
    )  # fmt: skip
    return b"\x80\x02}(" + b"".join(push(str(i)) + one for i in range(times)) + b"u."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shape": (2, 3)}, "reaches past its storage"),
        ({"offset": 1}, "reaches past its storage"),
        ({"strides": (2, 2)}, "reaches past its storage"),
        ({"offset": -1}, "no sizes"),
        ({"strides": (-1, 1)}, "no sizes"),
        ({"shape": (2, -2)}, "no sizes"),
        ({"shape": (2, 2.0)}, "no sizes"),
        ({"shape": (2, True)}, "no sizes"),
        ({"shape": (2**63, 0)}, "no sizes"),
        ({"shape": (2,)}, "do not belong together"),
        ({"shape": [2, 2]}, "do not belong together"),
        ({"shape": (1,) * 100, "strides": (1,) * 100}, "reaches past its storage"),
        ({"shape": (2**40, 2**20), "strides": (0, 0)}, "larger than the file"),
        ({"count": 2**50}, "larger than the file"),
        ({"count": -4}, "no size"),
        ({"count": "4"}, "no size"),
        ({"count": 5}, "of another size"),
        ({"kind": "DoubleStorage"}, "of another size"),
    ],
    ids=str,
)
def test_tensors_stay_within_their_storages(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    numbers = {"data/0": struct.pack("4f", 1, 2, 3, 4)}
    good = read_tensors(zipped(tmp_path / "good", pickled_tensor(), **numbers)).value
    assert torch.equal(good["0"], torch.tensor([[1.0, 2], [3, 4]]))
    with pytest.raises(CheckpointError, match=said):
        read_tensors(zipped(tmp_path / "bad", pickled_tensor(**change), **numbers))


def test_a_storage_of_unknown_type_is_refused(tmp_path: Path) -> None:
    found = read_tensors(zipped(tmp_path / "file", pickled_tensor(kind="QInt8Storage"), **{"data/0": b"1234"}))
    assert any("QInt8Storage" in name for name in found.refused)


BOMBS = {
    "nested": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "nested tuples": b"\x80\x02)" + b"\x85" * 100_000 + b".",
    "nested key": b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"Ns.",
    "holds itself": b"\x80\x02]q\x00h\x00a.",
    "marks": b"\x80\x02" + b"(" * 1_000_000 + b".",
    "memo": b"\x80\x02N" + b"".join(b"r" + struct.pack("<I", 2**31 + i) for i in range(50_000)) + b"Q.",
    "opcodes": b"\x80\x02N" + b"N0" * 2_600_000 + b".",
    "long text": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"a.",
    "long bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"a.",
    "long number": b"\x80\x02\x8b" + struct.pack("<I", 2**31 - 1) + b"\x01.",
    "decimal number": b"I" + b"9" * 100_000 + b"\n.",
    "buffer": b"\x80\x05\x97.",
    "persistent": b"Pwhatever\n.",
    "extension": b"\x80\x02\x82\x01)R0\x95",
}


def fault_of(read: Callable[[Path], Any], path: Path) -> str | None:
    """What is wrong with a file, None for nothing. Anything but the one kind of error, with its name, is raised."""
    try:
        read(path)
    except MszooError as error:
        if type(error) is (DataError if read is read_arrays else CheckpointError) and str(path) in str(error):
            return str(error)
        raise
    return None


@pytest.mark.parametrize("name", BOMBS)
def test_pickles_that_only_do_harm(tmp_path: Path, name: str) -> None:
    (tmp_path / "batch").write_bytes(BOMBS[name])
    zipped(tmp_path / "file", BOMBS[name])
    for read, file in ((read_arrays, "batch"), (read_tensors, "file")):
        fault = fault_of(read, tmp_path / file)
        assert (fault is None) == (name == "nested key")
        assert len(fault or "") < 500


def test_names_are_told_on_one_short_line(tmp_path: Path) -> None:
    zipped(tmp_path / "file", b"\x80\x02cmo\x1b[31m\nna\x07me" + b"x" * 1000 + b"\n.")
    (name,) = read_tensors(tmp_path / "file").refused
    assert name.isprintable()
    assert len(name) < 200
    many = b"".join(b"cm\nn%d\n0" % i for i in range(1000))
    assert len(read_tensors(zipped(tmp_path / "file", b"\x80\x02" + many + b"N.")).refused) == 100


@pytest.mark.parametrize("read", [read_arrays, read_tensors])
def test_what_is_no_file(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    for name, said in {"none": "no such file", "pipe": "no file", ".": "no file", "empty": "no pickle"}.items():
        with pytest.raises(MszooError, match=said):
            read(tmp_path / name)


# ---- arrays


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["u1", "<f4", ">f4", "<i8", "?", "<c8"])
def test_arrays_are_read_as_written(tmp_path: Path, protocol: int, dtype: str) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)
    given = {"data": array, "columns": array.T, "one": np.float64(3.5), "labels": [1, 2], b"raw": b"\xff\x00", "": ""}
    (tmp_path / "batch").write_bytes(pickle.dumps(given, protocol))
    found = read_arrays(tmp_path / "batch")
    assert not found.refused
    np.testing.assert_array_equal(found.value["data"], array)
    np.testing.assert_array_equal(found.value["columns"], array.T)
    assert {k: v for k, v in found.value.items() if k not in ("data", "columns")} == {
        k: v for k, v in given.items() if k not in ("data", "columns")
    }


def test_texts_of_python_2(tmp_path: Path) -> None:
    """Whose arrays are texts, too: protocol 0 and 2 as Python 2 wrote them."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\np1\n(cnumpy\nndarray\np2\n(I0\ntp3\nS'b'\np4\ntp5\nRp6\n(I1\n(I3\ntp7\n"
        b"cnumpy\ndtype\np8\n(S'u1'\np9\nI0\nI1\ntp10\nRp11\n(I3\nS'|'\np12\nNNNI-1\nI-1\nI0\ntp13\nbI00\n"
        b"S'\\xff\\x00\\n'\np14\ntp15\nb."
    )
    (tmp_path / "batch").write_bytes(array)
    assert read_arrays(tmp_path / "batch").value.tolist() == [255, 0, 10]


@pytest.mark.parametrize("array", [np.array([{}, []], object), np.zeros(2, "U3"), np.zeros(2, [("a", "u1")])])
def test_arrays_of_anything_but_numbers_are_refused(tmp_path: Path, array: np.ndarray) -> None:
    (tmp_path / "batch").write_bytes(pickle.dumps({"data": array}, 2))
    try:
        found = read_arrays(tmp_path / "batch")
    except DataError:
        return
    assert "numpy.dtype" in found.refused


# ---- damage


def mutated(good: bytes, rng: random.Random) -> bytes:
    """The file with some bytes changed, a part cut off, or a part put elsewhere."""
    data = bytearray(good)
    kind = rng.randrange(4)
    if kind == 0:
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif kind == 1:  # where the pickle is, in every format
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(min(len(data), 600))] ^= 1 << rng.randrange(8)
    elif kind == 2:
        del data[rng.randrange(len(data)) :]
    else:
        start, end, to = (rng.randrange(len(data)) for _ in range(3))
        part = data[min(start, end) : max(start, end)][:200]
        data[to : to + rng.choice([0, len(part)])] = part
    return bytes(data)


def attack(path: Path, good: bytes, read: Callable[[Path], Any], count: int, seed: int) -> int:
    """Reads the file under so many mutations; how many were refused."""
    rng, refused = random.Random(seed), 0
    for _ in range(count):
        path.write_bytes(mutated(good, rng))
        refused += fault_of(read, path) is not None
    return refused


def batch() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 48), dtype=np.uint8)
    return pickle.dumps({"data": pixels, "labels": [1, 2, 3], "mean": np.zeros(48)}, 2)


@pytest.mark.parametrize("kind", ["zip", "old", "batch", "batch 0", "batch 5"])
def test_damaged_files_give_one_kind_of_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    if kind.startswith("batch"):
        protocol = int(kind.removeprefix("batch") or 2)
        good, read = pickle.dumps(pickle.loads(batch()), protocol), read_arrays
    else:
        good, read = save(path, content(), kind == "old").read_bytes(), read_tensors
    assert attack(path, good, read, 400, seed=1) > 100


@pytest.mark.slow
@pytest.mark.parametrize("name", ["flat_rf5.pt", "denoisers/bias_free_unet_0-100.pt", "batch"])
def test_damaged_published_files(tmp_path: Path, shared: Path, name: str) -> None:
    good, read = (
        (batch(), read_arrays) if name == "batch" else ((shared / "reference" / name).read_bytes(), read_tensors)
    )
    assert attack(tmp_path / "file", good, read, 1200, seed=2) > 300


def test_reading_is_there_without_torch() -> None:
    code = "import mszoo.pickles, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
