"""Images in tar files, the layout of the library webdataset: shards, by path or by URL."""

from __future__ import annotations

import glob
import json
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from pydantic import PositiveInt

from mszoo.data.base import Blocks
from mszoo.data.encoded import EncodedImages
from mszoo.data.fetching import download, is_url
from mszoo.data.images import Grey
from mszoo.data.kept import Kept, cache_folder, digest
from mszoo.data.packed import Packed
from mszoo.errors import DataError, MszooError
from mszoo.pictures.listing import SUFFIXES, hidden, in_order

__all__ = ["WebDataset"]

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_SHARDS = 10**6


class WebDataset(EncodedImages):
    """The image files in tar files, in their order there. The list of what lies where is made at the start.

    Shards of a URL are fetched for it, and kept on the disk, or with ``streaming`` only those that were used last; the
    list is kept too, and a later start fetches nothing. Other members than image files, such as captions, are passed
    over.

    Args:
        channels: 1 or 3; images are converted.
        path: a tar file, a glob, or a pattern of paths or URLs: ``https://host/shards/{000..146}.tar``.
        cache: folder for shards of URLs; None: the user's, of mszoo.
        streaming: fetch shards of URLs when their turn comes. Training then shuffles the shards, and the images of half
            of those that are kept among each other.
        keep: when streaming, how many shards stay on the disk.
        grey: how colour becomes grey: ``luma`` (Pillow's weights) or ``mean`` (of red, green and blue: paper A's).

    Raises:
        DataError: no such shard, one that is no plain (uncompressed) tar file, or none that holds an image.
    """

    def __init__(
        self,
        channels: int,
        *,
        path: str,
        cache: str | None = None,
        streaming: bool = False,
        keep: PositiveInt = 16,
        grey: Grey = "luma",
    ) -> None:
        self._shards, self._streaming, self._keep = _shards(path), streaming, keep
        if streaming and not is_url(self._shards[0]):
            raise DataError(f"{path}: its shards are on the disk already; streaming is for those of a URL")
        folder = cache_folder(cache)
        self._lists = Kept(folder / "lists")
        self._kept = Kept(folder / f"streamed-{digest(path)}", keep) if streaming else Kept(folder)
        names, places, ends, lengths = [], [], [], []
        try:
            for number, shard in enumerate(self._shards):
                length, members = self._list(number)
                for name, start, size in members:
                    names.append(f"{shard}/{name}")
                    places.append((number, start, size))
                ends.append(len(places))
                lengths.append(length)
        except MszooError as error:
            raise DataError(str(error)) from None
        if not places:
            raise DataError(f"{path}: no image files in {len(self._shards)} shard(s) ({', '.join(sorted(SUFFIXES))})")
        super().__init__(channels, len(places), grey)
        self._names, self._places = Packed(names), np.array(places, np.int64)
        self._ends, self._lengths = np.array(ends), lengths

    @property
    def blocks(self) -> Blocks | None:
        """The shards, when streaming."""
        return Blocks(self._ends, max(1, self._keep // 2)) if self._streaming else None

    def content(self, i: int) -> bytes:
        """See :meth:`EncodedImages.content`."""
        shard, start, size = map(int, self._places[i])
        try:
            with self._open(shard) as file:
                length = os.fstat(file.fileno()).st_size
                file.seek(start)
                content = file.read(size)
        except OSError as error:
            raise DataError(f"{self.label(i)} cannot be read: {error}") from None
        if length != self._lengths[shard]:
            raise MszooError(
                f"{self._shards[shard]} has {length:,} bytes, and had {self._lengths[shard]:,} when its images were "
                f"listed: it is another one now. Use the same as before, or list it anew with another cache"
            )
        return content

    def label(self, i: int) -> str:
        """The shard, and the name there."""
        return self._names[i]

    def _open(self, number: int) -> IO[bytes]:
        shard = self._shards[number]
        if not is_url(shard):
            return open(shard, "rb")
        return self._kept.open(f"{digest(shard)}.tar", lambda part: download(shard, part))

    def _list(self, number: int) -> tuple[int, list[tuple[str, int, int]]]:
        """How many bytes a shard has, and the names of its images, where each begins and how long it is."""
        shard = self._shards[number]

        def read() -> tuple[int, list[tuple[str, int, int]]]:
            try:
                with self._open(number) as file:
                    return os.fstat(file.fileno()).st_size, list(_members(file))
            except (tarfile.TarError, OSError, EOFError) as error:
                raise DataError(f"{shard} is no plain tar file: {error}; unpack a compressed one") from None

        if not is_url(shard):
            return read()
        name = f"{digest(shard)}.json"
        with self._lists.open(name, lambda part: part.write_text(json.dumps(read()), encoding="utf-8")) as file:
            length, members = json.load(file)
        return length, members


def _shards(path: str) -> list[str]:
    """What a pattern stands for, in order."""
    written = _expand(path)
    if all(map(is_url, written)):
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


def _members(file: IO[bytes]) -> Iterator[tuple[str, int, int]]:
    with tarfile.open(fileobj=file, mode="r:") as shard:
        for member in shard:
            if member.isreg() and os.path.splitext(member.name)[1].lower() in SUFFIXES and not hidden(member.name):
                yield member.name, member.offset_data, member.size
