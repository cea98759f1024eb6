"""What a model may be called: a packaged model, a folder, a short name, or a repository of the Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pydantic

from mszoo.errors import HubError

__all__ = ["PINS", "HubName", "Pin", "hub_name", "pins"]

PINS = Path(__file__).parent / "pins.json"

_PREFIX = "hf-hub:"
_REPOSITORY = re.compile(r"[A-Za-z0-9]([\w.-]{0,94}\w)?/\w([\w.-]{0,94}\w)?", re.ASCII)  # the client takes no others
_REVISION = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)


@dataclass(frozen=True)
class HubName:
    """A repository of the Hub, and one of its branches, tags or commits (None: what is newest on main)."""

    repo_id: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repo_id if self.revision is None else f"{self.repo_id}@{self.revision}"


class Pin(pydantic.BaseModel):
    """Where a short name is found, exactly.

    Attributes:
        repo_id: on the Hub.
        commit: of that repository.
        sha256: of its files, by name.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    repo_id: str
    commit: str = pydantic.Field(pattern=r"^[0-9a-f]{40}$")
    sha256: Mapping[str, str]


def pins() -> dict[str, Pin]:
    """The short names of models on the Hub, filled in by ``python -m mszoo.hub.release``."""
    return {name: Pin.model_validate(value) for name, value in json.loads(PINS.read_text(encoding="utf-8")).items()}


def hub_name(text: str, revision: str | None = None) -> HubName | None:
    """``owner/name``, ``owner/name@revision``, each with or without ``hf-hub:``; None if it is none of these.

    Raises:
        HubError: with ``hf-hub:`` but no repository's name, two different revisions, or no revision's name.
    """
    repo_id, _, asked = text.removeprefix(_PREFIX).partition("@")
    if not _REPOSITORY.fullmatch(repo_id) or ".." in repo_id or "--" in repo_id or repo_id.endswith(".git"):
        if text.startswith(_PREFIX):
            raise HubError(f"{text!r} names no repository; write hf-hub:owner/name, or hf-hub:owner/name@revision")
        return None
    if asked and revision is not None and asked != revision:
        raise HubError(f"{text!r} asks for revision {asked!r}, and revision={revision!r} is given too; leave one out")
    chosen = revision if revision is not None else asked or None
    if chosen is not None and (not _REVISION.fullmatch(chosen) or ".." in chosen or len(chosen) > 255):
        raise HubError(
            f"{chosen!r} is no revision: it is a branch, a tag or a commit, such as main, v1.0 or 1f0c3a9..."
        )
    return HubName(repo_id, chosen)
