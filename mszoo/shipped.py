"""Recipes and model cards that come with the package, found by name wherever it is installed."""

from __future__ import annotations

from pathlib import Path

__all__ = ["shipped_files"]

_PACKAGE = Path(__file__).parent


def shipped_files(folder: str, suffix: str) -> dict[str, Path]:
    """Files by name without suffix, in ``recipes`` or ``hub_cards``.

    An installed wheel has them inside the package; a checkout has them beside it.
    """
    inside, beside = _PACKAGE / "shipped" / folder, _PACKAGE.parent / folder
    root = inside if inside.is_dir() else beside
    return {p.stem: p for p in sorted(root.glob(f"*{suffix}"))}
