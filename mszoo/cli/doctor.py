"""mszoo doctor: what this installation has, what is missing, and how to get it."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

from mszoo.cli.output import AsJson, console, plain, print_json, table

__all__ = ["doctor", "versions"]

_NEEDED = ("torch", "timm", "accelerate", "huggingface_hub", "safetensors", "numpy", "pillow", "scikit-image")
# What makes more of mszoo work: the distribution, for what, and how to get it.
_OPTIONAL = (
    ("pyarrow", "log-prob --format parquet", "pip install pyarrow"),
    ("imagecodecs", "some compressed TIFF files", "pip install imagecodecs"),
    ("gradio", "mszoo web", "pip install 'mszoo[web]'"),
    ("bm3d", "BM3D beside our models", "pip install bm3d"),
)


def doctor(json: AsJson = False) -> None:
    """Say what this installation has: versions, devices, compiler, plugins, caches; and what is missing."""
    found = {
        "mszoo": metadata.version("mszoo"),
        "python": f"{platform.python_version()}, {sys.executable}",
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "versions": versions(),
        "devices": _devices(),
        "fast convolutions": _compiled(),
        "plugins": _plugins(),
        "Hub cache": _hub_cache(),
    }
    missing = [{"package": name, "for": use, "how": how} for name, use, how in _OPTIONAL if _version(name) is None]
    if json:
        print_json({**found, "missing": missing})
        return
    rows = table("", "")
    for name, value in found.items():
        lines = [f"{k} {v}" for k, v in value.items()] if isinstance(value, dict) else value
        rows.add_row(f"[bold]{name}[/]", plain(", ".join(lines) if isinstance(lines, list) else lines))
    for one in missing:
        rows.add_row("[bold]missing[/]", plain(f"{one['package']}, for {one['for']}: {one['how']}"))
    console.print(rows)


def versions() -> dict[str, str]:
    """Of the packages that mszoo stands on."""
    return {name: _version(name) or "missing" for name in _NEEDED}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _devices() -> list[str]:
    import torch

    found = [f"cpu, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"]
    found += [f"cuda:{i}, {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    return found + ["mps"] * torch.backends.mps.is_available()


def _compiled() -> str:
    from mszoo.inference.fast.library import status

    return status()


def _plugins() -> list[str]:
    from mszoo.discovery import plugins

    states = [f"{p.name} ({p.distribution} {p.version}){': disabled' if p.fault else ''}" for p in plugins()]
    return states or ["none"]


def _hub_cache() -> str:
    from huggingface_hub.constants import HF_HUB_CACHE

    from mszoo.hub.cache import cached_models

    count = len(list(cached_models()))
    there = "" if Path(HF_HUB_CACHE).is_dir() else ", not there yet"
    return f"{HF_HUB_CACHE}{there}, {count} model(s) of mszoo"
