"""Where results go: never onto an original, onto other files only with ``--overwrite``. All is checked first."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from mszoo.errors import DataError, MszooError
from mszoo.files import check_plain
from mszoo.pictures.listing import SUFFIXES, list_folder

__all__ = ["Existing", "Job", "Plan", "check_results", "check_source", "check_targets", "plan"]


class Existing(Enum):
    """What to do with a target that exists."""

    refuse = "refuse"
    overwrite = "overwrite"
    skip = "skip"

    @classmethod
    def of(cls, overwrite: bool, skip: bool) -> Existing:
        """By the options ``--overwrite`` and ``--skip-existing``."""
        if overwrite and skip:
            raise MszooError("--overwrite and --skip-existing exclude each other")
        return cls.overwrite if overwrite else cls.skip if skip else cls.refuse


@dataclass(frozen=True)
class Job:
    """One image: its number among all sources, skipped ones included, its file, and the file of its result."""

    index: int
    source: Path
    target: Path


@dataclass
class Plan:
    """What to do.

    Attributes:
        jobs: each image, and where its result goes.
        left_out: how many files are left out, by reason.
    """

    jobs: list[Job]
    left_out: Counter[str] = field(default_factory=Counter)


def plan(sources: Sequence[Path], out: Path, existing: Existing = Existing.refuse) -> Plan:
    """Where the result of each image goes: a file for one image, a folder for more.

    Images that lie in the folder of the results are no sources, so that a second run does what the first did.

    Args:
        sources: images and folders.
        out: a file or a folder.
        existing: what becomes of a target that is there already.

    Raises:
        MszooError: no such source, nothing to do, a place that cannot be written, two results for one place, a result
            that would replace an original, or (``refuse``) anything else.
    """
    pairs, left_out = _assign(sources, out)
    check_targets([s for s, _ in pairs], [t for _, t in pairs], existing)
    jobs = [Job(i, source, target) for i, (source, target) in enumerate(pairs)]
    if existing is Existing.skip:
        jobs = [job for job in jobs if not os.path.lexists(job.target)]
        left_out += Counter({"with a result": len(pairs) - len(jobs)})
    return Plan(jobs, left_out)


def _assign(sources: Sequence[Path], out: Path) -> tuple[list[tuple[Path, Path]], Counter[str]]:
    one_file = len(sources) == 1 and not sources[0].is_dir() and not out.is_dir()
    if one_file and out.suffix.lower() in SUFFIXES:
        check_source(sources[0])
        return [(sources[0], out)], Counter()
    if out.suffix.lower() in SUFFIXES and not out.is_dir():
        raise MszooError(f"several images need a folder to go to, {out} is named like an image")
    if one_file and out.suffix:
        raise MszooError(f"{out}: no image format {out.suffix}; use {', '.join(sorted(SUFFIXES))}, or name a folder")
    pairs: list[tuple[Path, Path]] = []
    left_out: Counter[str] = Counter()
    for source in sources:
        if source.is_dir():
            itself = out.is_dir() and out.samefile(source)
            listing = list_folder(source, [] if itself else [out])
            if not listing.images:
                raise DataError(f"no image files in folder {source} ({', '.join(sorted(SUFFIXES))})")
            pairs += [(image, out / image.relative_to(source)) for image in listing.images]
            left_out += listing.left_out
        else:
            check_source(source)
            pairs.append((source, out / source.name))
            _check_suffix(source)
    return pairs, left_out


def check_source(path: Path) -> None:
    """Raises :class:`DataError` unless there is a plain file: a FIFO or a device would be read without end."""
    try:
        check_plain(path)
        if not os.access(path, os.R_OK):
            raise ValueError("it may not be read")
    except FileNotFoundError:
        raise DataError(f"no such file: {path}") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"{path} cannot be read as an image: {error}") from None


def check_targets(sources: Sequence[Path], targets: Sequence[Path], existing: Existing = Existing.refuse) -> None:
    """Refuse targets before any work is done.

    Args:
        sources: what is read; none of it may be replaced, by whatever name or link.
        targets: files to write, images by their suffix.
        existing: what becomes of a target that is there already.

    Raises:
        MszooError: as :func:`plan`.
    """
    originals = {_identity(s) for s in sources}
    folders: set[Path] = set()
    seen: set[str] = set()
    for target in targets:
        _check_suffix(target)
        name = os.path.normcase(os.path.abspath(target))
        if name in seen:
            raise MszooError(f"two images would be written to {target}; denoise them into different folders")
        seen.add(name)
        if target.is_dir():
            raise MszooError(f"{target} is a folder; name a file")
        if os.path.lexists(target):
            if target.exists() and _identity(target) in originals:
                raise MszooError(f"{target} would be overwritten by its own result; give another OUT")
            if existing is Existing.refuse:
                raise MszooError(f"{target} exists: --overwrite replaces it, --skip-existing leaves it as it is")
        if target.parent not in folders:
            _check_folder(target.parent)
            folders.add(target.parent)


def check_results(results: Iterable[Path], overwrite: bool) -> None:
    """Refuse to replace a table, a plot or a text that is there already, unless told to.

    Raises:
        MszooError: naming the first one.
    """
    for path in results:
        if path.is_dir():
            raise MszooError(f"{path} is a folder; name a file")
        if os.path.lexists(path) and not overwrite:
            raise MszooError(f"{path} exists: --overwrite replaces it")


def _check_suffix(target: Path) -> None:
    if target.suffix.lower() not in SUFFIXES:
        raise MszooError(
            f"cannot write {target}: no image format {target.suffix or 'without a suffix'}; "
            f"use {', '.join(sorted(SUFFIXES))}"
        )


def _check_folder(folder: Path) -> None:
    """The folder can be written, or made."""
    there = folder
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise MszooError(f"cannot write into {folder}: {there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise MszooError(f"cannot write into {folder}: {there} may not be written")


def _identity(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_dev, state.st_ino
