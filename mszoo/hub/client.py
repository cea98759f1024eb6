"""Calls to the Hub through its own client, repeated where the client would give up; each fault in one sentence.

The client retries downloads, uploads and (newer ones) listings by itself; it does not retry what makes a repository, a
tag or a commit, or what asks for the state of one: those go through :func:`patiently`. Tokens are the client's business
alone (``hf auth login``, ``HF_TOKEN``): they pass through here neither as arguments nor in messages.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from mszoo import __version__
from mszoo.errors import HubError, NotOnHubError

__all__ = ["FAULTS", "api", "as_hub_error", "offline", "patiently", "status_of"]

P = ParamSpec("P")
T = TypeVar("T")

# Whatever the client raises: its HTTP library's errors (another library in older clients), and the disk's.
FAULTS: tuple[type[Exception], ...] = (*HfHubHTTPError.__bases__, HFValidationError, EntryNotFoundError, OSError)

_WAITS = (1.0, 2.0, 4.0, 8.0)
_LONGEST_WAIT = 300.0
_BUSY = {408, 429, 500, 502, 503, 504}
_DISK = {
    errno.ENOSPC: "the disk is full; free some space (`hf cache prune`, `hf cache rm`), or set HF_HOME to another disk",
    errno.EDQUOT: "your disk quota is used up; free some space (`hf cache prune`), or set HF_HOME to another disk",
    errno.EFBIG: "the file is larger than this system allows; raise the limit (ulimit -f)",
    errno.EACCES: "it cannot be written; set HF_HOME (or HF_HUB_CACHE) to a folder that you may write to",
    errno.EPERM: "it cannot be written; set HF_HOME (or HF_HUB_CACHE) to a folder that you may write to",
    errno.EROFS: "it is read-only; set HF_HOME (or HF_HUB_CACHE) to a folder that you may write to",
}


def api() -> HfApi:
    """A new client, which reads the current settings."""
    return HfApi(library_name="mszoo", library_version=__version__)


def offline() -> bool:
    """Whether the user asked the client to stay off the network (HF_HUB_OFFLINE)."""
    return bool(constants.HF_HUB_OFFLINE)


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error comes from; None if the Hub did not answer."""
    response = getattr(error, "response", None)
    return getattr(response, "status_code", None)


def patiently(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """``call(...)``, repeated after 1, 2, 4 and 8 seconds while the Hub is busy, or after the time that it asks for.

    Where no server answers it is tried twice more. Faults that waiting cannot mend are raised at once, and so is the
    answer of a Hub that asks for more than five minutes.

    Args:
        call: a method of the Hub's client that may be called twice.
        args: of the call.
        kwargs: of the call.
    """
    for i, wait in enumerate((*_WAITS, None)):
        try:
            return call(*args, **kwargs)
        except FAULTS as error:
            status = status_of(error)
            final = isinstance(error, (OfflineModeIsEnabled, HFValidationError, LocalEntryNotFoundError))
            silent = status is None and not final
            if wait is None or not (status in _BUSY or (silent and _errno(error) not in _DISK and i < 2)):
                raise
            asked = _retry_after(error)
            if asked > _LONGEST_WAIT:
                raise
            time.sleep(max(wait, asked))
    raise AssertionError("unreachable")


def _retry_after(error: BaseException) -> float:
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        return float(headers.get("Retry-After", 0))
    except ValueError:  # a date: our own waits do
        return 0.0


def _errno(error: BaseException | None) -> int | None:
    """The operating system's number for an error, or for what caused it."""
    while error is not None:
        number = getattr(error, "errno", None)
        if number is not None:
            return number
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def as_hub_error(repo_id: str, revision: str | None = None) -> Iterator[None]:
    """Turn the client's faults into one :class:`HubError` that says what to do."""
    try:
        yield
    except HubError:
        raise
    except RuntimeError as error:  # the client's wrapping of an upload that failed
        if not isinstance(error.__cause__, FAULTS):
            raise
        raise HubError(_explain(error.__cause__, repo_id, revision)) from error
    except FAULTS as error:
        if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, HfHubHTTPError):
            error = error.__cause__  # the client reports a refusal as a file that is not in the cache
        missing = isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError)
        raise (NotOnHubError if missing else HubError)(_explain(error, repo_id, revision)) from error


def _explain(error: BaseException, repo_id: str, revision: str | None) -> str:
    where, status = constants.ENDPOINT, status_of(error)
    if isinstance(error, HFValidationError):
        return f"{repo_id!r} is no repository's name: the Hub's are owner/name, of letters, digits, '-', '_' and '.'"
    if isinstance(error, GatedRepoError):
        return f"{repo_id} is gated: accept its terms at {where}/{repo_id}, then log in here with `hf auth login`"
    if isinstance(error, RevisionNotFoundError):
        return (
            f"{repo_id} has no revision {revision!r}; its branches, tags and commits are at {where}/{repo_id}/tree/main"
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"{where} has no model {repo_id!r}, or it is private and you are not logged in as somebody who may see it "
            f"(`hf auth login`, `hf auth whoami`)"
        )
    if status == 401 and not get_token():
        return f"{repo_id}: the Hub wants to know who you are; log in with `hf auth login`"
    if status == 401:
        return f"{repo_id}: the Hub does not accept your token; log in again with `hf auth login`"
    if status == 403:
        return (
            f"{repo_id}: your token may not do this; make one for {repo_id.split('/')[0]} at {where}/settings/tokens, "
            f"with the role 'write' to push, or 'read' to pull, then `hf auth login`"
        )
    if status == 412:
        return f"{repo_id} has changed while it was written to; nothing was overwritten, do it again"
    if status == 429:
        asked = _retry_after(error)
        again = f"in {asked:.0f} seconds" if asked else "later"
        return f"{repo_id}: too many requests, says the Hub; come back {again}"
    if status is not None and status >= 500:
        return f"{repo_id}: the Hub has trouble of its own (HTTP {status}); nothing is wrong here, come back later"
    if status is not None:
        reason = str(getattr(error, "server_message", None) or "").strip()
        return f"{repo_id}: the Hub refuses (HTTP {status}){f': {reason}' if reason else ''}"
    if isinstance(error, LocalEntryNotFoundError) and not offline():
        return f"{repo_id}: {where} cannot be reached, and the file is not in the cache yet; try again when it can"
    if isinstance(error, OfflineModeIsEnabled) or (isinstance(error, LocalEntryNotFoundError) and offline()):
        return (
            f"{repo_id} is needed from the Hub, but HF_HUB_OFFLINE is set; unset it, or pull where there is a network"
        )
    number = _errno(error)
    if number in _DISK:
        name = getattr(error, "filename", None) or constants.HF_HUB_CACHE
        return f"{repo_id}: {name}: {_DISK[number]}; what has been fetched already is kept"
    return f"{repo_id}: {where} cannot be reached ({type(error).__name__}); check the network, and try again"
