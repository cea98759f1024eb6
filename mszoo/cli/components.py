"""mszoo components: the parts that can be named."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Annotated, Any

import typer

from mszoo.cli.options import complete_component
from mszoo.cli.output import AsJson, console, plain, print_json, table

__all__ = ["components"]

_FOLDED = 5  # names of a family, db1 ... db38, from which on it is one line


def components(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="basis, conditioner, head, objective, dataset, sampler or importer; or one part's name.",
            autocompletion=complete_component,
        ),
    ] = None,
    pattern: Annotated[str, typer.Argument(help="Wildcards, such as 'db*'.")] = "*",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="A line for every part of a family.")] = False,
    json: AsJson = False,
) -> None:
    """List the parts that recipes, and --sampler, can name, and who provides them; or show the options of one."""
    from mszoo.discovery import registry
    from mszoo.registry import KINDS

    found = [] if kind in KINDS else [spec for spec in registry() if spec.name == kind]
    if found:
        shown = [_described(spec) for spec in found]
        if json:
            print_json(shown)
        else:
            for one in shown:
                _print_options(one)
        return
    names = set(registry().names(kind, pattern))
    listed = [s for s in registry() if kind in (None, s.kind) and s.listed and s.name in names]
    if json:
        print_json([_row(spec) for spec in listed])
        return
    rows = table("kind", "name", "what it is", "provided by")
    for family in _families(listed, folded=not verbose and pattern == "*"):
        first, last = family[0], family[-1]
        name = first.name if len(family) == 1 else f"{first.name} ... {last.name}"
        summary = first.summary if len(family) == 1 else f"{first.summary} ... {last.summary}"
        rows.add_row(*map(plain, (first.kind, name, summary, f"{first.distribution} {first.version}".strip())))
    console.print(rows)


def _families(specs: Sequence[Any], folded: bool) -> Iterator[list[Any]]:
    """Specs whose names differ in a last number alone together, where there are many; each by itself otherwise."""

    def family(spec: Any) -> tuple[str, ...]:
        stem = re.sub(r"[0-9]+$", "", spec.name)
        return spec.kind, stem, spec.distribution, spec.target

    for _, group in groupby(specs, family):
        members = list(group)
        if folded and len(members) >= _FOLDED:
            yield members
        else:
            yield from ([member] for member in members)


def _row(spec: Any) -> dict[str, str]:
    return {"kind": spec.kind, "name": spec.name, "summary": spec.summary, "distribution": spec.distribution}


def _described(spec: Any) -> dict[str, Any]:
    """A component and its options: type, default and meaning of each."""
    from mszoo.options import described, explained, options_model
    from mszoo.registry import SUPPLIED

    cls = spec.load()
    options = explained(options_model(cls, len(SUPPLIED[spec.kind]), tuple(spec.options)), described(cls))
    return {**_row(spec), "class": f"{cls.__module__}.{cls.__qualname__}", "options": options}


def _print_options(one: dict[str, Any]) -> None:
    console.print(f"[bold]{plain(one['kind'])} {plain(one['name'])}[/]: {plain(one['summary'])}", soft_wrap=True)
    console.print(f"{plain(one['class'])}, of {plain(one['distribution'])}", soft_wrap=True)
    if not one["options"]:
        console.print("it takes no options")
        return
    rows = table("option", "type", "default", "meaning")
    for option in one["options"]:
        default = "required" if option["required"] else option["default"]
        rows.add_row(*(plain(text) for text in (option["name"], option["type"], default, option["meaning"])))
    console.print(rows)
