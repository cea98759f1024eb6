"""A plugin-based model zoo of image probability models.

Three words: a *basis* (an orthonormal wavelet transform), a *conditioner* (a network at each scale, conditioned on the
coarser one) and a *head* (which reads the network as a denoiser, or as an energy). See :class:`MultiScaleModel`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mszoo import (
        bases,
        conditioners,
        data,
        errors,
        heads,
        importers,
        inference,
        objectives,
        randomness,
        samplers,
        testing,
    )
    from mszoo.api import create, list_components, list_models, load, train
    from mszoo.errors import MszooError
    from mszoo.evaluation import evaluate
    from mszoo.hooks import hookimpl
    from mszoo.importers import convert
    from mszoo.model import MultiScaleModel
    from mszoo.registry import Spec

__version__ = "0.1.0"

__all__ = [
    "STABLE",
    "MszooError",
    "MultiScaleModel",
    "Spec",
    "bases",
    "conditioners",
    "convert",
    "create",
    "data",
    "errors",
    "evaluate",
    "heads",
    "hookimpl",
    "importers",
    "inference",
    "list_components",
    "list_models",
    "load",
    "objectives",
    "randomness",
    "samplers",
    "testing",
    "train",
]

STABLE = (
    *("bases", "conditioners", "data", "errors", "heads"),
    *("importers", "inference", "objectives", "randomness", "samplers", "testing"),
)
"""The modules that plugins and programs may import from, besides ``mszoo`` itself: what their ``__all__`` names stays,
or a release says under another name for a while. All other modules may change without a word."""

# Imported on first use: `import mszoo` and listings need no torch.
_HOMES = {
    "MszooError": "mszoo.errors",
    "MultiScaleModel": "mszoo.model",
    "Spec": "mszoo.registry",
    "convert": "mszoo.importers",
    "create": "mszoo.api",
    "evaluate": "mszoo.evaluation",
    "hookimpl": "mszoo.hooks",
    "list_components": "mszoo.api",
    "list_models": "mszoo.api",
    "load": "mszoo.api",
    "train": "mszoo.api",
}


def __getattr__(name: str) -> Any:
    if name in STABLE:
        return importlib.import_module(f"mszoo.{name}")  # which sets the attribute
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'mszoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *STABLE})
