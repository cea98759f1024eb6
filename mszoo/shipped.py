"""Recipes and model cards that come with the package, found by name wherever it is installed."""

from __future__ import annotations

from pathlib import Path

__all__ = ["shipped_files", "shipped_folder"]

_PACKAGE = Path(__file__).parent


def shipped_files(folder: str, suffix: str) -> dict[str, Path]:
    """Files by name without suffix, in ``recipes`` or ``hub_cards``.

    An installed wheel has them inside the package; a checkout has them beside it.
    """
    return {p.stem: p for p in sorted(shipped_folder(folder).glob(f"*{suffix}"))}


def shipped_folder(folder: str) -> Path:
    """Where ``recipes`` or ``hub_cards`` are."""
    inside, beside = _PACKAGE / "shipped" / folder, _PACKAGE.parent / folder
    return inside if inside.is_dir() else beside
