"""Many texts in two arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np

__all__ = ["Packed"]


class Packed(Sequence[str]):
    """A list of texts that takes no more memory than their characters.

    Worker processes that are forked share it with their parent. A list's texts they would copy, one by one, as they
    are looked at: each holds a count of its users.

    Example:
        >>> Packed(["a.png", "b.png"])[1]
        'b.png'
    """

    def __init__(self, texts: Iterable[str]) -> None:
        encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
        self._ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
        self._bytes = b"".join(encoded)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, i: int) -> str: ...
    @overload
    def __getitem__(self, i: slice) -> list[str]: ...
    def __getitem__(self, i: int | slice) -> str | list[str]:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        i %= len(self)
        first = int(self._ends[i - 1]) if i else 0
        return self._bytes[first : int(self._ends[i])].decode("utf-8", "surrogateescape")
