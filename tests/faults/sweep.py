"""Everything that the package writes, with each of its system calls failing in turn.

``Sweep`` starts this file in a process of its own, into which the shim is loaded. There an operation is tried again and
again in forked children, on a copy of what stood before, until it meets no more call to fail.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from errno import EACCES, EIO, ENOSPC
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

__all__ = ["KINDS", "OPERATIONS", "Sweep", "Try"]

KINDS = {"ENOSPC": ENOSPC, "EIO": EIO, "EACCES": EACCES, "short": -2, "kill": -1}
_HERE = Path(__file__).parent
_MOST = 400  # calls of one operation


@dataclass
class Try:
    """What came of an operation one of whose calls failed.

    Attributes:
        call: its number and name.
        error: that the operation raised; empty: none, or it was killed.
        told: whether that is one that a user understands (this package's, or the system's).
        torn: files with a final name that hold neither what stood before nor what was to be written.
        left: temporary files.
        fault: what else is wrong with the folder.
    """

    call: str
    error: str
    told: bool
    torn: list[str]
    left: list[str]
    fault: str


class Sweep:
    """The process in which calls fail. Raises ``RuntimeError`` where no C compiler can build the shim."""

    def __init__(self, folder: Path) -> None:
        shim, self._folder = folder / "shim.so", folder
        command = [
            "cc",
            "-O1",
            "-shared",
            "-fPIC",
            "-o",
            str(shim),
            str(_HERE / "shim.c"),
            "-ldl",
        ]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=60)
        except (OSError, subprocess.SubprocessError) as error:
            raise RuntimeError(f"no shim without a C compiler: {error}") from None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.sweep", str(shim), str(folder)],
            env={**os.environ, "LD_PRELOAD": str(shim), "OMP_NUM_THREADS": "1", "MSZOO_PLUGINS": ""},
            cwd=_HERE.parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, operation: str, kind: str) -> list[Try]:
        """Try an operation once for each call that can fail in this way."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{operation} {kind}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process ended"
        return [Try(**values) for values in json.loads(answer)]

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


# ---- what is written: each prepares a folder, and returns what writes into it ----------------------------------------


def _model(seed: int, **options: Any) -> Any:
    from tests.factories import denoiser

    return denoiser(seed=seed, norm="none", **options)


def checkpoint(folder: Path, before: dict[str, Any] | None) -> Callable[[], object]:
    """A model where none is, another of the same parts, or one of others."""
    if before is not None:
        _model(0, **before).save_pretrained(folder, beside={"recipe.yaml": f"name: {len(before)}\n"})
    return partial(_model(1).save_pretrained, folder, beside={"recipe.yaml": "name: 0\n"})


def state(folder: Path) -> Callable[[], object]:
    """The state of a run, which prunes the oldest."""
    from accelerate import Accelerator

    from mszoo.training import state

    accelerator, network = Accelerator(cpu=True), _model(0)
    accelerator.prepare(network, torch.optim.Adam(network.parameters()))
    for step in (1, 2):
        state.save(accelerator, folder / "state", step, _model(step))
    return lambda: state.save(accelerator, folder / "state", 3, _model(3))


def image(folder: Path, name: str, pages: int = 1, dtype: str = "uint8") -> Callable[[], object]:
    """A picture in place of another."""
    from mszoo.pictures.picture import Page
    from mszoo.pictures.writing import write_picture

    def write(seed: int) -> None:
        rng = np.random.default_rng(seed)
        pixels = [Page(rng.integers(0, 200, (70, 90, 3)).astype(dtype), seconds=0.1) for _ in range(pages)]
        write_picture(folder / name, pixels)

    write(0)
    return lambda: write(1)


def table(folder: Path, name: str) -> Callable[[], object]:
    from mszoo.evaluation import write_csv, write_parquet
    from mszoo.evaluation.denoising import PsnrRow

    write = write_csv if name.endswith("csv") else write_parquet
    write([PsnrRow(0.1, 20.0, 30.0, 1)], folder / name)
    return lambda: write([PsnrRow(0.2, 20.0, 30.0, 1)] * 3000, folder / name)


def plot(folder: Path) -> Callable[[], object]:
    from mszoo.evaluation.plots import figure_of, histogram, save_figure

    def write(values: list[float]) -> None:
        save_figure(figure_of(lambda axes: histogram(axes, {"a": values})), folder / "plot.png")

    write([1.0, 2.0])
    return lambda: write([1.0, 3.0, 4.0])


def measurements(folder: Path) -> Callable[[], object]:
    from mszoo.evaluation import Likelihood, write_result

    write_result(folder, Likelihood("a", 1, 1.0, 2.0))
    return lambda: write_result(folder, Likelihood("b", 1, 1.0, 2.0))


def card(folder: Path) -> Callable[[], object]:
    from mszoo.cli.card import card

    (folder / "card.md").write_text("mine\n")
    return lambda: card("photographs-haar-rf13", out=folder / "card.md", overwrite=True)


def plugin(folder: Path) -> Callable[[], object]:
    from mszoo.scaffold import new_plugin

    return lambda: new_plugin("mszoo-mine", "head", folder / "mszoo-mine")


def library(folder: Path) -> Callable[[], object]:
    """The cache of compiled code, by a compiler that is quick."""
    from mszoo.inference.fast.library import Library

    made, compiler = folder.with_name("made.so"), folder.with_name("compiler")
    source = Path(sys.modules[Library.__module__].__file__).with_name("winograd.c")  # type: ignore[arg-type]
    if not made.exists():
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(made), str(source), "-lm"], check=True)
    compiler.write_text(f'#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\nexec cp {made} "$2"\n')
    compiler.chmod(0o755)
    os.environ.update(CC=str(compiler), XDG_CACHE_HOME=str(folder))
    return lambda: Library().functions(1e20)


def references(folder: Path) -> Callable[[], object]:
    """What the Hub's cache says of a branch."""
    from huggingface_hub import constants

    from mszoo.hub.cache import remember

    constants.HF_HUB_CACHE = str(folder)
    remember("org/model", "main", "0" * 40)
    return lambda: remember("org/model", "main", "1" * 40)


def verified(folder: Path) -> Callable[[], object]:
    """Which files of the Hub's cache were found good."""
    import hashlib

    from mszoo.hub.integrity import Record, verify

    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    records = {}
    for name in "ab":
        (snapshot / name).write_text(name)
        os.utime(snapshot / name, (1, 1))
        records[name] = Record(hashlib.sha256(name.encode()).hexdigest(), "a test")
    verify(snapshot, ["a"], records)
    return lambda: verify(snapshot, ["a", "b"], records)


def pins(folder: Path) -> Callable[[], object]:
    from mszoo.hub import release

    release.PINS = folder / "pins.json"
    release.PINS.write_text("{}\n")
    release.write_cards = lambda: []
    release.packaged_models = lambda: {"name": folder}
    release.push = lambda *_, **__: SimpleNamespace(commit="0" * 40, url="")
    release.publication = lambda *_: {}
    release.pins = lambda: {}
    return lambda: release.release("org")


def metrics(folder: Path) -> Callable[[], object]:
    """The log of a run that is resumed."""
    from accelerate import Accelerator

    from mszoo.recipe import read_recipe
    from mszoo.training.check import check
    from mszoo.training.log import Log

    recipe, _ = check(read_recipe("smoke-denoiser"))
    (folder / "metrics.jsonl").write_text("".join(f'{{"event": "train", "step": {k}}}\n' for k in range(2000)))
    return lambda: Log(folder, recipe, 1500, Accelerator(cpu=True))


def carelessly(folder: Path) -> Callable[[], object]:
    """What nobody should do: write where the older file stands, and look at nothing."""
    (folder / "file").write_text("old" * 1000)

    def write() -> None:
        handle = os.open(folder / "file", os.O_WRONLY | os.O_TRUNC)
        os.write(handle, b"new" * 1000)
        os.write(handle, b"end" * 1000)
        os.close(handle)

    return write


OPERATIONS: dict[str, Callable[[Path], Callable[[], object]]] = {
    "a first checkpoint": partial(checkpoint, before=None),
    "a checkpoint of the same model": partial(checkpoint, before={}),
    "a checkpoint of another model": partial(checkpoint, before={"width": 8}),
    "the state of a run": state,
    "metrics.jsonl": metrics,
    **{f"an image {n}": partial(image, name=n) for n in ("a.png", "a.jpg", "a.webp", "a.tif", "a.bmp", "a.gif")},
    "a deep PNG": partial(image, name="a.png", dtype="uint16"),
    "a deep stack": partial(image, name="a.tif", dtype="uint16", pages=3),
    "an animation": partial(image, name="a.gif", pages=3),
    "a table": partial(table, name="a.csv"),
    **({"a Parquet table": partial(table, name="a.parquet")} if find_spec("pyarrow") else {}),
    "a plot": plot,
    "evaluation.json": measurements,
    "a card": card,
    "a new plugin": plugin,
    "the cache of compiled code": library,
    "the Hub cache's references": references,
    "the Hub cache's records": verified,
    "pins.json": pins,
}


def check_checkpoint(folder: Path) -> None:
    """What counts as a checkpoint is a whole one: the older or the newer."""
    import mszoo
    from mszoo.errors import CheckpointError

    try:
        weights = mszoo.load(folder).state_dict()
    except CheckpointError as error:
        if (folder / "config.json").exists():
            raise AssertionError(f"it has a configuration, but: {error}") from None
        return
    models = [_model(0), _model(1), _model(0, width=8)]
    equal = [
        all(torch.equal(t, weights[n]) for n, t in m.state_dict().items())
        for m in models
        if {n: t.shape for n, t in m.state_dict().items()} == {n: t.shape for n, t in weights.items()}
    ]
    assert any(equal), "it loads as neither of the two models"


def check_state(folder: Path) -> None:
    """There is a newest state, and it is whole."""
    from accelerate import Accelerator

    from mszoo.training import state

    step = state.latest(folder / "state")
    assert step in (2, 3), f"the newest state is {step}"
    state.load(Accelerator(cpu=True), folder / "state", step, _model(0))


CHECKS = {name: check_checkpoint for name in OPERATIONS if "checkpoint" in name} | {"the state of a run": check_state}


# ---- the process -----------------------------------------------------------------------------------------------------


def _contents(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def _temporary(name: str) -> bool:
    return any(part.endswith(".part") or part.startswith("tmp") for part in Path(name).parts)


class _Operation:
    """One of them: what stood before, and what there is to be."""

    def __init__(self, shim: Any, name: str, root: Path) -> None:
        self.folder, self._kept, self._check = root / "folder", root / "kept", CHECKS.get(name)
        root.mkdir()
        self.folder.mkdir()
        self._act = (OPERATIONS | {"carelessly": carelessly})[name](self.folder)
        shutil.copytree(self.folder, self._kept)
        self._before = _contents(self.folder)
        self._shim = shim
        assert self._tried(0, 0)["error"] == ""
        self._after = _contents(self.folder)
        assert self._before != self._after

    def tries(self, kind: int) -> list[dict[str, Any]]:
        tries: list[dict[str, Any]] = []
        for n in range(1, _MOST):
            shutil.rmtree(self.folder)
            shutil.copytree(self._kept, self.folder)
            done = self._tried(n, kind)
            if done["call"] is None:
                return tries
            now = _contents(self.folder)
            done["torn"] = [
                name
                for name, data in now.items()
                if not _temporary(name)
                and not (self._check is check_checkpoint and name == "config.json")  # it may tell of both models
                and data not in (self._before.get(name), after := self._after.get(name, b""))
                and not (name.endswith(".jsonl") and after.startswith(data))  # a log grows
            ]
            done["left"] = [name for name in now if _temporary(name)]
            done["call"] = f"{n} {done['call']}"
            done["fault"] = ""
            if self._check is not None:
                try:
                    self._check(self.folder)
                except Exception as error:
                    done["fault"] = f"{type(error).__name__}: {error}"
            if lost := [n for n in self._before if n not in now and n in self._after]:
                done["fault"] += f"{lost} is gone"
            names = {name for name in now if not _temporary(name)}
            if done["error"] and names != self._before.keys() and names != self._after.keys():
                done["fault"] += f"after an error there are {sorted(names)}"
            tries.append(done)
        raise AssertionError("it never ends")

    def _tried(self, n: int, kind: int) -> dict[str, Any]:
        """One try; one that ends in a kill is made by a child."""
        if kind != KINDS["kill"]:
            return self._try(n, kind)
        readable, writable = os.pipe()
        child = os.fork()
        if not child:
            os.write(writable, json.dumps(self._try(n, kind)).encode())
            os._exit(0)
        os.close(writable)
        with open(readable, encoding="utf-8") as answer:
            text = answer.read()
        os.waitpid(child, 0)
        return json.loads(text) if text else {"call": "kill", "error": "", "told": True}

    def _try(self, n: int, kind: int) -> dict[str, Any]:
        from mszoo.errors import MszooError

        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        error, told = "", True
        self._shim.arm(str(self.folder).encode(), n, kind)
        try:
            self._act()
        except BaseException as caught:
            error = "".join(traceback.format_exception(caught))[-3000:]
            told = isinstance(caught, (OSError, MszooError))
        hit = self._shim.failed()
        self._shim.arm(b"", 0, 0)
        return {"call": hit and hit.decode(), "error": error, "told": told}


def main(shim_path: str, root: str) -> None:
    """Answer one line with another."""
    shim = ctypes.CDLL(shim_path)
    shim.failed.restype = ctypes.c_char_p
    shim.arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
    answers = os.dup(1)
    os.dup2(2, 1)
    operations: dict[str, _Operation] = {}
    for line in sys.stdin:
        name, _, kind = line.strip().rpartition(" ")
        if name not in operations:
            operations[name] = _Operation(shim, name, Path(root) / f"operation-{len(operations)}")
        os.write(answers, json.dumps(operations[name].tries(KINDS[kind])).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
