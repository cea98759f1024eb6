"""Ctrl-C and SIGTERM: a run ends after its step, with its state saved."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import torch
from accelerate import Accelerator

__all__ = ["Signals", "Stopped"]

_EVERY = 10  # steps between agreements of several processes, which are not signalled at the same step


class Stopped(KeyboardInterrupt):
    """A run was asked to end, and has saved its state.

    Attributes:
        step: that it came to.
        number: of the signal.
    """

    def __init__(self, step: int, number: int) -> None:
        super().__init__(f"stopped and saved at step {step}")
        self.step, self.number = step, number


class Signals:
    """While it is entered, SIGINT and SIGTERM are noted; a second one does what it always did.

    Signals reach the main thread alone: elsewhere nothing is noted. Of several processes a launcher tells each, often
    more than once: there, a second signal is noted too.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator, self._several = accelerator, accelerator.num_processes > 1
        self._before: dict[int, Any] = {}
        self.number = 0

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {n: signal.signal(n, self._note) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._put_back()

    def stop(self, at: int) -> bool:
        """Whether to end after this step: every process finds the same."""
        if not self._several:
            return self.number != 0
        if at % _EVERY:
            return False
        signals = self._accelerator.reduce(torch.tensor(float(self.number), device=self._accelerator.device), "sum")
        return bool(signals)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._accelerator.is_main_process and not self.number:
            os.write(2, b"\nending after this step, with its state saved\n")
        if self.number and not self._several:
            self._put_back()
            os.kill(os.getpid(), number)
        self.number = number

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
