"""mszoo info: what a model is made of."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from mszoo.cli.options import ModelName
from mszoo.cli.output import AsJson, console, plain, print_json, print_likelihood, print_psnr, table

__all__ = ["info"]


def info(
    model: ModelName,
    json: AsJson = False,
) -> None:
    """Show what a model is made of, and how well it does."""
    import mszoo
    from mszoo.evaluation import read_likelihoods, read_results
    from mszoo.hub import find
    from mszoo.summary import COLUMNS

    folder, loaded = find(model), mszoo.load(model)
    config = loaded.config()
    if json:
        print_json(
            {
                "model": model,
                "description": recipe_key(folder, "description"),
                "parameters": sum(p.numel() for p in loaded.parameters()),
                "blind": loaded.blind,
                "unit": loaded.unit,
                "scales": [asdict(scale) for scale in loaded.summary()],
                "config": config,
                "psnr": [asdict(result) for result in read_results(folder)],
                "nll": [asdict(result) for result in read_likelihoods(folder)],
                "data_terms": recipe_key(folder, "publication", "data_terms"),
            }
        )
        return
    console.print(f"[bold]{plain(model)}[/]  {plain(recipe_key(folder, 'description'))}")
    basis = f"{config['basis']['name']} basis, {loaded.levels} levels" if loaded.levels else "no basis"
    needs = "blind" if loaded.blind else "needs sigma"
    total = sum(p.numel() for p in loaded.parameters())
    console.print(f"{loaded.channels} channel(s), {basis}, {needs}, {total:,} parameters")
    rows = table(*COLUMNS)
    for scale in loaded.summary():
        rows.add_row(*map(plain, scale.cells))
    console.print(rows)
    for result in read_results(folder):
        print_psnr(result)
    for result in read_likelihoods(folder):
        print_likelihood(result)
    if terms := recipe_key(folder, "publication", "data_terms"):
        console.print(plain(terms))


def recipe_key(folder: Path, *keys: str) -> str:
    """A text in a checkpoint's recipe; empty if there is none."""
    from mszoo.recipe import read_recipe

    path = folder / "recipe.yaml"
    value: Any = read_recipe(path).values if path.is_file() else {}
    for key in keys:
        value = value.get(key, "") if isinstance(value, dict) else ""
    return str(value or "")
