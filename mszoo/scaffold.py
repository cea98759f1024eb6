"""The skeleton of a plugin: a distribution with tests that pass from the start."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from mszoo.errors import MszooError, suggest
from mszoo.registry import KINDS

__all__ = ["new_plugin"]

_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# The class of each kind's template, and what it is called in recipes.
_CLASSES = {
    "basis": ("RotatedHaar", "rotated_haar"),
    "conditioner": ("SmoothCNN", "smooth_cnn"),
    "head": ("ScaledDenoiser", "scaled_denoiser"),
    "objective": ("RobustDenoising", "robust_denoising"),
    "dataset": ("Discs", "discs"),
    "sampler": ("Euler", "euler"),
    "importer": ("PlainLayers", "plain_layers"),
}
# How to use what no recipe names.
_USES = {
    "sampler": "mszoo sample pictures --sampler {} --model cifar10-grey-energy --size 32      # use it",
    "importer": "mszoo convert FILE OUT       # use it: it is found by the layout of the file",
}


def new_plugin(name: str, kind: str, folder: Path) -> list[Path]:
    """Write a plugin that provides one component, ready for ``pip install -e`` and ``pytest``.

    Args:
        name: of the distribution, such as ``mszoo-mine``; its components are called ``mine/...``.
        kind: of the component.
        folder: to make; it must not be there.

    Returns:
        The files written.

    Raises:
        MszooError: an unusable name, an unknown kind, or a folder that is there.
    """
    if not _NAME.fullmatch(name):
        raise MszooError(f"{name!r} is no name of a distribution; use small letters, digits and single dashes")
    if kind not in KINDS:
        raise MszooError(f"unknown kind {kind!r}{suggest(kind, KINDS)}; the kinds are {', '.join(KINDS)}")
    if folder.exists():
        raise MszooError(f"{folder} is there already; choose another --out, or delete it")
    short = name.removeprefix("mszoo-")
    module = name.replace("-", "_")
    cls, component = _CLASSES[kind]
    words = {"NAME": name, "SHORT": short, "MODULE": module, "KIND": kind, "CLASS": cls, "COMPONENT": component}
    words["RECIPE_MODEL"], words["OTHERS"] = _recipe(kind, f"{short}/{component}")
    targets = {
        "pyproject.toml": Path("pyproject.toml"),
        "README.md": Path("README.md"),
        "hook.py": Path(module, "__init__.py"),
        f"{kind}.py": Path(module, f"{component}.py"),
        "test_contract.py": Path("tests", "test_contract.py"),
        "recipe.yaml": Path("recipe.yaml"),
    }
    words["USE"] = "mszoo train recipe.yaml      # use it"
    if kind in _USES:
        del targets["recipe.yaml"]
        words["USE"] = _USES[kind].format(f"{short}/{component}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as work:
        whole = Path(work) / folder.name  # renamed at the end: it is there whole, or not at all
        for template, target in targets.items():
            text = (_TEMPLATES / f"{template}.template").read_text(encoding="utf-8")
            for word, value in words.items():
                text = text.replace(f"%{word}%", value)
            (whole / target).parent.mkdir(parents=True, exist_ok=True)
            (whole / target).write_text(text, encoding="utf-8")
        whole.rename(folder)
    return [folder / target for target in targets.values()]


def _recipe(kind: str, component: str) -> tuple[str, str]:
    """The lines of a recipe's model that use the component, and those of its objective and data."""
    network = "{name: bias_free_cnn, receptive_field: 5, depth: 4, width: 8, norm: none}"
    conditioner = component if kind == "conditioner" else network
    head = component if kind == "head" else "denoiser"
    part = f"{{conditioner: {conditioner}, head: {head}}}"
    basis = component if kind == "basis" else "haar"
    objective = component if kind == "objective" else "denoising"
    data = f"{{name: {component}, crop: 32}}" if kind == "dataset" else "{name: photographs, crop: 32, flip: true}"
    model = f"  basis: {basis}\n  levels: 1\n  detail: {part}\n  coarse: {part}"
    return model, f"objective: {objective}\ndata:\n  train: {data}"
