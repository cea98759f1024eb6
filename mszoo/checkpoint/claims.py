"""Where a checkpoint says its components come from. Shown to the user as a claim, and used for nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Annotated, Any

import pydantic

from mszoo.discovery import plugins, registry
from mszoo.errors import CheckpointError
from mszoo.registry import PROVIDERS, Part

__all__ = ["Claim", "check_claims", "claims_of"]


class Claim(pydantic.BaseModel):
    """One component of a checkpoint and the distribution that built it.

    Attributes:
        kind, name: of the component.
        distribution, version: that provided it when the model was saved.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    kind: str = pydantic.Field(max_length=100)
    name: str = pydantic.Field(max_length=200)
    distribution: str = pydantic.Field(max_length=200)
    version: str = pydantic.Field(max_length=100)


_CLAIMS = pydantic.TypeAdapter(Annotated[list[Claim], pydantic.Field(max_length=200), pydantic.FailFast()])


def claims_of(parts: Iterable[Part]) -> list[dict[str, str]]:
    """What ``config.json`` records of the components of a model, each once."""
    found = {(p.kind, p.name): Claim(kind=p.kind, name=p.name, distribution=p.distribution, version=p.version)
             for p in parts}  # fmt: skip
    return [claim.model_dump() for _, claim in sorted(found.items())]


def check_claims(values: Any) -> None:
    """Hold the ``components`` of a ``config.json`` against what is installed; warn about other versions.

    Raises:
        CheckpointError: a component that nothing here provides (the message gives the claimed distribution), or a
            malformed list.
    """
    try:
        claims = _CLAIMS.validate_python(values)
    except pydantic.ValidationError as error:
        raise CheckpointError(f"its list of components is malformed: {error.errors()[0]['msg']}") from None
    here = {(spec.kind, spec.name): spec for spec in registry()}
    for claim in claims:
        spec = here.get((claim.kind, claim.name))
        if spec is None:
            raise CheckpointError(_missing(claim))
        given, claimed = (spec.distribution, spec.version), (claim.distribution, claim.version)
        if given != claimed and (claim.distribution, spec.distribution) != ("mszoo", "mszoo"):
            warnings.warn(
                f"{claim.kind} {claim.name!r} comes from {' '.join(given)} here; the checkpoint was saved with "
                f"{' '.join(claimed)}: its numbers may differ",
                stacklevel=2,
            )


def _missing(claim: Claim) -> str:
    needed = f"it needs the {claim.kind} {claim.name!r}, which is not installed here"
    for plugin in plugins():
        if plugin.distribution == claim.distribution and plugin.fault is not None:
            return f"{needed}: distribution {plugin.distribution!r} is, but it is disabled: {plugin.fault}"
    if claim.distribution in set(PROVIDERS.values()):
        return f"{needed}; pip install ./plugins/{claim.distribution} in mszoo's repository"
    return (
        f"{needed}. The checkpoint claims that it comes from distribution {claim.distribution!r} {claim.version}; that "
        f"is a claim of whoever made it: know the distribution before you install it"
    )
