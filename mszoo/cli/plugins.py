"""mszoo plugins: the installed plugins, and whether they keep their contracts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from mszoo.cli.output import AsJson, console, print_json, table

__all__ = ["plugins"]


def plugins(
    check: Annotated[bool, typer.Option("--check", help="Import every component and test its contract.")] = False,
    json: AsJson = False,
) -> None:
    """List the installed plugins: what they provide, or why they are disabled."""
    from mszoo.discovery import plugins as installed

    found = installed()
    if json and not check:
        print_json([asdict(plugin) for plugin in found])
        return
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
