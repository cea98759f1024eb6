"""Images in tar files, the layout of the library webdataset: shards, by path or by URL."""

from __future__ import annotations

import glob
import hashlib
import http.client
import os
import re
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import platformdirs
from filelock import FileLock

from mszoo.data.encoded import EncodedImages
from mszoo.data.images import Grey
from mszoo.data.packed import Packed
from mszoo.errors import DataError
from mszoo.files import replace_file
from mszoo.pictures.listing import SUFFIXES, hidden, in_order

__all__ = ["WebDataset"]

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_SHARDS = 10**6
_PIECE = 2**20  # bytes that are fetched at once
_PATIENCE = 60.0  # seconds without an answer


class WebDataset(EncodedImages):
    """The image files in tar files, in their order there. The list of what lies where is made at the start.

    Shards of a URL are fetched at the start, those that are not there yet, and kept. Other members than image files,
    such as captions, are passed over.

    Args:
        channels: 1 or 3; images are converted.
        path: a tar file, a glob, or a pattern of paths or URLs: ``https://host/shards/{000..146}.tar``.
        cache: folder for shards of URLs; None: the user's, of mszoo.
        grey: how colour becomes grey: ``luma`` (Pillow's weights) or ``mean`` (of red, green and blue: paper A's).

    Raises:
        DataError: no such shard, one that is no plain (uncompressed) tar file, or none that holds an image.
    """

    def __init__(self, channels: int, *, path: str, cache: str | None = None, grey: Grey = "luma") -> None:
        folder = (
            Path(cache).expanduser() if cache else platformdirs.user_cache_path("mszoo", appauthor=False) / "shards"
        )
        names, places, shards = [], [], []
        for number, shard in enumerate(_shards(path)):
            shards.append(str(_fetch(shard, folder) if _is_url(shard) else Path(shard)))
            for name, start, length in _members(Path(shards[-1]), shard):
                names.append(f"{shard}/{name}")
                places.append((number, start, length))
        if not places:
            raise DataError(f"{path}: no image files in {len(shards)} shard(s) ({', '.join(sorted(SUFFIXES))})")
        super().__init__(channels, len(places), grey)
        self._names, self._shards, self._places = Packed(names), shards, np.array(places, np.int64)

    def content(self, i: int) -> bytes:
        """See :meth:`EncodedImages.content`."""
        shard, start, length = map(int, self._places[i])
        try:
            with open(self._shards[shard], "rb") as file:
                file.seek(start)
                content = file.read(length)
        except OSError as error:
            raise DataError(f"{self.label(i)} cannot be read: {error}") from None
        if len(content) < length:
            raise DataError(f"{self.label(i)} cannot be read: its shard is cut off")
        return content

    def label(self, i: int) -> str:
        """The shard, and the name there."""
        return self._names[i]


def _shards(path: str) -> list[str]:
    """What a pattern stands for, in order."""
    written = _expand(path)
    if all(map(_is_url, written)):
        return written
    written = [str(Path(one).expanduser()) for one in written]
    found = [name for one in written for name in ([one] if Path(one).is_file() else in_order(glob.glob(one)))]
    absent = [one for one in written if not Path(one).is_file() and not glob.glob(one)]
    if absent:
        raise DataError(f"no such shard: {absent[0]}")
    return found


def _expand(pattern: str) -> list[str]:
    """``{00..11}`` as 00, 01, ... 11."""
    match = _RANGE.search(pattern)
    if match is None:
        return [pattern]
    first, last = map(int, match.groups())
    if not first <= last < first + _MOST_SHARDS:
        raise DataError(f"{pattern}: {match[0]} is no range of shards; write {{000..146}}")
    numbers = (str(k).zfill(len(match[1])) for k in range(first, last + 1))
    return [one for n in numbers for one in _expand(pattern[: match.start()] + n + pattern[match.end() :])]


def _is_url(name: str) -> bool:
    return name.startswith(("http://", "https://"))


def _fetch(url: str, folder: Path) -> Path:
    """A shard's file, fetched unless it is there: whole, by one process, while the others wait."""
    place = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.tar"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):
        if not place.exists():
            try:
                with urllib.request.urlopen(url, timeout=_PATIENCE) as answer:
                    replace_file(place, lambda part: _save(answer, part))
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise DataError(f"{url} cannot be fetched: {error}") from None
    return place


def _save(answer: http.client.HTTPResponse, part: Path) -> None:
    expected, seen = answer.headers.get("Content-Length"), 0
    with open(part, "wb") as file:
        while piece := answer.read(_PIECE):
            seen += file.write(piece)
    if expected is not None and seen != int(expected):
        raise OSError(f"it ended after {seen:,} of {int(expected):,} bytes")


def _members(path: Path, name: str) -> Iterator[tuple[str, int, int]]:
    """Names of a shard's images, and where each begins and how long it is."""
    try:
        with tarfile.open(path, "r:") as shard:
            for member in shard:
                if member.isreg() and os.path.splitext(member.name)[1].lower() in SUFFIXES and not hidden(member.name):
                    yield member.name, member.offset_data, member.size
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{name} is no plain tar file: {error}; unpack a compressed one") from None
