"""Fetch a model from the Hub into the client's cache: one commit, the right bytes, and nothing that could run."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.hf_api import ModelInfo

from mszoo.checkpoint.folder import CARD, CONFIG, EVALUATION, RECIPE, WEIGHTS, read_config
from mszoo.checkpoint.reading import expected_shapes
from mszoo.errors import HubError, MszooError
from mszoo.hub.cache import find_cached, forget, remember, repository
from mszoo.hub.client import api, as_hub_error, offline, patiently
from mszoo.hub.integrity import IntegrityError, Record, verify
from mszoo.hub.names import HubName, Pin

__all__ = ["download", "fetch", "records"]

# All that is ever read of a repository, in the order in which it is fetched.
_WANTED = (CONFIG, RECIPE, EVALUATION, CARD, WEIGHTS)
_LARGEST = {CONFIG: 2**20, RECIPE: 2**20, EVALUATION: 2**22, CARD: 2**22}
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".tar", ".h5")
_HEADER = 2**24  # bytes of a safetensors file that are no tensors


def fetch(name: HubName, pin: Pin | None = None) -> Path:
    """The folder of a model of the Hub: from the cache if it is there, else downloaded.

    A warm cache makes no request at all, so a branch is what it was when it was last pulled.

    Raises:
        HubError: see :func:`download`; the bytes in the cache are not those on record.
    """
    folder = find_cached(name.repo_id, name.revision)
    if folder is None:
        return download(name, pin)
    verify(folder, [n for n in _WANTED if (folder / n).exists()], _pinned(pin))
    return folder


def download(name: HubName, pin: Pin | None = None) -> Path:
    """Fetch the newest state of a revision, as far as it is missing, and compare checksums; returns the folder.

    A file with wrong bytes, in the cache or on its way, is fetched once more. A branch or tag means the new commit
    only when all is there: until then the cache serves the old one.

    Args:
        name: repository and revision.
        pin: checksums that are believed before the Hub's.

    Raises:
        HubError: no such repository or revision, no access, no network, no space, wrong bytes; each says what to do.
    """
    repo_id, revision = name.repo_id, name.revision or "main"
    if offline():
        raise HubError(
            f"{name} is not in the cache of this machine ({constants.HF_HUB_CACHE}), and HF_HUB_OFFLINE is set; "
            f"unset it, or pull where there is a network and copy the cache"
        )
    with as_hub_error(repo_id, revision):
        info = patiently(api().model_info, repo_id, revision=revision, files_metadata=True, timeout=_timeout())
        commit, known = info.sha or revision, {**records(info), **_pinned(pin)}
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        _check_files(repo_id, commit, sizes)
        folder = Path()
        for file in (n for n in _WANTED if n in sizes):
            folder = _fetch_right(repo_id, file, commit, known).parent
            if file == CONFIG:
                _check_weights(repo_id, folder, sizes[WEIGHTS])
        remember(repo_id, revision, commit)
    return folder


def _timeout() -> float:
    return max(10.0, float(constants.HF_HUB_ETAG_TIMEOUT))


def _pinned(pin: Pin | None) -> dict[str, Record]:
    return {file: Record(digest, "mszoo's pin") for file, digest in (pin.sha256 if pin else {}).items()}


def records(info: ModelInfo) -> Mapping[str, Record]:
    """Checksums of a commit's files: sha256 of the large ones, git's of the others."""
    found = {}
    for file in info.siblings or ():
        large = file.lfs or {}
        checksum = getattr(large, "sha256", None) or (large.get("sha256") if isinstance(large, dict) else None)
        if checksum or file.blob_id:
            found[file.rfilename] = Record(str(checksum or file.blob_id), "the Hub's record")
    return found


def _check_files(repo_id: str, commit: str, sizes: Mapping[str, int]) -> None:
    if CONFIG not in sizes or WEIGHTS not in sizes:
        missing = CONFIG if CONFIG not in sizes else WEIGHTS
        raise HubError(f"{repo_id} (commit {commit[:10]}) is no mszoo model: it has no {missing}{_found(sizes)}")
    for name, largest in _LARGEST.items():
        if sizes.get(name, 0) > largest:
            raise HubError(
                f"{repo_id}: its {name} has {sizes[name]:,} bytes, mszoo reads at most {largest:,}: not fetched"
            )
    pickles = [name for name in sizes if name.lower().endswith(_PICKLES)]
    if pickles:
        warnings.warn(
            f"{repo_id} also holds {', '.join(sorted(pickles)[:5])}: files that can run code; they are not fetched, "
            f"mszoo reads {WEIGHTS} alone",
            stacklevel=2,
        )


def _found(sizes: Mapping[str, int]) -> str:
    return f"; it holds {', '.join(sorted(sizes)[:8])}" if sizes else ""


def _check_weights(repo_id: str, folder: Path, size: int) -> None:
    """Refuse weights much larger than the configured model before they are fetched."""
    try:
        shapes = expected_shapes(read_config(folder)["model"])
    except MszooError:  # a plugin is missing, or worse: loading reports it, and fetching does no harm
        return
    if shapes is None:
        return
    largest = 8 * sum(math.prod(shape) for shape in shapes.values()) + _HEADER
    if size > largest:
        raise HubError(
            f"{repo_id}: its {WEIGHTS} has {size:,} bytes, and the model that its {CONFIG} describes at most "
            f"{largest:,}: not fetched"
        )


def _fetch_right(repo_id: str, file: str, commit: str, known: Mapping[str, Record]) -> Path:
    """Download a file (or find it), and compare its bytes; wrong ones are fetched once more."""

    def once() -> Path:
        try:
            path = Path(patiently(api().hf_hub_download, repo_id, file, revision=commit, etag_timeout=_timeout()))
        except OSError as error:
            if "Consistency check failed" not in str(error):
                raise
            raise HubError(
                f"{repo_id}: {file} arrived with another size than the Hub says, so it was cut on its way; pull again"
            ) from error
        verify(path.parent, [file], known)
        return path

    place = repository(repo_id) / "snapshots" / commit / file
    try:
        return once()
    except IntegrityError:
        forget(place)
    try:
        return once()
    except IntegrityError as error:
        forget(place)
        raise IntegrityError(
            f"{repo_id}: {file} arrived twice with bytes whose checksum is not {known[file].source}; it was removed. "
            f"A proxy on the way, or the Hub itself, is at fault: pull over another network, or later"
        ) from error
