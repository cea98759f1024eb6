"""The schedulers of diffusers, as samplers of mszoo: ``diffusers/euler``, ``diffusers/ddim`` and others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import mszoo

if TYPE_CHECKING:
    from mszoo_diffusers.sampling import Scheduled

__all__ = ["Scheduled", "mszoo_components"]

_SCHEDULERS = {
    "ddim": ("DDIMScheduler", {"clip_sample": False}),
    "ddpm": ("DDPMScheduler", {"clip_sample": False}),
    "dpm_solver": ("DPMSolverMultistepScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
}


@mszoo.hookimpl
def mszoo_components() -> Iterator[mszoo.Spec]:
    """One sampler for each scheduler."""
    for name, (scheduler, config) in _SCHEDULERS.items():
        fixed = {"scheduler": scheduler, "fixed": config}
        yield mszoo.Spec(
            "sampler", f"diffusers/{name}", "mszoo_diffusers.sampling:Named", f"diffusers' {scheduler}", fixed
        )


def __getattr__(name: str) -> Any:
    """Imported on first use: listings of plugins need neither torch nor diffusers."""
    if name == "Scheduled":
        from mszoo_diffusers.sampling import Scheduled

        return Scheduled
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
