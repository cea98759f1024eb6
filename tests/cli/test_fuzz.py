"""Command lines that nobody would write end in errors of this package or of usage, and write nothing elsewhere."""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import typer
from PIL import Image

from mszoo.cli import app
from tests.cli.conftest import save_image
from tests.factories import denoiser, energy, small_run

WORK = 90  # seconds of the processor, after which a command counts as one that does not end,
WAIT = 900  # and of the clock, after which it counts as one that waits for what does not come
# Verbs that train for minutes whatever they are told, that show a picture of the packaged model, or that serve a page.
LONG = {
    ("demo",),
    ("report",),
    ("web",),
    ("compare",),
    *(("experiment", name) for name in ("scale-mixture", "known-densities", "dimensionality", "modes")),
}
VALUES = [
    *("", "0", "1", "2", "-1", "8", "nan", "inf", "-inf", "1e400", "0.1", "25/255", "1/0", "0x10", "1_0", "9" * 5000),
    *("99999999999999999999", "²", "x", "a=b", "=", "0:1", "1:0", "0:4095", "::", "16", "8x16", "0x0", "16x-1", "-"),
    *("1,1", "1,", "a,b", "../x", "/dev/null", "/dev/full", ".", "..", "~", "%s", "a\nb", "\x1b[31m", "\udce9", "*"),
    *("haar", "anchored", "basis", "conditioner", "inpainting", "blur", "super-resolution", "random-pixels", "csv"),
    *("parquet", "cpu", "cuda", "cuda:99", "meta", "mps", "main", "v1.0", "org/model", "hf-hub:org/model", "a/b/c"),
    *("photographs-haar-rf13", "cifar10-grey-energy", "smoke-denoiser", "training.steps=1", "model.levels=x"),
]
HERE = ["photo.png", "colour.png", "photos", "grey", "energy", "recipe.yaml", "text.txt", "nowhere", "out", "out/a.png"]
HERE += [
    "new.png",
    "new.tif",
    "new.txt",
    "photos/new",
    "photo.png/x",
    "grey/model.safetensors",
    "grey/config.json",
    "fifo",
]


FITTING = {  # what makes sense, by the name of an option or argument: given more often
    **{"model": ["grey", "energy"], "models": ["grey", "energy"], "data": ["photos", "photo.png"]},
    **{
        "image": ["photo.png", "colour.png"],
        "images": ["photos", "photo.png"],
        "paths": ["photo.png", "photos", "out"],
    },
    **{"out": ["new.png", "out", "out/b", "new.tif"], "recipe": ["smoke-denoiser", "smoke-energy"]},
}


def commands(command: Any, above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every verb, with its options and arguments."""
    inner = getattr(command, "commands", None)
    if inner is None:
        return {above: command}
    return {k: v for name, one in inner.items() for k, v in commands(one, (*above, name)).items()}


VERBS = {words: verb for words, verb in commands(typer.main.get_command(app)).items() if words not in LONG}


def mutate(chance: random.Random) -> list[str]:
    """A verb with words that may mean something, in an order that may be right."""
    words = chance.choice(list(VERBS))
    given: list[str] = []
    for parameter in VERBS[words].params:
        option = max(getattr(parameter, "opts", [""]), key=len)
        several = chance.choice([1, 1, 2, 3]) if parameter.nargs == -1 or parameter.multiple else 1
        pool = FITTING.get(parameter.name or "", HERE)
        value = [chance.choice(pool if chance.random() < 0.7 else [*HERE, *VALUES]) for _ in range(several)]
        if parameter.param_type_name == "argument":
            given += value if chance.random() < 0.95 else []
        elif chance.random() < (0.8 if parameter.required else 0.2):
            flag = getattr(parameter, "is_flag", False)
            given += [option] if flag else [option, *value[:1]] if pool is not HERE else [option, chance.choice(VALUES)]
    if words == ("train",):
        given += small_run("training.checkpoint_every=1", steps=1)
    if words == ("sample",) and "--size" not in given:
        given += ["--size", "16"]
    if chance.random() < 0.1:
        given.insert(chance.randrange(len(given) + 1), chance.choice(VALUES))
    if chance.random() < 0.05:
        chance.shuffle(given)
    return [*words, *given]


@contextmanager
def within(work: int, wait: int) -> Iterator[None]:
    """A command that takes longer is told of; how busy the machine is does not count as its work."""

    def end(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"it works for {work} seconds" if number == signal.SIGPROF else f"it waits for {wait}")

    timers = {signal.ITIMER_PROF: (signal.SIGPROF, work), signal.ITIMER_REAL: (signal.SIGALRM, wait)}
    before = {number: signal.signal(number, end) for number, _ in timers.values()}
    for timer, (_, seconds) in timers.items():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


class Writes:
    """Every file that this process opens for writing, makes or renames while it is watched."""

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self.watched = False
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.watched or event not in ("open", "os.mkdir", "os.rename", "os.remove", "os.link", "os.symlink"):
            return
        path, flags = arguments[0], arguments[2] if event == "open" else os.O_WRONLY
        if isinstance(path, (str, bytes)) and isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            self.paths.add(os.path.realpath(os.fsdecode(path)))


@pytest.fixture(scope="module")
def writes() -> Writes:
    return Writes()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a little of everything, from which the commands are given."""
    here = tmp_path / "here"
    save_image(here / "photo.png", 16, 16)
    save_image(here / "colour.png", 16, 24, 3)
    save_image(here / "photos" / "a.png", 16, 16)
    Image.new("L", (3, 5)).save(here / "photos" / "small.png")
    denoiser(levels=1).save_pretrained(here / "grey", beside={"recipe.yaml": "name: grey\n"})
    energy(levels=1).save_pretrained(here / "energy")
    (here / "recipe.yaml").write_text("name: mine\nmodel: {coarse: {conditioner: x}}\n")
    (here / "text.txt").write_text("text")
    (here / "out").mkdir()
    os.mkfifo(here / "fifo")
    monkeypatch.chdir(here)
    for name in ("HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("CC", "")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return here


def fuzz(seeds: range, place: Path, mszoo_command: Any, writes: Writes) -> None:
    for seed in seeds:
        words = mutate(random.Random(seed))
        writes.paths.clear()
        writes.watched = True
        try:
            with within(WORK, WAIT):
                code, _, complaints = mszoo_command(*words)
        except BaseException as error:
            raise AssertionError(f"command line {seed}, {words}: {type(error).__name__}: {error}") from error
        finally:
            writes.watched = False
        assert code in (0, 1, 2), (seed, words, code)
        assert code == 0 or complaints, (seed, words)
        allowed = (os.path.realpath(place.parent), "/dev/null", "/dev/full", "/dev/tty")
        elsewhere = [path for path in writes.paths if not path.startswith(allowed)]
        assert not elsewhere, (seed, words, elsewhere)


def test_a_hundred_command_lines(place: Path, mszoo_command: Any, writes: Writes) -> None:
    fuzz(range(100), place, mszoo_command, writes)


@pytest.mark.fuzz
@pytest.mark.parametrize("part", range(100))
def test_ten_thousand_command_lines(part: int, place: Path, mszoo_command: Any, writes: Writes) -> None:
    fuzz(range(100 * part, 100 * part + 100), place, mszoo_command, writes)
