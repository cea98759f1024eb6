"""Import other people's code: its output is caught, and process-wide settings that it changes are restored."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Caught", "isolated"]


@dataclass
class Caught:
    """Side effects of an import.

    Attributes:
        seconds: how long it took.
        printed: what it wrote on standard output, which nobody saw.
        restored: settings that it had changed, each as one line.
    """

    seconds: float = 0.0
    printed: str = ""
    restored: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """One line for each thing that was caught; an import that takes a second or more is one of them."""
        found = [f"changed {setting}; put back" for setting in self.restored]
        if self.printed.strip():
            found.append(f"printed {self.printed.strip()[:60]!r} on import; not shown")
        if self.seconds >= 1:
            found.append(f"took {self.seconds:.1f} s to import")
        return found


@contextlib.contextmanager
def isolated() -> Iterator[Caught]:
    """Run a block of imports; afterwards the :class:`Caught` it gave is filled in, whatever happened inside."""
    caught, output = Caught(), io.StringIO()
    before = {name: read() for name, (read, _) in _settings().items()}
    began = time.perf_counter()
    try:
        with contextlib.redirect_stdout(output):
            yield caught
    finally:
        caught.seconds, caught.printed = time.perf_counter() - began, output.getvalue()
        for name, (read, write) in _settings().items():
            # torch may have been imported inside: then these are what a fresh torch has
            old, new = before[name] if name in before else _FRESH[name], read()
            if new != old:
                write(old)
                caught.restored.append(f"{name} from {old} to {new}")


_Setting = tuple[Callable[[], Any], Callable[[Any], Any]]
_FRESH = {"torch's default dtype": "float32", "torch's gradient mode": True, "torch's default device": "cpu"}


def _settings() -> dict[str, _Setting]:
    """How to read and restore each setting that a module must not change."""
    found: dict[str, _Setting] = {"the working directory": (os.getcwd, os.chdir)}
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_default_dtype"):
        found |= {
            "torch's default dtype": (
                lambda: str(torch.get_default_dtype()).removeprefix("torch."),
                lambda name: torch.set_default_dtype(getattr(torch, name)),
            ),
            "torch's gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
            "torch's default device": (lambda: str(torch.get_default_device()), _set_device),
        }
    return found


def _set_device(name: str) -> None:
    import torch

    torch.set_default_device(None if name == "cpu" else name)
