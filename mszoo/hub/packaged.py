"""The models inside this package."""

from __future__ import annotations

from pathlib import Path

from mszoo.checkpoint.folder import CONFIG

__all__ = ["DENOISERS", "packaged_models"]

DENOISERS = {1: "photographs-grey", 3: "photographs-colour"}
"""The packaged denoiser for images of so many channels, where nobody names one."""

_MODELS = Path(__file__).parent / "models"


def packaged_models() -> dict[str, Path]:
    """Name and folder of every packaged model."""
    return {p.parent.name: p.parent for p in _MODELS.glob(f"*/{CONFIG}")}
