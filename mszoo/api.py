"""The public functions of :mod:`mszoo`; nothing here needs torch until something is built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mszoo.discovery import registry
from mszoo.registry import natural_order

if TYPE_CHECKING:
    import torch

    from mszoo.model import MultiScaleModel

__all__ = ["create", "list_components", "list_models", "load"]


def create(kind: str, name: str, /, *supplied: Any, **options: Any) -> Any:
    """Build a component by kind and name: ``mszoo.create("basis", "db4")``. See :meth:`Registry.create`."""
    return registry().create(kind, name, *supplied, **options)


def list_components(kind: str | None = None, pattern: str = "*") -> list[str]:
    """Names of the components of a kind (all kinds: None) that match a wildcard pattern, in natural order."""
    return registry().names(kind, pattern)


def list_models(pattern: str = "*", hub: bool = False) -> list[str]:
    """Names that :func:`load` takes, of packaged models and of those in the Hub's cache, in natural order.

    Args:
        pattern: with wildcards, such as ``photo*`` or ``*/*haar*``.
        hub: list, besides these, all that the Hub has.

    Raises:
        HubError: with ``hub``, when it cannot be reached.
    """
    from mszoo.hub.listing import find_models

    return sorted({entry.name for entry in find_models(pattern, hub)}, key=natural_order)


def load(
    name_or_folder: str | Path, device: str | torch.device = "cpu", *, revision: str | None = None
) -> MultiScaleModel:
    """Load a model, in eval mode.

    A model of the Hub is downloaded once, its checksums are compared, and from then on it needs no network; ``mszoo
    pull`` asks for a newer state.

    Args:
        name_or_folder: the name of a packaged model (see :func:`list_models`), a checkpoint folder, or a repository of
            the Hub: ``owner/name``, ``owner/name@v1.0`` (``hf-hub:`` before it is allowed).
        device: where to put it.
        revision: branch, tag or commit of a model of the Hub; None: main.

    Raises:
        CheckpointError: no such model, or a folder that is no whole checkpoint.
        HubError: the Hub cannot give it; the message says why, and what to do.
    """
    from mszoo.hub import find
    from mszoo.model import MultiScaleModel

    return MultiScaleModel.from_pretrained(find(name_or_folder, revision), device)
