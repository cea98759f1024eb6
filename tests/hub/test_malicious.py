"""Files made to do harm: a clean error or a model, never a hang, never much memory, never a file elsewhere."""

from __future__ import annotations

import copy
import faulthandler
import io
import json
import os
import pickle
import random
import resource
import struct
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

import pytest
import torch  # noqa: F401 (memory is counted from here on)
from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import validate_repo_id

import mszoo
import mszoo.hub
from mszoo import MultiScaleModel
from mszoo.checkpoint.folder import CARD, CONFIG, EVALUATION, RECIPE, WEIGHTS
from mszoo.cli import card, info, models
from mszoo.errors import CheckpointError, HubError, MszooError, RecipeError
from mszoo.hub.listing import _of_card
from mszoo.hub.names import hub_name
from mszoo.recipe.source import Source, read_recipe

GIGABYTE = 2**30
HANG = 10.0  # seconds of the processor: far more than any file may take; what waits is stopped by the clock
MUTATIONS = 10_000

CNN = {"name": "bias_free_cnn", "receptive_field": 5, "width": 2, "depth": 3}
UNET = {"name": "unet", "width": 2, "halvings": 1, "depth": 2}
FLAT = {"conditioner": CNN, "head": "denoiser"}
ENERGY = {"conditioner": UNET, "head": "inner_product"}
ANCHORED = {"conditioner": {**UNET, "zero_output": True}, "head": {"name": "anchored", "basis": "db2", "levels": 2}}
LOCAL = {**CNN, "norm": "channel", "activation": "gelu", "noise_embedding": True, "brightness_invariant": True}
WIDE = {"conditioner": {"name": "bias_free_unet", "widths": [2, 3], "blocks": 1}, "head": "denoiser"}
MODELS: dict[str, dict[str, Any]] = {
    "flat": {"coarse": FLAT},
    "haar": {"basis": "haar", "levels": 2, "detail": FLAT, "coarse": WIDE},
    "db2": {
        "channels": 3,
        "basis": "db2",
        "levels": 1,
        "detail": {"conditioner": LOCAL, "head": "score"},
        "coarse": FLAT,
    },
    "energy": {"coarse": ENERGY},
    "anchored": {"coarse": ANCHORED},
}


def save(folder: Path, kind: str = "flat") -> Path:
    MultiScaleModel.from_config(MODELS[kind]).save_pretrained(folder, beside={RECIPE: "name: x\n"})
    return folder


# ---- ten thousand configurations -------------------------------------------------------------------------------

# Values that go wrong somewhere: in a product of sizes, in a float, in a message, in a comparison.
SCALARS: list[Any] = [
    *(0, 1, 2, -1, 3, 16, 17, 64, 65, 4095, 4096, 4097, 2**31, 2**63 - 1, 2**63, 2**64, 10**18, -(10**18), 10**30),
    *(10**400, 0.0, -0.0, 0.5, 1e-300, 1e308, float("nan"), float("inf"), float("-inf"), True, False, None, [], {}),
    *(
        "",
        " ",
        "x",
        "denoiser",
        "haar",
        "nan",
        "1e9",
        "../..",
        "/etc/passwd",
        "a\0b",
        "\ud800",
        "\x1b[2J",
        "C:\\x",
        "é",
    ),
    *("__class__", "self", "name", "mszoo.heads:Head", "os:system", "bior1.1", "learned/lattice", "timm/backbone"),
]
# Around the limits of the options that decide how large a model is.
LIMITS: dict[str, list[Any]] = {
    "depth": [0, 1, 2, 4, 63, 64, 65, 1023, 1024, 1025, 10**9],
    "width": [0, 1, 3, 1024, 1025, 4096, 4097, 10**12],
    "widths": [[], [0], [4096] * 8, [4096] * 9, [2, [3]], [1e9]],
    "blocks": [0, 1, 64, 65, 10**10],
    "halvings": [0, 1, 8, 9, 2**40],
    "levels": [0, 1, 2, 10, 11, 15, 16, 17, 31, 32, 2**40],
    "channels": [0, 1, 3, 4096, 4097, 2**40],
    "receptive_field": [4, 5, 6, 7, 9, 41, 43, 2049, 2**40 + 1],
    "norm": ["batch", "channel", "none", "Batch"],
    "activation": ["relu", "gelu", "softplus"],
    "basis": ["haar", "db2", "db38", "coif17", "dmey", "bior1.1", None, {"name": "db2", "wavelet": "haar"}],
    "head": ["denoiser", "score", "inner_product", "squared_norm", "anchored", {"name": "anchored", "levels": 10}],
    "version": ["0", "9" * 99],
    "size": [[1, 8, 8], [1, 8], [-1, 0, 2**70]],
    "t": [float("inf"), -1, "x"],
}

Case = tuple[Path, str]  # a folder, and what to call what is in it
Place = tuple[Any, Any]  # a mapping or a list, and a key of it


def places(value: Any) -> Iterator[Place]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield value, key
        yield from places(inner)


def replaced(rng: random.Random, root: Any) -> None:
    holder, key = rng.choice(list(places(root)))
    long = [lambda: "x" * rng.choice([300, 10**5]), lambda: [1] * 10**4, lambda: {f"depth{i}": i for i in range(500)}]
    holder[key] = rng.choice(long)() if rng.random() < 0.04 else copy.deepcopy(rng.choice(SCALARS))


def at_a_limit(rng: random.Random, root: Any) -> None:
    known = [(holder, key) for holder, key in places(root) if key in LIMITS]
    if known:
        holder, key = rng.choice(known)
        holder[key] = copy.deepcopy(rng.choice(LIMITS[key]))


def given(rng: random.Random, root: Any) -> None:
    """An option where it may not belong."""
    mappings = [holder[key] for holder, key in places(root) if isinstance(holder[key], dict)]
    if mappings:
        key = rng.choice(list(LIMITS))
        rng.choice(mappings)[key] = copy.deepcopy(rng.choice(LIMITS[key]))


def removed(rng: random.Random, root: Any) -> None:
    holder, key = rng.choice(list(places(root)))
    del holder[key]


def renamed(rng: random.Random, root: Any) -> None:
    named = [(holder, key) for holder, key in places(root) if isinstance(key, str)]
    if named:
        holder, key = rng.choice(named)
        holder[rng.choice(["", key + "x", key.upper(), "self", "kind", "name", "\ud800", "a.b[0]"])] = holder.pop(key)


def swapped(rng: random.Random, root: Any) -> None:
    (one, a), (two, b) = (rng.choice(list(places(root))) for _ in range(2))
    one[a], two[b] = copy.deepcopy(two[b]), copy.deepcopy(one[a])


def repeated(rng: random.Random, root: Any) -> None:
    """A list, made longer; or a mapping in place of the list."""
    lists = [(holder, key) for holder, key in places(root) if isinstance(holder[key], list)]
    if lists:
        holder, key = rng.choice(lists)
        times = rng.choice([2, 3, 8, 16, 17, 250])
        holder[key] = copy.deepcopy(holder[key]) * times if rng.random() < 0.8 else (holder[key] or [{}])[0]
        if key == "detail" and rng.random() < 0.7:
            root["model"]["levels"] = len(holder[key])


def nested(rng: random.Random, root: Any) -> None:
    holder, key = rng.choice(list(places(root)))
    for _ in range(rng.choice([1, 2, 50, 300])):
        holder[key] = [holder[key]] if rng.random() < 0.5 else {"name": holder[key]}


TREES = (replaced, replaced, replaced, at_a_limit, at_a_limit, given, removed, renamed, swapped, repeated, nested)


def bytes_flipped(rng: random.Random, text: bytes) -> bytes:
    data = bytearray(text)
    for _ in range(rng.choice([1, 2, 8])):
        data[rng.randrange(len(data))] = rng.choice([rng.randrange(256), *b'0129-{}[]",:eE.'])
    return bytes(data)


def digits_added(rng: random.Random, text: bytes) -> bytes:
    spots = [i for i, byte in enumerate(text) if byte in b"0123456789"]
    if not spots:
        return text
    i = rng.choice(spots)
    return text[:i] + b"9" * rng.choice([1, 3, 20, 400, 5000]) + text[i:]


def cut_out(rng: random.Random, text: bytes) -> bytes:
    i, j = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    return text[:i] + text[j:]


def doubled(rng: random.Random, text: bytes) -> bytes:
    """A stretch twice, which doubles keys too."""
    i, j = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    return text[:j] + text[i:j] + text[j:]


def deep(rng: random.Random, text: bytes) -> bytes:
    depth, i = rng.choice([900, 990, 10**5]), text.find(b":", rng.randrange(len(text))) + 1
    return (
        text[:i] + rng.choice([b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth]) + b"," + text[i:]
    )


TEXTS = (bytes_flipped, bytes_flipped, bytes_flipped, digits_added, cut_out, doubled, lambda _, text: text[:-9], deep)


def mutated(rng: random.Random, config: dict[str, Any]) -> bytes:
    tree = {"config": copy.deepcopy(config)}
    if rng.random() < 0.8:
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            # a mutation may leave less than the next one looks for
            with suppress(LookupError, TypeError, AttributeError):
                rng.choice(TREES)(rng, tree["config"])
        return json.dumps(tree["config"]).encode()
    return rng.choice(TEXTS)(rng, json.dumps(config).encode())


def resident() -> int:
    """Bytes of memory of this process now, where the system tells; else at most so far."""
    with suppress(OSError):
        return status("VmRSS")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def peak() -> int:
    with suppress(OSError):
        return status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def measured(cases: Iterable[Case], act: Callable[[Path], object]) -> dict[str, Any]:
    """``act`` on each case: what it raised that it must not, the slowest, and the memory it took at most."""
    warnings.simplefilter("ignore")
    before = resident()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak of what was imported
    report: dict[str, Any] = {"faults": [], "slowest": 0.0, "of": "", "worked": 0, "refused": 0, "longest": 0}
    for i, (folder, case) in enumerate(cases):
        if i % 100 == 0:
            faulthandler.dump_traceback_later(20 * HANG, exit=True)  # a hang shows where
        start = time.process_time()
        try:
            act(folder)
            report["worked"] += 1
        except MszooError as error:
            report["refused"] += 1
            report["longest"] = max(report["longest"], len(str(error)))
        except BaseException as error:  # whatever it is, it is the finding
            report["faults"].append(f"{type(error).__name__}: {str(error)[:300]} of {case[:3000]}")
        seconds = time.process_time() - start
        if seconds > report["slowest"]:
            report["slowest"], report["of"] = seconds, case[:3000]
    faulthandler.cancel_dump_traceback_later()
    return {**report, "memory": peak() - before}


def mutations(folders: list[Path], count: int, seed: int) -> Iterator[Case]:
    rng = random.Random(seed)
    configs = [(folder, json.loads((folder / CONFIG).read_text())) for folder in folders]
    for i in range(count):
        folder, config = configs[i % len(configs)]
        text = mutated(rng, config)
        (folder / CONFIG).write_bytes(text)
        yield folder, text.decode(errors="backslashreplace")


def verbs(folder: Path) -> None:
    """What the command line shows of a model in the cache: all of it printed, as to a terminal."""
    constants.HF_HUB_CACHE = str(folder)
    model = str(next(folder.glob("models--*/snapshots/*")))
    with io.TextIOWrapper(io.BytesIO(), encoding="utf-8") as terminal, redirect_stdout(terminal):
        models()
        for verb in (info, card):
            with suppress(MszooError):
                verb(model)
        written = terminal.buffer.getvalue()  # type: ignore[attr-defined]
    assert b"\x1b" not in written, "it steers the terminal"


ACTS: dict[str, Callable[[Path], object]] = {"mutations": mszoo.load, "load": mszoo.load, "verbs": verbs}


def apart(*words: str, seconds: float = 120 * HANG) -> dict[str, Any]:
    """This file as a program: memory and hangs are of a process of its own."""
    root = Path(__file__).parents[2]
    env = {**os.environ, "MSZOO_PLUGINS": "", "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, *words]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=seconds, cwd=root)
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads(done.stdout)


def tell(report: dict[str, Any]) -> None:
    """What was measured, for `pytest -s`."""
    numbers = {key: report[key] for key in ("worked", "refused", "longest")}
    print(f"{report['memory'] / 2**20:.0f} MiB, slowest {report['slowest']:.2f} s ({report['of'][:60]}), {numbers}")


def check(report: dict[str, Any]) -> None:
    assert not report["faults"], f"{len(report['faults'])} faults:\n" + "\n".join(report["faults"][:5])
    assert report["memory"] < GIGABYTE, report
    assert report["slowest"] < HANG, report
    assert report["longest"] < 10_000, "a message that nobody can read"


def test_ten_thousand_mutated_configurations(tmp_path: Path) -> None:
    for i, kind in enumerate(MODELS):
        save(tmp_path / str(i), kind)
    report = apart("mutations", str(tmp_path), str(MUTATIONS))
    tell(report)
    check(report)
    assert report["worked"] + report["refused"] == MUTATIONS
    assert min(report["worked"], report["refused"]) > MUTATIONS // 50, "they should be near what is right"


# ---- weights and configurations that claim what is not there ---------------------------------------------------


def header(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what the header of the weights says, and leave the tensors' bytes."""
    raw = (folder / WEIGHTS).read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    values = json.loads(raw[8 : 8 + length])
    values.pop("__metadata__", None)
    change(values)
    raw_header(folder, json.dumps(values).encode(), raw[8 + length :])


def raw_header(folder: Path, text: bytes, data: bytes = b"") -> None:
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + data)


def every(**entry: Any) -> Callable[[dict[str, Any]], object]:
    return lambda values: [tensor.update(entry) for tensor in values.values()]


def one(**entry: Any) -> Callable[[dict[str, Any]], object]:
    return lambda values: next(iter(values.values())).update(entry)


def claims_length(length: int) -> Callable[[Path], object]:
    return lambda folder: (folder / WEIGHTS).write_bytes(struct.pack("<Q", length) + b"{}")


def sparse(size: int) -> Callable[[Path], object]:
    """A header of zeros that is really there, in a file without blocks."""

    def act(folder: Path) -> None:
        with open(folder / WEIGHTS, "wb") as file:
            file.write(struct.pack("<Q", size))
            file.truncate(8 + size)

    return act


def many_tensors(folder: Path) -> None:
    entry = '"%d":{"dtype":"F32","shape":[],"data_offsets":[%d,%d]}'
    text = ",".join(entry % (i, 4 * i, 4 * i + 4) for i in range(200_000))
    raw_header(folder, f"{{{text}}}".encode(), bytes(800_000))


def same_name(folder: Path) -> None:
    entry = '"coarse.conditioner.first.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    raw_header(folder, f"{{{','.join([entry] * 50_000)}}}".encode(), bytes(4))


def config(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def act(folder: Path) -> None:
        values = json.loads((folder / CONFIG).read_text())
        change(values)
        (folder / CONFIG).write_text(json.dumps(values))

    return act


def coarse(**options: Any) -> Callable[[Path], object]:
    return config(lambda values: values["model"]["coarse"]["conditioner"].update(options))


def asks(model: dict[str, Any]) -> Callable[[Path], object]:
    return config(lambda values: values.update(model=model))


def special(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    """Something that is no plain file under a name that is read."""

    def act(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return act


LARGEST = {"name": "bias_free_cnn", "width": 4096, "depth": 1024, "norm": "channel", "noise_embedding": True}
LARGE = {"conditioner": LARGEST, "head": "denoiser"}
LARGE_UNET = {"conditioner": {"name": "unet", "width": 1024, "halvings": 8, "depth": 64}, "head": "inner_product"}
CLAIM = {"kind": "conditioner", "name": "bias_free_cnn", "distribution": "mszoo", "version": "0"}
HARMS: dict[str, Callable[[Path], object]] = {
    "claims terabytes": lambda f: header(f, every(shape=[2**20, 2**20])),
    "claims more than there are numbers": lambda f: header(f, every(shape=[2**32, 2**32, 2**32])),
    "claims terabytes of nothing": lambda f: header(f, one(shape=[0, 2**60], data_offsets=[0, 0])),
    "tensors overlap": lambda f: header(f, every(data_offsets=[0, 72])),
    "tensors end before they begin": lambda f: header(f, one(data_offsets=[72, 0])),
    "tensors beyond the file": lambda f: header(f, one(data_offsets=[2**40, 2**40 + 72])),
    "offsets below zero": lambda f: header(f, one(data_offsets=[-72, 0])),
    "offsets of other types": lambda f: header(f, one(data_offsets=["0", 72.5])),
    "shape of another type": lambda f: header(f, one(shape="terabytes")),
    "shape of many sides": lambda f: header(f, one(shape=[1] * 10_000)),
    "unknown type of numbers": lambda f: header(f, every(dtype="PICKLE")),
    "metadata of another type": lambda f: header(f, lambda values: values.update(__metadata__=[1])),
    "names that are paths": lambda f: header(f, lambda v: v.update({"../../etc/passwd": v.pop(next(iter(v)))})),
    "header of exabytes": claims_length(2**63),
    "header of all bits": claims_length(2**64 - 1),
    "header of a terabyte": claims_length(2**40),
    "header of 99 million bytes": sparse(99_000_000),
    "header of 16 million bytes": sparse(2**24),
    "header without a length": lambda f: (f / WEIGHTS).write_bytes(b"\0\0"),
    "deep header": lambda f: raw_header(f, b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "many tensors": many_tensors,
    "one name many times": same_name,
    "asks for the largest": coarse(**LARGEST),
    "asks for the largest of every scale": asks({"basis": "haar", "levels": 16, "detail": LARGE, "coarse": LARGE}),
    "asks for terabytes in few tensors": asks({"channels": 4096, "coarse": {**LARGE_UNET, "head": "denoiser"}}),
    "asks for many U-Nets": asks({"basis": "db38", "levels": 16, "detail": LARGE_UNET, "coarse": LARGE_UNET}),
    "asks for many channels": asks({"channels": 10**12, "coarse": FLAT}),
    "asks for many unknown options": coarse(**{f"depth{i}": i for i in range(40_000)}),
    "asks for an option with a long name": coarse(**{"depth" * 100_000: 1}),
    "asks for a part with a long name": coarse(name="bias_free_cnn" * 50_000),
    "config too long": config(lambda values: values.update(note="x" * 2**21)),
    "config too deep": lambda f: (f / CONFIG).write_text('{"model":' + "[" * 400_000),
    "many components": config(lambda values: values.update(components=[CLAIM] * 8000)),
    "components of another type": config(lambda values: values.update(components=[1] * 200_000)),
    "constants of another type": config(lambda values: values.update(constants=[1] * 200_000)),
    "constants that are no list": config(lambda values: values.update(constants={"size": 1})),
    "config without end": special(CONFIG, lambda path: path.symlink_to("/dev/zero")),
    "weights without end": special(WEIGHTS, lambda path: path.symlink_to("/dev/zero")),
    "config is a pipe": special(CONFIG, lambda path: os.mkfifo(path)),
    "weights are a pipe": special(WEIGHTS, lambda path: os.mkfifo(path)),
}


def test_claims_of_what_is_not_there(tmp_path: Path) -> None:
    for name, harm in HARMS.items():
        harm(save(tmp_path / name))
    report = apart("load", str(tmp_path))
    tell(report)
    check(report)
    assert report["worked"] == 0, "each must be refused"


@pytest.mark.parametrize(
    "network", [{**CNN, "width": 4096}, {"name": "unet", "width": 1024, "halvings": 8}], ids=["cnn", "unet"]
)
def test_parts_that_need_values_are_built_in_bounds(
    network: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a plugin's part cannot be built without memory, the others are still no larger than the file."""
    asks({"coarse": {"conditioner": network, "head": "denoiser"}})(save(tmp_path))
    monkeypatch.setattr("mszoo.checkpoint.reading.expected_shapes", lambda *_, **__: None)
    with pytest.raises(CheckpointError, match="far larger than those of the file"):
        mszoo.load(tmp_path)


def test_a_pickle_beside_the_weights_is_never_opened(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "harm"),)

    save(tmp_path / "model")
    for name in ("pytorch_model.bin", "model.pt", "model.pkl"):
        (tmp_path / "model" / name).write_bytes(pickle.dumps(Harm()))
    mszoo.load(tmp_path / "model")
    (tmp_path / "model" / WEIGHTS).write_bytes(pickle.dumps(Harm()))
    with pytest.raises(CheckpointError, match="no safetensors file"):
        mszoo.load(tmp_path / "model")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("claimed", ["their-parts", "../../x", "x; rm -rf /"])
def test_an_unknown_component_is_told_as_a_claim(claimed: str, tmp_path: Path) -> None:
    claim = {"kind": "head", "name": "their/head", "distribution": claimed, "version": "1"}
    config(lambda values: values["components"].append(claim))(save(tmp_path))
    with pytest.raises(CheckpointError, match="claims that it comes from") as caught:
        mszoo.load(tmp_path)
    assert repr(claimed) in str(caught.value)


# ---- names -----------------------------------------------------------------------------------------------------

NAMES = [
    *("../../x", "/etc/passwd", "..", ".", "a/../../b", "a/..", "../a", "a\\..\\b", "C:\\x", "a\0b", "\0", "a/b\0", ""),
    *("hf-hub:../../x", "hf-hub:/etc", "hf-hub:a/../b", "hf-hub:a/b/c", "hf-hub:", "hf-hub:a/b@../../x", "a/b@/etc"),
    *("a/b@..", "a/b@x/../y", "a/b@\0", "a/b@" + "x" * 300, "a/b@x\ny", "a/b\n", "a/-b", "a/b.git", "-a/b", "a./b"),
    *("a--b/c", "a/b--c", "a/.b", "é/b", "a/\u2215b", "a/" + "b" * 97, "a" * 97 + "/b", "\ud800/b", "a%2f..%2fb/c"),
    "x" * 5000,
]


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files are all known: the cache is inside it, and so is where the test stands."""
    (tmp_path / "outer" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "outer" / "here")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "outer" / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_lead_nowhere_else(name: str, nowhere: Path) -> None:
    before = sorted(nowhere.rglob("*"))
    with pytest.raises(CheckpointError):
        mszoo.load(name)
    with pytest.raises(HubError):
        mszoo.hub.pull(name)
    for revision in ("../../x", "/etc", "\0", "x" * 300, "a\\b", "-x"):
        with pytest.raises(HubError):
            mszoo.hub.pull("owner/name", revision=revision)
    assert sorted(nowhere.rglob("*")) == before


@pytest.mark.parametrize("name", [*NAMES, "owner/name", "o/n@v1.0", "o/n@a/b", "hf-hub:Some-One/x_y.z@main"], ids=ascii)
def test_what_is_taken_for_a_repository_is_one_folder_of_the_cache(name: str) -> None:
    try:
        found = hub_name(name)
    except HubError:
        return
    if found is not None:
        validate_repo_id(found.repo_id)  # the client's rules
        assert Path(repo_folder_name(repo_id=found.repo_id, repo_type="model")).parts[1:] == ()
        assert ".." not in Path(found.revision or "").parts
        assert not Path(found.revision or "").is_absolute()


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd/x", "a\0b", "x" * 5000, "a" * 200 + ".yaml", "\ud800"])
def test_names_of_recipes_lead_to_recipes(name: str, nowhere: Path) -> None:
    with pytest.raises(RecipeError):
        read_recipe(name)


# ---- what lies beside the weights ------------------------------------------------------------------------------


def laughs(levels: int, last: str) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join([*lines, last.format(f"*a{levels - 1}")])


def merges(levels: int) -> str:
    lines = ["a0: &a0 {x: 1, y: 2}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, levels)]
    return "\n".join(lines)


YAML: dict[str, str] = {
    "laughs": laughs(9, "description: {}"),
    "laughs in a key": laughs(9, "? {}\n: 1"),
    "merged laughs": merges(9),
    "itself": "description: &a [*a]",
    "deep": "description: " + "[" * 60_000,
    "deep blocks": "".join(" " * i + "a:\n" for i in range(1200)),
    "long": "description: " + "x" * 2**22,
    "many keys": "\n".join(f"a{i}: 1" for i in range(6000)),
    "many values": f"description: [{'a, ' * 20_000}]",
    "long number": "description: " + "9" * 5000,
    "long hexadecimal number": "description: 0x" + "f" * 9000,
    "sexagesimal number": "description: " + ":".join(["9"] * 20_000),
    "sexagesimal float": "description: !!float " + ":".join(["9"] * 400),
    "no day": "description: 2001-99-99",
    "steers a terminal": 'description: "\\e[2J\\e[31mred"',
    "half a character": 'description: "\\ud800"',
    "no character": 'description: "\\UFFFFFFFF"',
    "list as a key": "[a, b]: 1",
    "list as a key of an ordered mapping": "description: !!omap [ ? [a] : b ]",
    "no mapping": "[1, 2]",
    "numbers as keys": "1: 2\n3.5: 4\nnull: 1",
    "values of other types": "description: {a: [1]}\npublication: 3\nmodel: [1]\nname: {}",
    "binary": "\x00\x01",
    "many documents": "a: 1\n---\n" * 1000,
    **{f"tag {t}": f"description: !!{t} foo" for t in ("bool", "int", "float", "timestamp", "binary", "set", "omap")},
    **{f"empty {t}": f"description: !!{t} ''" for t in ("bool", "int", "float", "timestamp", "null", "pairs")},
}
TAGS = ("object/apply:os.mkdir [HARM]", "object/new:os.mkdir [[HARM]]", "name:os.mkdir ''", "module:antigravity ''")


def evaluation(**entry: Any) -> str:
    row = {"sigma": 0.1, "noisy": 20.0, "denoised": 30.0, "images": 1}
    result = {"data": "set", "seed": 0, "rows": [row], **entry}
    return json.dumps(
        {"psnr": [result], "nll": [{"data": "set", "images": 1, "nll": 3.0, "db_per_dim": 10.0, **entry}]}
    )


def row(**entry: Any) -> str:
    return evaluation(rows=[{"sigma": 0.1, "noisy": 20.0, "denoised": 30.0, "images": 1, **entry}])


JSON: dict[str, str] = {
    "right": evaluation(),
    "deep": '{"psnr": ' + "[" * 400_000,
    "deep but whole": '{"psnr": [' + "[" * 900 + "]" * 900 + "]}",
    "long": '{"psnr": [' + "1," * 2**21 + "1]}",
    "many of another type": '{"psnr": [' + "1," * 200_000 + "1]}",
    "many rows": evaluation(rows=[{"sigma": 1, "noisy": 1, "denoised": 1, "images": 1}] * 9000),
    "long number": row(denoised=10**400),
    "long count": row(images=10**4000),
    "longer count": row(images=1).replace('"images": 1}]', '"images": 1' + "0" * 5000 + "}]"),
    "no numbers": row(sigma=float("nan"), noisy=float("inf"), denoised=float("-inf")),
    "long name": evaluation(data="x" * 500_000),
    "name that steers a terminal": evaluation(data="\x1b[2J"),
    "name of half a character": evaluation(data="\ud800"),
    "name that is markup": evaluation(data="[red]x[/] ![](javascript:1) | | \u202e"),
    "name of another type": evaluation(data={"a": [1]}),
    "rows of another type": evaluation(rows={"a": 1}),
    "long likelihood": evaluation(nll=10**400),
    "list": "[1]",
    "nothing": "",
    "binary": "\x00",
}


def cached(folder: Path, **files: str) -> None:
    """A cache with one model in it, and these files beside its weights."""
    snapshot = save(folder / "models--owner--name" / "snapshots" / ("0" * 40))
    for name, text in files.items():
        (snapshot / {"recipe": RECIPE, "evaluation": EVALUATION, "card": CARD}[name]).write_text(text)


def test_what_lies_beside_the_weights(tmp_path: Path) -> None:
    harm, place = tmp_path / "harm", tmp_path / "caches"
    for name, text in YAML.items():
        cached(place / f"recipe {name}", recipe=text, card=f"---\n{text}\n---\n")
    for i, tag in enumerate(TAGS):
        text = f"description: !!python/{tag.replace('HARM', str(harm))}"
        cached(place / f"tag {i}", recipe=text, card=f"---\n{text}\n---\n")
    for name, text in JSON.items():
        cached(place / f"evaluation {name}", evaluation=text)
    report = apart("verbs", str(place))
    tell(report)
    check(report)
    assert not harm.exists()


@pytest.mark.parametrize("name", YAML)
def test_a_recipe_is_read_or_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / RECIPE).write_text(YAML[name])
    with suppress(RecipeError):
        read_recipe(tmp_path / RECIPE)
    if len(YAML[name]) < 10_000:
        with suppress(RecipeError):
            Source("a: 1", "recipe").override("a=" + YAML[name].partition(": ")[2])


# ---- what the Hub lists ----------------------------------------------------------------------------------------

CARD_DATA: dict[str, Any] = {
    "mszoo": {"parameters": 1000, "receptive_field": 13, "description": "a model"},
    "model-index": [
        {"results": [{"dataset": {"name": "set"}, "metrics": [{"type": "psnr_x", "name": "PSNR", "value": 30.0}]}]}
    ],
}


@pytest.mark.parametrize("seed", range(20))
def test_a_card_of_wrong_types_is_listed_all_the_same(seed: int) -> None:
    rng = random.Random(seed)
    assert _of_card("a/b", CARD_DATA).measured == "30.00 PSNR on set"
    for _ in range(100):
        card = copy.deepcopy(CARD_DATA)
        for _ in range(rng.choice([1, 2])):
            replaced(rng, card)
        entry = _of_card("a/b", card)
        assert entry.size is None or 0 <= entry.size < 2**53
        for text in (entry.measured, entry.description):
            assert text.isprintable()
            assert len(text) < 5000
        f"{(entry.size or 0) / 2**20:.1f}{entry.receptive_field}{entry.measured}{entry.description}".encode()


def main(kind: str, place: str, *words: str) -> None:
    folders = sorted(path for path in Path(place).iterdir() if path.is_dir())
    cases = mutations(folders, int(words[0]), 0) if kind == "mutations" else ((f, f.name) for f in folders)
    json.dump(measured(cases, ACTS[kind]), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
