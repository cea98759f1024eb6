"""The Hub client's cache, shared with all other programs that use it; read here without a network.

``models--owner--name/refs/REVISION`` holds a commit, ``snapshots/COMMIT/`` its files; they link to ``blobs/``, named by
the checksum that the Hub gave for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import constants  # the client itself takes a while to import, and listings do without it

from mszoo.checkpoint.folder import CONFIG, WEIGHTS, read_config
from mszoo.errors import CheckpointError
from mszoo.files import replace_file

__all__ = ["cached_models", "find_cached", "forget", "remember", "repository"]


def repository(repo_id: str) -> Path:
    """The folder of a repository in the cache, whether there or not."""
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo_id, repo_type="model")


def find_cached(repo_id: str, revision: str | None) -> Path | None:
    """The snapshot of a revision (a branch, tag or commit; None: main), if it holds a whole model."""
    from huggingface_hub import try_to_load_from_cache

    places = [try_to_load_from_cache(repo_id, name, revision=revision) for name in (CONFIG, WEIGHTS)]
    folders = {Path(place).parent for place in places if isinstance(place, str)}
    whole = len(folders) == 1 and all(isinstance(place, str) for place in places)
    return folders.pop() if whole else None


def remember(repo_id: str, revision: str, commit: str) -> None:
    """Record that a branch or tag is now at a commit. Done last: until then the older snapshot is used.

    Args:
        repo_id: owner/name.
        revision: a branch, tag or commit.
        commit: what it means.
    """
    if revision != commit:
        path = repository(repo_id) / "refs" / revision
        if not (path.is_file() and path.read_text() == commit):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, lambda part: part.write_text(commit))


def forget(path: Path) -> None:
    """Remove a file of a snapshot, and the bytes it links to, so that it is fetched again."""
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def cached_models() -> Iterator[tuple[str, Path]]:
    """Repository and newest snapshot of every mszoo model in the cache."""
    for folder in sorted(Path(constants.HF_HUB_CACHE).glob("models--*--*")):
        repo_id = folder.name.removeprefix("models--").replace("--", "/", 1)
        snapshots = sorted(folder.glob(f"snapshots/*/{WEIGHTS}"), key=lambda path: -path.stat().st_mtime)
        for snapshot in (path.parent for path in snapshots):
            try:
                if read_config(snapshot).get("library_name") == "mszoo":
                    yield repo_id, snapshot
                    break
            except (CheckpointError, OSError):  # another library's, or half a download
                continue
