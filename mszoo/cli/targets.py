"""Where results go: a file for one image, a folder for more; never onto an original."""

from __future__ import annotations

from pathlib import Path

from mszoo.errors import MszooError

__all__ = ["distinct", "pairs"]


def pairs(sources: list[Path], out: Path) -> list[tuple[Path, Path]]:
    """Each image file, and where its result goes."""
    from mszoo.data.image_folder import find_images
    from mszoo.data.images import SUFFIXES

    if len(sources) == 1 and not sources[0].is_dir() and out.suffix.lower() in SUFFIXES and not out.is_dir():
        return distinct([(sources[0], out)])
    if out.suffix.lower() in SUFFIXES and not out.is_dir():
        raise MszooError(f"several images need a folder to go to, {out} is named like an image")
    if len(sources) == 1 and not sources[0].is_dir() and out.suffix and not out.is_dir():
        raise MszooError(f"{out}: no image format {out.suffix}; use {', '.join(sorted(SUFFIXES))}, or name a folder")
    pairs = []
    for source in sources:
        if source.is_dir():
            pairs += [(image, out / image.relative_to(source)) for image in find_images(str(source))]
        else:
            pairs.append((source, out / source.name))
    return distinct(pairs)


def distinct(pairs: list[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """The same pairs. Raises :class:`MszooError` if a result would replace an original, or another result."""
    for source, target in pairs:
        if target.exists() and source.exists() and target.samefile(source):
            raise MszooError(f"{target} would be overwritten by its own result; give another OUT")
    targets = [target for _, target in pairs]
    for twice in {str(t) for t in targets if targets.count(t) > 1}:
        raise MszooError(f"two images would be written to {twice}; denoise them into different folders")
    return pairs
