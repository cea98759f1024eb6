"""The public functions of :mod:`mszoo`; nothing here needs torch until something is built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mszoo.discovery import registry
from mszoo.errors import RecipeError

if TYPE_CHECKING:
    import torch

    from mszoo.model import MultiScaleModel

__all__ = ["create", "list_components", "list_models", "load", "train"]


def create(kind: str, name: str, /, *supplied: Any, **options: Any) -> Any:
    """Build a component by kind and name.

    Args:
        kind: one of basis, conditioner, head, objective, dataset, sampler and importer.
        name: a registered name; see :func:`list_components`.
        supplied: what a model gives to parts of this kind: ``channels, cond_channels`` to a conditioner, the
            conditioner to a head, ``channels`` to a data set.
        options: the component's own, as a recipe has them.

    Example:
        >>> import mszoo
        >>> mszoo.create("basis", "db4").taps
        8
    """
    return registry().create(kind, name, *supplied, **options)


def list_components(kind: str | None = None, pattern: str = "*") -> list[str]:
    """Names of the components of a kind (all kinds: None) that match a wildcard pattern, in natural order.

    Example:
        >>> import mszoo
        >>> mszoo.list_components("basis", "db1*")
        ['db1', 'db10', 'db11', 'db12', 'db13', 'db14', 'db15', 'db16', 'db17', 'db18', 'db19']
    """
    return registry().names(kind, pattern)


def list_models(pattern: str = "*", hub: bool = False) -> list[str]:
    """Names that :func:`load` takes, of packaged models and of those in the Hub's cache, in natural order.

    Args:
        pattern: with wildcards, such as ``photo*`` or ``*/*haar*``.
        hub: list, besides these, all that the Hub has.

    Raises:
        HubError: with ``hub``, when it cannot be reached.

    Example:
        >>> import mszoo
        >>> mszoo.list_models("cifar10-*")
        ['cifar10-grey-energy', 'cifar10-grey-haar-energy']
    """
    from mszoo.hub.listing import find_models

    return [entry.name for entry in find_models(pattern, hub)]


def load(
    name_or_folder: str | Path, device: str | torch.device = "cpu", *, revision: str | None = None
) -> MultiScaleModel:
    """Load a model, in eval mode.

    A model of the Hub is downloaded once, its checksums are compared, and from then on it needs no network; ``mszoo
    pull`` asks for a newer state.

    Args:
        name_or_folder: the name of a packaged model (see :func:`list_models`), a checkpoint folder, or a repository of
            the Hub: ``owner/name``, ``owner/name@v1.0`` (``hf-hub:`` before it is allowed).
        device: where to put it; ``auto``: a GPU if there is one.
        revision: branch, tag or commit of a model of the Hub; None: main.

    Raises:
        CheckpointError: no such model, or a folder that is no whole checkpoint.
        HubError: the Hub cannot give it; the message says why, and what to do.

    Example:
        >>> import torch
        >>> model = load("photographs-haar-rf13")
        >>> model.denoise(torch.rand(1, 1, 30, 40), pad=True).shape
        torch.Size([1, 1, 30, 40])
    """
    from mszoo.checkpoint.reading import read_model
    from mszoo.hub import find

    return read_model(find(name_or_folder, revision), device)


def train(
    recipe: str | Path,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    **overrides: Any,
) -> MultiScaleModel:
    """Train the model of a recipe, as ``mszoo train`` does; see ``mszoo.training.train``.

    Args:
        recipe: a YAML file, or the name of a shipped recipe.
        out: the run's folder; None: ``runs/`` and the recipe's name.
        resume: go on from the newest state in that folder, if there is one.
        overwrite: begin anew, whatever model or run that folder holds.
        overrides: other values for keys of the recipe, the dots of a key's path written as two underscores:
            ``training__steps=200`` (or ``**{"training.steps": 200}``). A mapping replaces all that the key
            holds.

    Returns:
        The trained model, in eval mode; its checkpoint is in the folder.

    Raises:
        RecipeError: the recipe, or an override, has faults.
        TrainingError: the run cannot start, or its loss grows beyond hope or is no longer finite.

    Example:
        >>> import tempfile, mszoo
        >>> few = {"training.steps": 1, "training.batch_size": 1, "training.warmup": 0, "data.test": None}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model = mszoo.train("smoke-denoiser", folder, data__train__crop=16, **few)
        ...     model.levels, (Path(folder) / "model.safetensors").exists()
        (2, True)
    """
    from mszoo.recipe import read_recipe
    from mszoo.training import train as run

    source = read_recipe(recipe, [_assignment(key.replace("__", "."), value) for key, value in overrides.items()])
    folder = Path("runs") / str(source.values.get("name", "unnamed")) if out is None else Path(out)
    return run(source, folder, resume, overwrite)


def _assignment(key: str, value: Any) -> str:
    """An override as the command line takes it; its value is written as JSON, which is YAML."""
    try:
        return f"{key}={json.dumps(value, default=_path, allow_nan=False)}"
    except (TypeError, ValueError) as error:
        raise RecipeError(f"override {key}: a recipe cannot hold {value!r}: {error}") from None


def _path(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no number, text, list or mapping")
