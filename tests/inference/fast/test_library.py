"""The compiled library: kept, trusted only where it may be, and never in the way."""

from __future__ import annotations

import math
import os
import shutil
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import platformdirs
import pytest
import torch
import torch.nn.functional as F

from mszoo.inference.fast import winograd
from mszoo.inference.fast.library import PAYS, Library
from mszoo.inference.fast.winograd import Stage

needs_compiler = pytest.mark.skipif(Library().functions(math.inf) is None, reason="there is no C compiler here")
posix = pytest.mark.skipif(sys.platform == "win32", reason="modes and owners are POSIX's")


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """Where compiled code is kept, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return Path(platformdirs.user_cache_dir("mszoo", appauthor=False)) / "compiled"


def told(library: Library, work: float = math.inf) -> list[str]:
    """The warnings of asking for the functions, three times."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(3):
            library.functions(work)
    return [str(w.message) for w in seen]


def script(folder: Path, text: str) -> str:
    """The path of a program that stands in for a compiler."""
    path = folder / "compiler"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


# What a compiler can do wrong; $target is where the library should go.
TARGET = 'for word; do [ "$last" = -o ] && target=$word; last=$word; done'
FAULTY = {
    "fails": ("exit 3", "exit code 3"),
    "says why, and fails": ("echo 'no such flag' >&2; exit 1", "no such flag"),
    "writes nothing": ("exit 0", "writes no library"),
    "writes garbage": (f"{TARGET}; echo garbage > $target", "cannot be loaded"),
    "writes an empty file": (f"{TARGET}; : > $target", "cannot be loaded"),
    "writes a folder": (f"{TARGET}; mkdir $target", "writes no library"),
    "leaves out the functions": (f"{TARGET}; echo 'int x;' | cc -shared -fPIC -xc - -o $target", "mszoo_mix"),
    "hangs": ("sleep 1000", "more than 0.5 seconds"),
    "hangs, ignoring signals": ("trap '' TERM INT; while true; do sleep 1; done", "more than 0.5 seconds"),
}


@posix
@pytest.mark.parametrize("fault", FAULTY)
def test_a_compiler_that_does_not_work_costs_one_warning(fault, cache, tmp_path, monkeypatch):
    text, reason = FAULTY[fault]
    if "cc " in text and shutil.which("cc") is None:
        pytest.skip("there is no C compiler here")
    monkeypatch.setenv("CC", script(tmp_path, text))
    library = Library(patience=0.5 if "hangs" in fault else 60)
    (warning,) = told(library)
    assert library.functions(math.inf) is None
    assert reason in warning
    assert "\n" not in warning
    assert not list(cache.iterdir())


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [("no-such-compiler", "no C compiler 'no-such-compiler'"), ("cc 'unbalanced", "CC cannot be read"), ("", None)],
)
def test_without_a_compiler(compiler, reason, cache, monkeypatch):
    monkeypatch.setenv("CC", compiler)
    library = Library()
    seen = told(library)
    assert library.functions(math.inf) is None
    assert [reason in warning for warning in seen] == ([True] if reason else [])


def test_little_work_needs_no_compiler_and_no_warning(cache, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    library = Library()
    assert told(library, PAYS / 10) == []
    assert len(told(library)) == 1


@needs_compiler
@posix
def test_no_more_processes():
    """In a process of its own, as the limit cannot be raised again; root, who has none, becomes nobody."""
    code = """
import os, resource, tempfile
from mszoo.inference.fast.library import Library, _folder
with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
    os.environ["XDG_CACHE_HOME"] = folder
    _folder()  # imports what it needs
    if os.getuid() == 0:
        os.chown(folder, 65534, 65534)
        os.setgid(65534)
        os.setuid(65534)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    library = Library()
    assert library.functions(1e30) is None
    assert library.functions(1e30) is None
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("convolutions are done by PyTorch") == 1
    assert "cannot be started" in done.stderr


@needs_compiler
def test_it_is_compiled_when_that_pays_and_then_kept(cache):
    patient = Library()
    assert patient.functions(0.4 * PAYS) is None
    assert patient.functions(0.4 * PAYS) is None
    assert not cache.exists()
    assert patient.functions(0.4 * PAYS) is not None
    (kept,) = cache.iterdir()
    before = kept.stat().st_mtime_ns
    assert Library().functions(1.0) is not None
    assert [path.stat().st_mtime_ns for path in cache.iterdir()] == [before]


@needs_compiler
@posix
def test_it_belongs_to_the_user_alone(cache):
    old = os.umask(0)
    try:
        assert Library().functions(math.inf) is not None
    finally:
        os.umask(old)
    for path in (cache, *cache.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


@needs_compiler
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_library_is_never_loaded(damage, cache):
    Library().functions(math.inf)
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    flipped = bytes([*whole[:5000], whole[5000] ^ 1, *whole[5001:]])
    # in another file of this name: the library of before may still be mapped into this process
    kept.unlink()
    kept.write_bytes({"cut": whole[:-100], "flipped": flipped, "empty": b""}[damage])
    kept.chmod(0o700)
    assert Library().functions(1.0) is None
    assert Library().functions(math.inf) is not None
    (again,) = cache.iterdir()
    assert again.read_bytes() != flipped


@needs_compiler
@posix
@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_others_may_write_is_not_loaded(what, cache):
    Library().functions(math.inf)
    (kept,) = cache.iterdir()
    (cache if what == "folder" else kept).chmod(0o777)
    library = Library()
    (warning,) = told(library)
    assert library.functions(math.inf) is None
    assert "could have been written by another user" in warning


@needs_compiler
@posix
@pytest.mark.skipif(not hasattr(os, "chown") or os.getuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_others_own_is_not_loaded(what, cache):
    Library().functions(math.inf)
    (kept,) = cache.iterdir()
    os.chown(cache if what == "folder" else kept, 12345, 12345)
    (warning,) = told(Library())
    assert "could have been written by another user" in warning


@needs_compiler
@posix
def test_a_link_is_not_followed(cache, tmp_path):
    Library().functions(math.inf)
    (kept,) = cache.iterdir()
    kept.rename(tmp_path / "elsewhere.so")
    kept.symlink_to(tmp_path / "elsewhere.so")
    (warning,) = told(Library())
    assert "is a link" in warning


@needs_compiler
def test_a_cache_that_cannot_be_made(cache, tmp_path):
    (tmp_path / "cache").write_text("a file in the way")
    library = Library()
    (warning,) = told(library)
    assert library.functions(math.inf) is None
    assert "XDG_CACHE_HOME" in warning


@needs_compiler
@posix
@pytest.mark.skipif(hasattr(os, "getuid") and os.getuid() == 0, reason="root may write everywhere")
def test_a_cache_that_is_read_only(cache):
    cache.mkdir(parents=True)
    cache.chmod(0o500)
    assert len(told(Library())) == 1


@needs_compiler
def test_no_temporary_folder_is_needed(cache, monkeypatch, tmp_path):
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(tmp_path / "missing"))
    library = Library()
    assert told(library) == []
    assert library.functions(math.inf) is not None


@needs_compiler
@posix
def test_other_flags_are_another_library(cache, monkeypatch):
    Library().functions(math.inf)
    monkeypatch.setenv("CC", "cc -O1")
    assert Library().functions(1.0) is None
    assert Library().functions(math.inf) is not None
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false", "true", "cc '"])
def test_a_stage_computes_the_same_without_it(compiler, cache, monkeypatch):
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setattr(winograd, "_LIBRARY", Library())
    weights, x = [torch.randn(16, 16, 3, 3) / 12, torch.randn(16, 16, 1, 1) / 4], torch.randn(1, 16, 8, 8)
    stage = Stage(weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        winograd._LIBRARY.functions(math.inf)
    expected = F.conv2d(F.conv2d(x, weights[0], padding=1).relu(), weights[1]).relu()
    torch.testing.assert_close(stage(x), expected, rtol=0, atol=1e-5)
