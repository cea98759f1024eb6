"""How a model's name becomes a folder."""

from __future__ import annotations

from pathlib import Path

from mszoo.errors import CheckpointError, HubError, suggest
from mszoo.hub.integrity import IntegrityError
from mszoo.hub.names import HubName, Pin, hub_name, pins
from mszoo.hub.packaged import packaged_models

__all__ = ["find", "pull"]


def find(name: str | Path, revision: str | None = None) -> Path:
    """The checkpoint folder of a model.

    Args:
        name: in this order: a packaged model's name; a folder; a short name that is pinned to a commit of the Hub;
            ``owner/name`` or ``owner/name@revision`` on the Hub, with or without ``hf-hub:`` before it. A ``Path`` is
            a folder, whatever its name.
        revision: branch, tag or commit, for models of the Hub.

    Raises:
        CheckpointError: none of these; the message lists the closest names.
        HubError: the Hub cannot give it; see :mod:`mszoo.hub.pulling`. There is no such folder either, it says.
    """
    text, packaged, folder = str(name), packaged_models(), Path(name)
    local = None if isinstance(name, Path) else packaged.get(text)
    local = local or (folder if _is_folder(folder) else None)
    if local is not None:
        if revision is not None:
            raise CheckpointError(f"{text!r} is on this machine; revision={revision!r} is for models of the Hub")
        return local
    if isinstance(name, Path):
        raise CheckpointError(f"there is no folder {text!r}{_near(folder)}")
    found = _on_hub(text, revision)
    if found is None:
        near = _near(folder) if len(folder.parts) > 1 else suggest(text, [*packaged, *pins()])
        raise CheckpointError(
            f"no packaged model and no folder {text!r}{near}; `mszoo models` lists the packaged ones; a model of the "
            f"Hub is called owner/name"
        )
    from mszoo.hub.pulling import fetch  # the Hub's client takes a while to import

    try:
        return fetch(*found)
    except IntegrityError:
        raise
    except HubError as error:
        if text.startswith("hf-hub:") or text in pins():
            raise
        near = _near(folder)
        raise type(error)(f"there is no folder {text!r} here, and as a model of the Hub: {error}{near}") from error


def _near(folder: Path) -> str:
    """The advice to take a folder of nearly this name, beside where this one would be."""
    try:
        names = [path.name for path in folder.parent.iterdir() if path.is_dir()]
    except (OSError, ValueError):
        return ""
    return suggest(folder.name, names, before=f"{folder.parent}/" if len(folder.parts) > 1 else "")


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # longer than a name may be, or with a NUL
        return False


def pull(name: str, revision: str | None = None) -> Path:
    """Ask the Hub for the newest state of a model, and fetch what is missing of it; its folder in the cache.

    Args:
        name: a short name, or ``owner/name`` or ``owner/name@revision``.
        revision: branch, tag or commit; None: main.

    Raises:
        HubError: no name of a model of the Hub, or the Hub cannot give it; see :mod:`mszoo.hub.pulling`.
    """
    found = _on_hub(name, revision)
    if found is None:
        kind = "a packaged model, here already" if name in packaged_models() else "no model of the Hub"
        raise HubError(f"{name!r} is {kind}; pull owner/name, or owner/name@revision")
    from mszoo.hub.pulling import download

    return download(*found)


def _on_hub(text: str, revision: str | None) -> tuple[HubName, Pin | None] | None:
    pin = pins().get(text)
    if pin is not None:
        return HubName(pin.repo_id, pin.commit), pin
    name = hub_name(text, revision)
    return None if name is None else (name, None)
