"""The models inside this package, and how a model's name becomes a folder."""

from __future__ import annotations

from pathlib import Path

from mszoo.checkpoint import CONFIG
from mszoo.errors import CheckpointError, suggest

__all__ = ["find", "packaged_models"]

_MODELS = Path(__file__).parent / "models"


def packaged_models() -> dict[str, Path]:
    """Name and folder of every packaged model."""
    return {p.parent.name: p.parent for p in _MODELS.glob(f"*/{CONFIG}")}


def find(name_or_folder: str | Path) -> Path:
    """The checkpoint folder of a packaged model's name, or the folder itself.

    Raises:
        CheckpointError: neither; the message lists the closest names.
    """
    packaged = packaged_models()
    if str(name_or_folder) in packaged:
        return packaged[str(name_or_folder)]
    folder = Path(name_or_folder)
    if folder.is_dir():
        return folder
    raise CheckpointError(
        f"no packaged model and no folder {str(name_or_folder)!r}{suggest(str(name_or_folder), packaged)}; "
        f"`mszoo models` lists the packaged ones"
    )
