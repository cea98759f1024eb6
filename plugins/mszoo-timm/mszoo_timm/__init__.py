"""What this distribution adds to mszoo: timm's backbones as conditioners, and the energy that reads their features."""

from collections.abc import Iterator

import mszoo


@mszoo.hookimpl
def mszoo_components() -> Iterator[mszoo.Spec]:
    """The conditioner and its head."""
    yield mszoo.Spec(
        "conditioner",
        "timm/backbone",
        "mszoo_timm.backbone:Backbone",
        "pooled features of a timm model (smooth, batch-independent ones)",
    )
    yield mszoo.Spec(
        "head",
        "timm/pooled_energy",
        "mszoo_timm.pooled_energy:PooledEnergy",
        "energy U = exact white Gaussian energy + gated function of pooled features",
    )
