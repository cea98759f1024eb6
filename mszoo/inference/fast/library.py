"""The compiled library: ``winograd.c``, built once for this user, compiler and processor, and kept.

It lies in the user's cache folder (``~/.cache/mszoo/compiled`` on Linux; ``XDG_CACHE_HOME`` moves it). A file's name
says what it was made of (source, compiler, flags, processor) and the SHA-256 of what is in it; one that is damaged, or
that somebody else could have written, is never loaded. Without one, it is compiled once a process has done so many
convolutions with PyTorch that compiling would have paid. Whatever fails, PyTorch's convolutions compute the same, and
one warning says why.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path

import platformdirs

__all__ = ["PAYS", "Library", "status"]

# Multiplications that take PyTorch as long as the compiler takes: a second or two of one core.
PAYS = 2e10
_PATIENCE = 60.0  # seconds for the compiler, on a busy machine
_LARGEST = 2**24  # bytes of a library

_SOURCE = Path(__file__).with_name("winograd.c")
# Elsewhere than on Linux the compiler's threads are not PyTorch's: two sets of them would slow each other down.
_THREADS = ["-fopenmp"] if sys.platform == "linux" else ["-Wno-unknown-pragmas"]
_FLAGS = ["-O3", "-march=native", "-ffp-contract=fast", "-fPIC", "-shared", *_THREADS]
# Lines of /proc/cpuinfo that say what a processor can do.
_FEATURES = {
    "vendor_id",
    "cpu family",
    "model",
    "model name",
    "flags",
    "Features",
    "CPU implementer",
    "CPU part",
    "isa",
}

_POINTER, _INT, _LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_long
_ARGUMENTS = {
    "mszoo_mix": [_POINTER, _POINTER, _LONG, _INT, _POINTER, _INT, _INT, _INT],
    "mszoo_convolve": [_POINTER, _POINTER, _LONG, *[_INT] * 4, _POINTER, _POINTER, *[_INT] * 3],
}


class _Fault(Exception):
    """Why there is no library, in one line."""


class Library:
    """The library of this process: looked for once, and compiled when that pays.

    Args:
        patience: seconds that the compiler may take.
    """

    def __init__(self, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._work = 0.0
        self._found: ctypes.CDLL | None = None
        self._sought = self._settled = False

    def functions(self, work: float) -> ctypes.CDLL | None:
        """The C functions; None: use PyTorch's convolutions.

        Args:
            work: multiplications that are about to be done without them.
        """
        if self._settled:
            return self._found
        with self._lock:
            if not self._settled:
                self._seek(work)
        return self._found

    def _seek(self, work: float) -> None:
        self._work += work
        pays, seek = self._work >= PAYS, not self._sought
        self._sought = True
        try:
            command = _compiler()
            if command and (seek or pays):
                key = _key(command)
                self._found = _kept(key) or (_build(command, key, self._patience) if pays else None)
            self._settled = pays or not command or self._found is not None
        except (_Fault, OSError, ValueError) as error:
            if not pays:  # it may never matter
                return
            self._settled = True
            why = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())[:300]
            advice = " (XDG_CACHE_HOME moves the folder of compiled code)" if isinstance(error, OSError) else ""
            warnings.warn(f"convolutions are done by PyTorch, which takes longer: {why}{advice}", stacklevel=2)


def status() -> str:
    """Whether there is a library, or will be, in one line; it compiles nothing."""
    try:
        command = _compiler()
        if not command:
            return "off: the environment variable CC is empty"
        kept = _kept(_key(command)) is not None
    except (_Fault, OSError, ValueError) as error:
        return f"off: {error}"
    return f"{'compiled' if kept else 'to be compiled when it pays'} by {shlex.join(command)}, in {_folder()}"


def _compiler() -> list[str]:
    """The command of the compiler; empty: the user wants none."""
    try:
        command = shlex.split(os.environ.get("CC", "cc"))
    except ValueError as error:
        raise _Fault(f"the environment variable CC cannot be read: {error}") from None
    if command and shutil.which(command[0]) is None:
        raise _Fault(f"there is no C compiler {command[0]!r}; install one, name it in CC, or set CC= to do without")
    return command


def _key(command: Sequence[str]) -> str:
    """What the library depends on, as 32 hexadecimal digits."""
    program = Path(shutil.which(command[0]) or command[0]).resolve()
    state = program.stat()
    made_of = (_SOURCE.read_bytes(), [*command, *_FLAGS], str(program), state.st_size, state.st_mtime_ns, _processor())
    return hashlib.sha256(repr(made_of).encode()).hexdigest()[:32]


def _processor() -> tuple[str, ...]:
    """The processor's features that ``-march=native`` depends on, as far as the system lists them."""
    try:
        first, _, _ = Path("/proc/cpuinfo").read_text(errors="replace").partition("\n\n")
    except OSError:
        return sys.platform, platform.machine(), platform.processor()
    lines = [line for line in first.splitlines() if line.partition(":")[0].strip() in _FEATURES]
    return sys.platform, platform.machine(), *lines


def _folder() -> Path:
    return Path(platformdirs.user_cache_dir("mszoo", appauthor=False)) / "compiled"


def _kept(key: str) -> ctypes.CDLL | None:
    """The library of an earlier process; None: there is none, or a damaged one, which is removed."""
    folder = _folder()
    if not folder.exists():
        return None
    _check_owner(folder)
    for path in sorted(folder.glob(f"{key}-*.so")):
        _check_owner(path)
        if path.stat().st_size <= _LARGEST and path.name == _name(key, path.read_bytes()):
            return _load(path)
        path.unlink()
    return None


def _check_owner(path: Path) -> None:
    """Raise a fault unless only this user can have written a file or folder."""
    state = path.lstat()
    if stat.S_ISLNK(state.st_mode):
        raise _Fault(f"{path} is a link; remove it, or set XDG_CACHE_HOME")
    if hasattr(os, "getuid") and (state.st_uid != os.getuid() or state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        raise _Fault(f"{path} could have been written by another user; remove it, or set XDG_CACHE_HOME")


def _name(key: str, content: bytes) -> str:
    return f"{key}-{hashlib.sha256(content).hexdigest()}.so"


def _build(command: Sequence[str], key: str, patience: float) -> ctypes.CDLL:
    """Compile, keep and load the library."""
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_owner(folder)
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as work:
        made = Path(work) / "winograd.so"
        _compile([*command, *_FLAGS, "-o", str(made), str(_SOURCE)], Path(work), patience)
        if not made.is_file() or made.is_symlink():
            raise _Fault(f"the C compiler {command[0]!r} ends well, but writes no library")
        made.chmod(0o700)
        path = folder / _name(key, made.read_bytes())
        os.replace(made, path)
    try:
        return _load(path)
    except _Fault:
        path.unlink(missing_ok=True)
        raise


def _compile(command: Sequence[str], folder: Path, patience: float) -> None:
    """Run the compiler, with its temporary files in a folder, and end it with all it started if it takes too long."""
    said = folder / "said.txt"
    with open(said, "wb") as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "TMPDIR": str(folder), "LC_ALL": "C"},
                start_new_session=True,
            )
        except OSError as error:
            raise _Fault(f"the C compiler {command[0]!r} cannot be started: {error.strerror}") from None
        try:
            code = process.wait(patience)
        except subprocess.TimeoutExpired:
            raise _Fault(f"the C compiler {command[0]!r} takes more than {patience:g} seconds") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
                process.wait()
    if code:
        with open(said, "rb") as output:
            lines = output.read(2000).decode(errors="replace").strip().splitlines()
        raise _Fault(f"the C compiler {command[0]!r} fails: {lines[0] if lines else f'exit code {code}'}")


def _load(path: Path) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(path))
        for name, arguments in _ARGUMENTS.items():
            getattr(library, name).argtypes = arguments
    except OSError as error:
        raise _Fault(f"the compiled library cannot be loaded: {error}") from None
    except AttributeError as error:
        raise _Fault(f"the compiled library is not whole: {error}") from None
    return library
