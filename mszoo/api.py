"""The public functions of :mod:`mszoo`; nothing here needs torch until something is built."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mszoo.hooks import registry
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


def list_models(pattern: str = "*") -> list[str]:
    """Names of the packaged models that match a wildcard pattern, in natural order."""
    from mszoo.hub.packaged import packaged_models

    return sorted((n for n in packaged_models() if fnmatch.fnmatchcase(n, pattern)), key=natural_order)


def load(name_or_folder: str | Path, device: str | torch.device = "cpu") -> MultiScaleModel:
    """Load a model, in eval mode.

    Args:
        name_or_folder: the name of a packaged model (see :func:`list_models`), or a checkpoint folder.
        device: where to put it.

    Raises:
        CheckpointError: no such model, or a folder that is no whole checkpoint.
    """
    from mszoo.hub import find
    from mszoo.model import MultiScaleModel

    return MultiScaleModel.from_pretrained(find(name_or_folder), device)
