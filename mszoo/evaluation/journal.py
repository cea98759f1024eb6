"""What a long measurement has found so far, on the disk row by row, so that one that was ended can go on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pydantic

from mszoo.checkpoint.folder import WEIGHTS, checksum
from mszoo.errors import MszooError
from mszoo.evaluation.probability import ProbabilityRow
from mszoo.files import replace_file

__all__ = ["Journal"]

_NAME = "log-prob.part.jsonl"
_ROW = pydantic.TypeAdapter(ProbabilityRow)


class Journal:
    """Rows of images, by the source that each came from: a file that is there until the measurement is done.

    Args:
        folder: where the results go.
        model: the checkpoint's folder; rows of other weights are refused.
        resume: go on with what is there.

    Raises:
        MszooError: rows are there that are not to be gone on with, or another model's, or they cannot be read.
        OSError: the file cannot be written.
    """

    def __init__(self, folder: Path, model: Path, resume: bool) -> None:
        self._path, self._first = folder / _NAME, json.dumps({"weights": checksum(model / WEIGHTS)})
        self._known: dict[str, dict[str, ProbabilityRow]] = {}
        if not self._path.exists():
            return
        first, *lines = [line for line in self._path.read_text(encoding="utf-8").splitlines() if _whole(line)] or [""]
        if lines and not resume:
            raise MszooError(
                f"{folder} holds {len(lines)} row(s) of a measurement that was ended: go on with --resume, or remove "
                f"{self._path}"
            )
        if lines and first != self._first:
            raise MszooError(f"the measurement in {folder} is another model's; choose another --out")
        try:
            for value in map(json.loads, lines):
                self._known.setdefault(value.pop("source"), {})[value["image"]] = _ROW.validate_python(value)
        except (ValueError, LookupError, TypeError, AttributeError):
            raise MszooError(f"{self._path} cannot be read; remove it, and measure again") from None
        text = "".join(f"{line}\n" for line in (self._first, *lines))
        replace_file(self._path, lambda part: part.write_text(text, encoding="utf-8"))

    def known(self, source: str) -> Mapping[str, ProbabilityRow]:
        """The rows of a source, by image."""
        return self._known.get(source, {})

    def keep(self, source: str, rows: Iterator[ProbabilityRow]) -> Iterator[ProbabilityRow]:
        """The same rows, each on the disk before it is given out."""
        for row in rows:
            if row.image not in self.known(source):
                first = "" if self._path.exists() else f"{self._first}\n"
                with open(self._path, "a", encoding="utf-8") as file:
                    file.write(f"{first}{json.dumps({'source': source, **asdict(row)})}\n")
            yield row

    def close(self) -> None:
        """Remove the file: all is measured, and written elsewhere."""
        self._path.unlink(missing_ok=True)


def _whole(line: str) -> Any:
    """Whether a line was not cut off by the end."""
    try:
        return json.loads(line)
    except ValueError:
        return None
