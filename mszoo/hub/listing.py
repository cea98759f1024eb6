"""All models there are, wherever they are: packaged, in the cache, on the Hub."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mszoo.checkpoint import folder as checkpoint
from mszoo.errors import MszooError
from mszoo.hub.cache import cached_models
from mszoo.hub.names import pins
from mszoo.hub.packaged import packaged_models
from mszoo.recipe import read_recipe
from mszoo.registry import natural_order
from mszoo.text import one_line

__all__ = ["ModelEntry", "find_models"]

_LONGEST_LINE, _MOST_WORDS = 300, 4
_USUAL_SIGMA = 25 / 255  # that most papers report


@dataclass(frozen=True)
class ModelEntry:
    """One model. All text from a repository is its owner's claim.

    Attributes:
        name: that :func:`mszoo.load` takes.
        where: ``packaged``, ``cached`` or ``Hub``.
        size: of its weights in bytes; None: unknown.
        receptive_field: of the finest scale; None: the whole image, or unknown.
        measured: its PSNR, at about 25/255, and its bits per dimension, in words.
        description: one line.
    """

    name: str
    where: str
    size: int | None
    receptive_field: int | None
    measured: str
    description: str


def find_models(pattern: str = "*", hub: bool = False) -> Iterator[ModelEntry]:
    """The models that :func:`mszoo.load` takes by name: packaged or in the cache; no network, and no torch.

    In natural order.

    Args:
        pattern: of the name, with wildcards.
        hub: add short names that are pinned, and all models on the Hub whose library is mszoo.

    Raises:
        HubError: with ``hub``, when it cannot be asked.
    """
    found = {entry.name: entry for entry in _local_models(pattern)}
    if hub:
        found = {**{entry.name: entry for entry in _hub_models(pattern)}, **found}
    yield from (found[name] for name in sorted(found, key=natural_order))


def _local_models(pattern: str) -> Iterator[ModelEntry]:
    for name, folder in packaged_models().items():
        if fnmatch.fnmatchcase(name, pattern):
            yield _of_folder(name, "packaged", folder)
    for name, folder in cached_models():
        if fnmatch.fnmatchcase(name, pattern):
            yield _of_folder(name, "cached", folder)


def _hub_models(pattern: str) -> Iterator[ModelEntry]:
    from mszoo.hub.client import api, as_hub_error  # its client takes a while to import

    for name, pin in pins().items():
        if fnmatch.fnmatchcase(name, pattern):
            yield ModelEntry(name, "Hub", None, None, "", f"pinned: {pin.repo_id}@{pin.commit[:10]}")
    with as_hub_error("the list of models"):
        found = list(api().list_models(filter="mszoo", full=True, cardData=True))
    for info in found:
        if fnmatch.fnmatchcase(info.id, pattern):
            yield _of_card(info.id, info.card_data.to_dict() if info.card_data else {})


def _of_folder(name: str, where: str, folder: Path) -> ModelEntry:
    size = (folder / checkpoint.WEIGHTS).stat().st_size
    try:
        config = checkpoint.read_config(folder)
        scale = [*_list(config["model"].get("detail")), config["model"].get("coarse")][0]
        field = _number(scale.get("conditioner", {}).get("receptive_field"))
    except (MszooError, AttributeError):  # its owner may have written anything
        field = None
    path = folder / checkpoint.RECIPE
    try:
        description = _line(read_recipe(path).values.get("description", "")) if path.is_file() else ""
    except MszooError:
        description = ""
    return ModelEntry(name, where, size, field, _measured_of_folder(folder), description)


def _measured_of_folder(folder: Path) -> str:
    try:
        values: Any = json.loads(checkpoint.read_text(folder / checkpoint.EVALUATION))
        words = []
        for result in values["psnr"][:1]:
            row = min(result["rows"], key=lambda row: abs(row["sigma"] - _USUAL_SIGMA))
            words.append(f"{row['denoised']:.2f} dB at {row['sigma']:.3g} on {_line(result['data'])}")
        words += [f"{r['nll']:.3f} bits/dim on {_line(r['data'])}" for r in values.get("nll", [])[:1]]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        return ""
    return ", ".join(words)


def _of_card(name: str, card: Mapping[str, Any]) -> ModelEntry:
    own = card.get("mszoo")
    own = own if isinstance(own, dict) else {}
    parameters = _number(own.get("parameters"))
    size = None if parameters is None else 4 * parameters
    return ModelEntry(
        name,
        "Hub",
        size,
        _number(own.get("receptive_field")),
        _measured_of_card(card),
        _line(own.get("description", "")),
    )


def _measured_of_card(card: Mapping[str, Any]) -> str:
    words: dict[str, str] = {}
    try:
        for result in card["model-index"][0]["results"]:
            for metric in result["metrics"]:
                kind = _line(metric["type"]).split("_")[0]
                text = f"{float(metric['value']):.2f} {_line(metric['name'])} on {_line(result['dataset']['name'])}"
                words.setdefault(kind, text)
    except (LookupError, TypeError, ValueError, OverflowError):
        pass
    return ", ".join(list(words.values())[:_MOST_WORDS])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> int | None:
    """A count as the Hub gave it, if it is a possible one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**50 else None


def _line(value: Any) -> str:
    """An owner's text as one printable line; empty if it is not text."""
    return one_line(" ".join(value.split()))[:_LONGEST_LINE] if isinstance(value, str) else ""
