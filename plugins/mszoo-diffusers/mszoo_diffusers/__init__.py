"""Samples from mszoo models with the schedulers of diffusers.

It implements no hook, as it adds no component to recipes; ``from mszoo_diffusers import sample`` is what it is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mszoo_diffusers.sampling import sample

__all__ = ["sample"]


def __getattr__(name: str) -> Any:
    """Imported on first use: listings of plugins need neither torch nor diffusers."""
    if name in __all__:
        from mszoo_diffusers import sampling

        return getattr(sampling, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
