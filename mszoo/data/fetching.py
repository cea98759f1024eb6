"""Files of URLs: fetched whole, or read in parts, by a server that may be out of breath for a moment."""

from __future__ import annotations

import http.client
import io
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

from mszoo.errors import MszooError

__all__ = ["download", "is_url", "open_far", "persist"]

_PIECE = 2**20  # bytes that are fetched at once
_PATIENCE = 60.0  # seconds without an answer
_WAITS = (1.0, 3.0, 9.0)  # seconds before it is asked again
_BUSY = 429  # the server's answer to who asks too often

_T = TypeVar("_T")


def is_url(name: str) -> bool:
    """Whether it is the address of a file on the web."""
    return name.startswith(("http://", "https://"))


def download(url: str, place: Path) -> None:
    """Fetch a whole file. Raises :class:`MszooError` if it cannot be, also after some waiting."""

    def fetch() -> None:
        with urllib.request.urlopen(url, timeout=_PATIENCE) as answer, open(place, "wb") as file:
            expected, seen = answer.headers.get("Content-Length"), 0
            while piece := answer.read(_PIECE):
                seen += file.write(piece)
        if expected is not None and seen != int(expected):
            raise OSError(f"it ended after {seen:,} of {int(expected):,} bytes")

    persist(fetch, url)


def open_far(url: str) -> IO[bytes]:
    """A file of which parts can be read: ``http``, ``https``, the Hub's ``hf``, or a path.

    Raises:
        OSError: there is none, or the server gives no parts of files.
    """
    if url.startswith("hf://"):
        from huggingface_hub import HfFileSystem

        return HfFileSystem().open(url, "rb")  # type: ignore[return-value]
    return io.BufferedReader(_Parts(url), _PIECE) if is_url(url) else open(url, "rb")


def persist(action: Callable[[], _T], what: str) -> _T:
    """Try some times, with waits in between.

    Args:
        action: raises :class:`OSError` or :class:`ValueError` where it fails.
        what: is fetched, for the message.

    Raises:
        MszooError: it failed each time, or in a way that waiting does not help.
    """
    for wait in (*_WAITS, None):
        try:
            return action()
        except (OSError, ValueError, http.client.HTTPException) as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code != _BUSY
            if wait is None or refused or isinstance(error, (ValueError, FileNotFoundError)):
                raise MszooError(f"{what} cannot be fetched: {error}") from None
            time.sleep(wait)
    raise AssertionError


class _Parts(io.RawIOBase):
    """A file of a web server, each read of which is a request for a range of its bytes."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url, self._at = url, 0
        with self._ask(0, 0) as answer:
            self._size = int(answer.headers["Content-Range"].rpartition("/")[2])

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        last = min(self._at + len(buffer), self._size) - 1
        if last < self._at:
            return 0
        with self._ask(self._at, last) as answer:
            content = answer.read()
        if len(content) != last + 1 - self._at:
            raise OSError(f"it ended after {len(content):,} of {last + 1 - self._at:,} bytes")
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def _ask(self, first: int, last: int) -> http.client.HTTPResponse:
        request = urllib.request.Request(self._url, headers={"Range": f"bytes={first}-{last}"})
        answer = urllib.request.urlopen(request, timeout=_PATIENCE)
        if answer.status != http.client.PARTIAL_CONTENT:
            answer.close()
            raise ValueError("its server gives no parts of files (it does not know Range)")
        return answer
