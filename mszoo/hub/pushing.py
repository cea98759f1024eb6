"""Publish a checkpoint: one commit with all that belongs to it, made once however often the Hub has to be asked."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, constants
from huggingface_hub.hf_api import ModelInfo

from mszoo.checkpoint.folder import CARD, CONFIG, EVALUATION, RECIPE, WEIGHTS
from mszoo.errors import HubError
from mszoo.hub.card import eval_results, read_facts, write_card
from mszoo.hub.client import FAULTS, api, as_hub_error, offline, patiently, status_of
from mszoo.hub.names import hub_name
from mszoo.hub.packaged import packaged_models
from mszoo.hub.pulling import records
from mszoo.model import MultiScaleModel
from mszoo.shipped import shipped_files

__all__ = ["Pushed", "check_names", "publication", "push", "push_model"]

_RESULTS = ".eval_results/"
_PICTURES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Pushed:
    """What was published.

    Attributes:
        repo_id, commit: where it is now.
        url: of its page.
        changed: files that this commit changed; empty if the Hub had it all already, and no commit was made.
    """

    repo_id: str
    commit: str
    url: str
    changed: list[str]


def publication(folder: Path, repo_id: str, unmeasured: bool = False) -> dict[str, bytes]:
    """The files of a published model, by their path in the repository; no other file of the folder is published.

    Args:
        folder: a checkpoint, or a packaged model's.
        repo_id: where it will be.
        unmeasured: publish without any measurement.

    Raises:
        CheckpointError: not a whole checkpoint, no recipe, or nothing was measured.
        RecipeError: a recipe with faults.
    """
    packaged = {path: name for name, path in packaged_models().items()}
    name = packaged.get(folder, repo_id)
    pictures = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in _PICTURES]
    pictures += [path for known, path in shipped_files("hub_cards", ".png").items() if known == packaged.get(folder)]
    facts = read_facts(folder, name, [p.name for p in pictures])
    if not (facts.psnr or facts.nll) and not unmeasured:
        raise HubError(
            f"{folder} has no measurements, and its card could say nothing of its worth; measure it with `mszoo "
            f"evaluate {folder} --data IMAGES`, or publish it all the same with --unmeasured (unmeasured=True)"
        )
    kept = [n for n in (CONFIG, WEIGHTS, RECIPE, EVALUATION) if (folder / n).is_file()]
    files = {n: (folder / n).read_bytes() for n in kept}
    files[CARD] = write_card(facts).encode()
    files |= {p.name: p.read_bytes() for p in pictures}
    return files | {_RESULTS + n: text.encode() for n, text in eval_results(facts).items()}


def check_names(repo_id: str, revision: str | None, tag: str | None) -> None:
    """Refuse names that the Hub would not take, before anything is sent. Raises :class:`HubError`.

    Args:
        repo_id: owner/name.
        revision: a branch, or None.
        tag: or None.
    """
    if hub_name(repo_id) is None or "@" in repo_id:
        raise HubError(f"{repo_id!r} names no repository; write owner/name")
    for given in (revision, tag):
        hub_name(repo_id, given)


def push(
    folder: Path,
    repo_id: str,
    *,
    revision: str | None = None,
    private: bool = False,
    tag: str | None = None,
    unmeasured: bool = False,
) -> Pushed:
    """Publish a checkpoint as one commit. Doing it again changes nothing, and makes no second commit.

    Args:
        folder: of the checkpoint, or of a packaged model.
        repo_id: ``owner/name`` on the Hub; made if it is not there.
        revision: branch to commit to, made if it is not there; None: main.
        private: make a new repository private.
        tag: name for the commit, such as v1.0.
        unmeasured: publish without any measurement.

    Raises:
        CheckpointError, RecipeError: see :func:`publication`; nothing was sent.
        HubError: the Hub refuses, or cannot be reached; the message says what to do.
    """
    check_names(repo_id, revision, tag)
    files, branch = publication(folder, repo_id, unmeasured), revision or "main"
    if offline():
        raise HubError(f"{repo_id}: publishing needs the Hub, and HF_HUB_OFFLINE is set; unset it")
    hub = api()
    with as_hub_error(repo_id, revision):
        patiently(hub.create_repo, repo_id, private=private or None, exist_ok=True)
        if branch != "main":
            patiently(hub.create_branch, repo_id, branch=branch, exist_ok=True)
        before = patiently(hub.model_info, repo_id, revision=branch, files_metadata=True, timeout=30)
        if private and before.private is False:
            raise HubError(f"{repo_id} is there already, and public: --private makes new repositories private; change "
                           f"it in its settings, or choose another name")  # fmt: skip
        commit, changed = _commit_once(repo_id, branch, before, files)
        if tag is not None:
            _tag(repo_id, tag, commit)
    return Pushed(repo_id, commit, f"{constants.ENDPOINT}/{repo_id}", changed)


def push_model(
    model: MultiScaleModel,
    repo_id: str,
    *,
    revision: str | None = None,
    private: bool = False,
    tag: str | None = None,
    unmeasured: bool = False,
) -> str:
    """Publish a model as it is in memory; returns its address. See :func:`push` for the errors.

    Its recipe comes from the folder that it was loaded from. So do its measurements, if its weights are still the same.

    Args:
        model: whose parts came from the registry.
        repo_id: ``owner/name``; it is created if there is none.
        revision: the branch; None: main.
        private: whether a new repository is private.
        tag: to set on the commit; None: none.
        unmeasured: publish a model without measurements too.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder, source = Path(temporary) / "model", model.folder
        beside = {} if source is None else {n: _text(source / n) for n in (RECIPE,) if (source / n).is_file()}
        model.save_pretrained(folder, beside=beside)
        if RECIPE not in beside:
            (folder / RECIPE).write_text(_least_recipe(model, repo_id), encoding="utf-8")
        if source is not None and (source / EVALUATION).is_file() and _same(source / WEIGHTS, folder / WEIGHTS):
            (folder / EVALUATION).write_text(_text(source / EVALUATION), encoding="utf-8")
        elif not unmeasured:
            raise HubError(
                "this model has no measurements, and its card could say nothing of its worth; save it with "
                "save_pretrained(FOLDER), measure it with `mszoo evaluate FOLDER --data IMAGES` and push that, or "
                "publish it all the same with unmeasured=True"
            )
        options = {"revision": revision, "private": private, "tag": tag, "unmeasured": unmeasured}
        return push(folder, repo_id, **options).url  # type: ignore[arg-type]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _least_recipe(model: MultiScaleModel, repo_id: str) -> str:
    """A recipe with the model's configuration only: how it was trained is not known."""
    import yaml

    values = {"name": repo_id.split("/")[-1], "model": model.config()}
    return yaml.safe_dump(values, sort_keys=False)


def _same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def _differences(there: ModelInfo, files: Mapping[str, bytes]) -> tuple[list[str], list[str]]:
    """Files that are new or different, and results of earlier measurements to be removed."""
    known, present = records(there), {f.rfilename for f in there.siblings or ()}

    gone = sorted(name for name in present if name.startswith(_RESULTS) and name not in files)
    return [name for name, data in files.items() if name not in known or not known[name].holds(data)], gone


def _commit_once(repo_id: str, branch: str, before: ModelInfo, files: Mapping[str, bytes]) -> tuple[str, list[str]]:
    """The commit with the files, and what it changed. A commit whose answer was lost is found, not repeated."""
    changed, gone = _differences(before, files)
    if not changed and not gone:
        return str(before.sha), []
    hub = api()

    def attempt() -> str:
        now = hub.model_info(repo_id, revision=branch, files_metadata=True, timeout=30)
        if now.sha != before.sha:
            if _differences(now, files) == ([], []):
                return str(now.sha)
            raise HubError(
                f"{repo_id} has changed while it was published: somebody else committed to {branch}; nothing was "
                f"overwritten, look at it and push again"
            )
        operations = [CommitOperationAdd(name, files[name]) for name in changed]
        removals = [CommitOperationDelete(name) for name in gone]
        message = f"Publish with mszoo: {', '.join(changed + gone)}"[:200]
        try:
            made = hub.create_commit(
                repo_id, [*operations, *removals], commit_message=message, revision=branch, parent_commit=before.sha
            )
        except RuntimeError as error:  # the client's wrapping of an upload that failed
            cause = error.__cause__
            raise cause if isinstance(cause, FAULTS) else error from None
        return str(made.oid)

    return patiently(attempt), changed + gone


def _tag(repo_id: str, tag: str, commit: str) -> None:
    hub = api()
    try:
        patiently(hub.create_tag, repo_id, tag=tag, revision=commit)
    except FAULTS as error:
        if status_of(error) != 409:
            raise
        refs = patiently(hub.list_repo_refs, repo_id)
        there = {ref.name: ref.target_commit for ref in refs.tags}.get(tag)
        if there != commit:
            raise HubError(
                f"{repo_id}: the files are published as commit {commit[:10]}, but tag {tag!r} is there already and "
                f"means {str(there)[:10]}; choose another tag"
            ) from error
