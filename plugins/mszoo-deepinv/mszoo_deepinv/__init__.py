"""mszoo models in deepinv: denoisers for plug-and-play and diffusion, energies as explicit priors.

It implements no hook, as it adds no component to recipes: ``from mszoo_deepinv import Denoiser, EnergyPrior, Operator``
is what it is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mszoo_deepinv.bridge import Denoiser, EnergyPrior, Operator

__all__ = ["Denoiser", "EnergyPrior", "Operator"]


def __getattr__(name: str) -> Any:
    """The classes, imported on first use: listings of plugins need neither torch nor deepinv."""
    if name in __all__:
        from mszoo_deepinv import bridge

        return getattr(bridge, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
