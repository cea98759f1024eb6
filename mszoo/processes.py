"""The processes that share a task: as many as the launcher started, each with a device of its own."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TypeVar

import torch

from mszoo.devices import choose_device
from mszoo.errors import MszooError

__all__ = ["ALONE", "Processes", "find_processes"]

_T = TypeVar("_T")

_PATIENCE = timedelta(days=7)  # that those who are done have with the others


@dataclass(frozen=True)
class Processes:
    """One of them, and all.

    Attributes:
        rank: its number, from 0; the first one writes what is written once, and talks.
        count: how many there are.
        device: where it computes.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether it is the first one."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all have come here."""
        if self.count > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()

    def share(self, items: Iterable[_T]) -> Iterator[_T]:
        """This one's of the items, which are the same on every process and are dealt out in turn.

        Example:
            >>> list(Processes(1, 3, torch.device("cpu")).share("abcdef"))
            ['b', 'e']
        """
        return islice(items, self.rank, None, self.count)

    def gather(self, items: Sequence[_T]) -> list[_T]:
        """What all have, on each of them: the first one's, and then the others'. All call it together."""
        if self.count == 1:
            return list(items)
        from accelerate.utils import gather_object

        return gather_object(list(items))

    @contextmanager
    def one_voice(self) -> Iterator[None]:
        """Within it the warnings are the first one's alone: of what every process does."""
        with warnings.catch_warnings():
            if not self.first:
                warnings.simplefilter("ignore")
            yield


ALONE = Processes(0, 1, torch.device("cpu"))  # who uses it has a model that is on its device already


def find_processes(device: str = "auto") -> Processes:
    """What Accelerate makes of the launcher's environment; without a launcher, this process alone.

    Args:
        device: as :func:`mszoo.devices.choose_device` takes it; ``auto`` and ``cuda``: a GPU for each process.

    Raises:
        MszooError: Accelerate sees fewer processes than the launcher started.
        UnsupportedError: no such device on this machine.
    """
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched == 1:
        return Processes(0, 1, choose_device(device))
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    on_cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or choose_device(device).type == "cpu"
    state = PartialState(cpu=on_cpu, timeout=_PATIENCE)
    if state.num_processes != launched:
        raise MszooError(
            f"the environment says WORLD_SIZE={launched}, but Accelerate sees {state.num_processes} process(es). "
            f"On CPUs start with\n"
            f"ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes {launched} -m mszoo ..."
        )
    return Processes(state.process_index, state.num_processes, torch.device(state.device or "cpu"))
