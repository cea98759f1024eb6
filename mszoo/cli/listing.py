"""Verbs that show what there is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from mszoo.cli.output import ModelName, console, print_likelihood, print_psnr, table


def components(
    kind: Annotated[str | None, typer.Argument(help="basis, conditioner, head, objective or dataset.")] = None,
    pattern: Annotated[str, typer.Argument(help="Wildcards, such as 'db*'.")] = "*",
) -> None:
    """List the parts a recipe can name, and who provides them."""
    from mszoo.hooks import registry

    names = set(registry().names(kind, pattern))
    rows = table("kind", "name", "what it is", "provided by")
    for spec in registry():
        if kind in (None, spec.kind) and spec.listed and spec.name in names:
            rows.add_row(spec.kind, spec.name, spec.summary, f"{spec.distribution} {spec.version}".strip())
    console.print(rows)


def plugins(
    check: Annotated[bool, typer.Option("--check", help="Import every component and test its contract.")] = False,
) -> None:
    """List the installed plugins: what they provide, or why they are disabled."""
    from mszoo.hooks import plugins as installed

    found = installed()
    if not found:
        console.print("no plugins are installed (or MSZOO_PLUGINS leaves none)")
        return
    rows = table("plugin", "distribution", "hooks", "components", "state")
    for plugin in found:
        state = f"[red]disabled:[/] {escape(plugin.fault)}" if plugin.fault else "[green]works[/]"
        notes = "".join(f"\n{escape(note)}" for note in plugin.notes)
        components = ", ".join(f"{kind} {name}" for kind, name in plugin.components)
        distribution = f"{plugin.distribution} {plugin.version}".strip()
        rows.add_row(plugin.name, distribution, ", ".join(plugin.hooks), escape(components), state + notes)
    console.print(rows)
    if not check:
        return
    from mszoo.testing import check_plugin

    failed = False
    for plugin in found:
        if plugin.fault is not None:
            failed = True
            continue
        for report in check_plugin(plugin):
            failed = failed or bool(report.failures)
            good = f"{report.passed} checks passed"
            console.print(f"[bold]{report.kind} {escape(report.name)}[/]: {good}, {len(report.failures)} failed")
            for line in (*report.notes, *report.failures):
                console.print(f"  {escape(line)}", soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def recipes() -> None:
    """List the recipes that come with the package."""
    from mszoo.recipe import read_recipe
    from mszoo.shipped import shipped_files

    rows = table("name", "what it trains", "file")
    for name, path in shipped_files("recipes", ".yaml").items():
        rows.add_row(name, read_recipe(path).values.get("description", ""), str(path))
    console.print(rows)


def models(
    pattern: Annotated[str, typer.Argument(help="Wildcards, such as 'photo*' or 'owner/*'.")] = "*",
    hub: Annotated[bool, typer.Option("--hub", help="Ask the Hugging Face Hub, too.")] = False,
) -> None:
    """List the models that come with the package, those in the cache and, with --hub, all that the Hub has."""
    from mszoo.hub.listing import local_models, models_everywhere

    rows = table("name", "where", "size", "receptive field", "measured", "what it is")
    for entry in models_everywhere(pattern) if hub else local_models(pattern):
        size = "" if entry.size is None else f"{entry.size / 2**20:.1f} MiB"
        texts = (entry.name, entry.where, size, str(entry.receptive_field or ""), entry.measured, entry.description)
        rows.add_row(*(escape(text) for text in texts))
    console.print(rows)


def info(
    model: ModelName,
) -> None:
    """Show what a model is made of, and how well it does."""
    import mszoo
    from mszoo.evaluation import read_likelihoods, read_results
    from mszoo.hub import find

    folder, loaded = find(model), mszoo.load(model)
    config = loaded.config()
    console.print(f"[bold]{escape(model)}[/]  {escape(recipe_key(folder, 'description'))}")
    basis = f"{config['basis']['name']} basis, {loaded.levels} levels" if loaded.levels else "no basis"
    told = "blind" if loaded.blind else "needs sigma"
    total = sum(p.numel() for p in loaded.parameters())
    console.print(f"{loaded.channels} channel(s), {basis}, {told}, {total:,} parameters")
    rows = table("scale", "conditioner", "receptive field", "head", "parameters")
    for j, head in enumerate(loaded.scales):
        field = head.receptive_field
        scale = f"{j} (details)" if j < loaded.levels else f"{j} (coarse)"
        count = sum(p.numel() for p in head.parameters())
        network = head.conditioner.part.name
        rows.add_row(scale, network, str(field or "whole image"), head.part.name, f"{count:,}")
    console.print(rows)
    for result in read_results(folder):
        print_psnr(result)
    for result in read_likelihoods(folder):
        print_likelihood(result)
    if terms := recipe_key(folder, "publication", "data_terms"):
        console.print(escape(terms))


def recipe_key(folder: Path, *keys: str) -> str:
    """A text in a checkpoint's recipe; empty if there is none."""
    from mszoo.recipe import read_recipe

    path = folder / "recipe.yaml"
    value: Any = read_recipe(path).values if path.is_file() else {}
    for key in keys:
        value = value.get(key, "") if isinstance(value, dict) else ""
    return str(value or "")
