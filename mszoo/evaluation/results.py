"""``evaluation.json``: what was measured of a checkpoint, kept beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import pydantic
from typing_extensions import NotRequired, TypedDict

from mszoo.checkpoint.folder import EVALUATION
from mszoo.errors import CheckpointError
from mszoo.evaluation.denoising import PsnrRow
from mszoo.evaluation.probability import ProbabilityRow
from mszoo.files import read_text, replace_file

__all__ = ["LONGEST_NAME", "Likelihood", "Result", "likelihood_of", "read_likelihoods", "read_results", "write_result"]

LONGEST_NAME = 1000
_MOST = 500  # of each; the file may be a stranger's
_Name = Annotated[str, pydantic.Field(max_length=LONGEST_NAME, pattern=r"^[^\x00-\x1f\x7f]*$")]  # it is printed


@dataclass(frozen=True)
class Result:
    """PSNR per noise level on one data set.

    Attributes:
        data: name of the data set.
        seed: of the noise.
        rows: one per noise level.
        views: of each image, over which the estimates were averaged.
    """

    data: _Name
    seed: int
    rows: Annotated[list[PsnrRow], pydantic.Field(max_length=_MOST)]
    views: Annotated[int, pydantic.Field(ge=1, le=10_000)] = 1

    @property
    def subject(self) -> tuple[str, int]:
        """What was measured: a newer result of the same subject replaces it."""
        return self.data, self.views


@dataclass(frozen=True)
class Likelihood:
    """Mean log p on one data set.

    Attributes:
        data: name of the data set.
        images: how many.
        nll: bits per dimension, the 8-bit convention without dequantization (see :func:`mszoo.inference.nll`).
        db_per_dim: the same in dB per dimension; larger is more probable.
    """

    data: _Name
    images: int
    nll: float
    db_per_dim: float

    @property
    def subject(self) -> str:
        """What was measured: a newer result of the same subject replaces it."""
        return self.data


class _File(TypedDict):
    psnr: Annotated[list[Result], pydantic.Field(max_length=_MOST), pydantic.FailFast()]
    nll: NotRequired[Annotated[list[Likelihood], pydantic.Field(max_length=_MOST), pydantic.FailFast()]]


_FILE = pydantic.TypeAdapter(_File)


def likelihood_of(data: str, rows: Iterable[ProbabilityRow]) -> Likelihood:
    """The mean over images of one size or several, each image counting once.

    Example:
        >>> from mszoo.evaluation import ProbabilityRow
        >>> rows = [ProbabilityRow("a", 8, 8, 90.0, 6.1, 6.0), ProbabilityRow("b", 8, 8, 180.0, 12.2, 4.0)]
        >>> likelihood_of("mine", rows).nll
        5.0
    """
    pairs = [(row.nll, row.db_per_dim) for row in rows]
    nll, decibels = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
    return Likelihood(data, len(pairs), nll, decibels)


def read_results(folder: Path) -> list[Result]:
    """PSNR of a checkpoint; none if it has not been measured. Raises :class:`CheckpointError` for a bad file.

    Example:
        >>> from mszoo.hub import find
        >>> read_results(find("photographs-haar-rf13"))[0].rows[0].images
        12
    """
    return _read(folder)[0]


def read_likelihoods(folder: Path) -> list[Likelihood]:
    """Likelihoods of a checkpoint; none if it has not been measured. Raises :class:`CheckpointError` for a bad file.

    Example:
        >>> from mszoo.hub import find
        >>> read_likelihoods(find("photographs-haar-rf13"))  # it has no density
        []
    """
    return _read(folder)[1]


def _read(folder: Path) -> tuple[list[Result], list[Likelihood]]:
    """A downloaded file may hold anything: it is checked."""
    path = folder / EVALUATION
    if not path.exists():
        return [], []
    try:
        values = json.loads(read_text(path))
        found = _FILE.validate_python(values)
    except pydantic.ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))[:200]
        raise CheckpointError(f"{path} is malformed ({where}: {fault['msg']}); delete it and evaluate again") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}; delete it and evaluate again") from None
    return found["psnr"], found.get("nll", [])


def write_result(folder: Path, result: Result | Likelihood) -> None:
    """Add a result; it replaces an older one of its kind and subject.

    Raises:
        CheckpointError: a bad file is there, or the result could not be read back (a name of several lines).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_result(Path(folder), Result("set12", 0, [PsnrRow(0.1, 20.0, 29.5, 12)]))
        ...     read_results(Path(folder))[0].data
        'set12'
    """
    try:
        pydantic.TypeAdapter(type(result)).validate_python(asdict(result))
    except pydantic.ValidationError as error:
        fault = error.errors()[0]
        raise CheckpointError(f"the result is not kept: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
    psnr, nll = _read(folder)
    kept: list[Result | Likelihood] = [
        r for r in (*psnr, *nll) if (type(r), r.subject) != (type(result), result.subject)
    ]
    values = {"psnr": [asdict(r) for r in (*kept, result) if isinstance(r, Result)]}
    likelihoods = [asdict(r) for r in (*kept, result) if isinstance(r, Likelihood)]
    text = json.dumps({**values, **({"nll": likelihoods} if likelihoods else {})}, indent=2) + "\n"
    replace_file(folder / EVALUATION, lambda p: p.write_text(text, encoding="utf-8"))
