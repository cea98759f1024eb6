"""Recipes that nobody would write end in errors of this package, and in no others."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from mszoo.errors import MszooError
from mszoo.recipe import Source, read_recipe
from mszoo.shipped import shipped_files
from mszoo.training import check

VALUES = [
    *(
        "null",
        "true",
        "no",
        "0",
        "1",
        "-1",
        "3",
        "1.5",
        "1e-3",
        "-9e9",
        "1e300",
        ".inf",
        "-.inf",
        ".nan",
        "010",
        "1:30",
    ),
    *("'²'", "~", "1:30"),
    *("''", "x", "haar", "cosine", "adamuon", "denoiser", "[]", "{}", "[1]", "[1, 2]", "[0, 1e9]", "[x, y]", "{a: 1}"),
    *("{name: 1}", "{name: [1]}", "{name: step, decay_epochs: 0}", "{name: unet, halvings: 2, width: 4}", "2001-01-01"),
    *(
        "99999999999999999999",
        "0x" + "f" * 50,
        "9" * 5000,
        "!!binary aGFsbG8=",
        "!!set {a}",
        "{1: 2}",
        "~",
    ),
]
KEYS = ["x", "name", "5", "-1", "²", "9" * 5000, "[", "a[0]", "levels", "psnr", "scheduler", "noise", "lr", "steps"]


def paths(values: Any, above: str = "") -> list[str]:
    """Every key path of a recipe."""
    inner = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    found = [above] if above else []
    for key, value in inner:
        found += paths(value, f"{above}.{key}" if above else str(key))
    return found


def mutate(chance: random.Random, name: str) -> Source:
    """A shipped recipe with a few overrides that mean nothing, or with its text damaged."""
    source = read_recipe(name)
    if chance.random() < 0.3:
        text = source.text()
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(text))
            text = text[:at] + chance.choice([*VALUES, ":", "\n", "-", "&a", "*a", "{", "  "]) + text[at + 1 :]
        source = Source(text, "fuzzed.yaml")
    known = [p for p in paths(source.values) if not re.match(r"data\.(train|test)\.path|publication", p)]
    for _ in range(chance.randint(1, 4)):
        path = chance.choice(known)
        if chance.random() < 0.3:
            path += f".{chance.choice(KEYS)}"
        source.override(f"{path}={chance.choice(VALUES)}")
    return source


def fuzz(count: int) -> None:
    names = [n for n in shipped_files("recipes", ".yaml") if not n.startswith("imagenet")]
    for seed in range(count):
        chance = random.Random(seed)
        try:
            check(mutate(chance, chance.choice(names)))
        except MszooError:
            continue
        except Exception as error:
            raise AssertionError(f"recipe {seed}: {type(error).__name__}: {error}") from error


def test_a_hundred_recipes() -> None:
    fuzz(100)


@pytest.mark.fuzz
def test_ten_thousand_recipes() -> None:
    fuzz(10_000)
