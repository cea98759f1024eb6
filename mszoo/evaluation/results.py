"""``evaluation.json``: what was measured of a checkpoint, kept beside it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mszoo.checkpoint import EVALUATION, replace_file
from mszoo.errors import CheckpointError
from mszoo.evaluation.denoising import PsnrRow

__all__ = ["Result", "read_results", "write_result"]


@dataclass(frozen=True)
class Result:
    """PSNR per noise level on one data set.

    Attributes:
        data: name of the data set.
        seed: of the noise.
        rows: one per noise level.
    """

    data: str
    seed: int
    rows: list[PsnrRow]


def read_results(folder: Path) -> list[Result]:
    """All results of a checkpoint; none if it was never evaluated. Raises :class:`CheckpointError` on a bad file."""
    path = folder / EVALUATION
    if not path.exists():
        return []
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["psnr"]
        return [Result(e["data"], e["seed"], [PsnrRow(**row) for row in e["rows"]]) for e in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}; delete it and evaluate again") from None


def write_result(folder: Path, result: Result) -> None:
    """Add a result; it replaces an older one of the same data set."""
    results = [r for r in read_results(folder) if r.data != result.data] + [result]
    text = json.dumps({"psnr": [asdict(r) for r in results]}, indent=2) + "\n"
    replace_file(folder / EVALUATION, lambda p: p.write_text(text, encoding="utf-8"))
