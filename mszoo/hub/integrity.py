"""Are the bytes in the cache those that the Hub has on record? The client compares sizes alone.

A file is read and its checksum compared once after its download; what was found is noted beside the snapshots, with the
file's size and time, and asked for again when either has changed.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mszoo.errors import HubError
from mszoo.files import replace_file

__all__ = ["IntegrityError", "Record", "verify"]

_NOTES = ".mszoo-verified.json"


class IntegrityError(HubError):
    """A file whose bytes differ from the record."""


@dataclass(frozen=True)
class Record:
    """What a file must be.

    Attributes:
        checksum: sha256 of the bytes (64 hexadecimal digits), or git's sha1 of a blob (40).
        source: who says so, for messages.
    """

    checksum: str
    source: str

    def matches(self, path: Path) -> bool:
        """Read the file and compare."""
        with open(path, "rb") as file:
            return _digest(file, path.stat().st_size, self.checksum) == self.checksum

    def holds(self, data: bytes) -> bool:
        """Compare bytes that are not in a file yet."""
        return _digest(io.BytesIO(data), len(data), self.checksum) == self.checksum


def _digest(file: BinaryIO, size: int, like: str) -> str:
    git = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    digest = hashlib.sha256() if len(like) == 64 else git
    while block := file.read(2**20):
        digest.update(block)
    return digest.hexdigest()


def _record_of(path: Path) -> Record | None:
    """The record that the cache keeps: a blob's name is the Hub's checksum. None: the name is no checksum."""
    name = path.resolve().name
    if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name):
        return Record(name, "the Hub's record")
    return None


def verify(folder: Path, names: list[str], records: Mapping[str, Record]) -> None:
    """Compare the files of a snapshot with their records, unless they were found good before.

    Args:
        folder: the snapshot.
        names: of files in it.
        records: by name, of whoever is believed first; a file without one is held against the cache's own record.

    Raises:
        IntegrityError: the bytes are others, or there is no record to hold them against; the message names the file.
    """
    notes_path = folder.parent.parent / _NOTES
    notes, found = _read(notes_path), {}
    for name in names:
        path = folder / name
        record = records.get(name) or _record_of(path)
        state = path.stat()
        key = f"{folder.name}/{name}"  # not the blob's name: systems without links have no blobs
        if record is None:
            known = notes.get(key, [None, None, None])[2]
            record = Record(known, "the Hub's record") if isinstance(known, str) else None
        if record is None:
            raise IntegrityError(
                f"{path}: nothing on this machine says what its bytes should be; `mszoo pull` it again"
            )
        good = [state.st_size, state.st_mtime_ns, record.checksum]
        if notes.get(key) != good:
            if not record.matches(path):
                raise IntegrityError(
                    f"{path} is not what it should be: its checksum is not {record.checksum[:12]}..., which is "
                    f"{record.source}; `mszoo pull` fetches the right bytes"
                )
            found[key] = good
    if found:
        with suppress(OSError):  # a cache that others own: it is compared again next time
            replace_file(notes_path, lambda part: part.write_text(json.dumps({**_read(notes_path), **found})))


def _read(path: Path) -> dict[str, Any]:
    try:
        notes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}
