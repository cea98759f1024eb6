"""The command line: thin, each verb calls what Python users call."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from mszoo.errors import MszooError

__all__ = ["app", "main"]

app = typer.Typer(
    name="mszoo",
    help="A plugin-based model zoo of image probability models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
# Lines of a pipe or a file are not wrapped at a terminal's width.
_out = Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 200)
_err = Console(stderr=True, highlight=False)

Device = Annotated[str, typer.Option(help="Where to compute: cpu, cuda, mps.")]
Sigma = Annotated[str | None, typer.Option(help="Noise standard deviation for images in [0, 1]: 0.1, or 25/255.")]


def main() -> None:
    """Run the command line; a user's error is one message and exit code 1."""
    warnings.showwarning = _show_warning
    try:
        app()
    except MszooError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("stopped", 130)


def _fail(message: str, code: int = 1) -> None:
    _err.print(f"[bold red]error:[/] {_escaped(message)}", soft_wrap=True)
    sys.exit(code)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, UserWarning):
        _err.print(f"[yellow]warning:[/] {_escaped(str(message))}", soft_wrap=True)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@app.callback(invoke_without_command=True)
def version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """A plugin-based model zoo of image probability models."""
    if version:
        from mszoo import __version__

        _out.print(__version__)
        raise typer.Exit


# ---- what there is -----------------------------------------------------------------------------------------------


@app.command()
def components(
    kind: Annotated[str | None, typer.Argument(help="basis, conditioner, head, objective or dataset.")] = None,
    pattern: Annotated[str, typer.Argument(help="Wildcards, such as 'db*'.")] = "*",
) -> None:
    """List the parts a recipe can name, and who provides them."""
    from mszoo.hooks import registry

    names = set(registry().names(kind, pattern))
    table = _table("kind", "name", "what it is", "provided by")
    for spec in registry():
        if kind in (None, spec.kind) and spec.listed and spec.name in names:
            table.add_row(spec.kind, spec.name, spec.summary, f"{spec.distribution} {spec.version}".strip())
    _out.print(table)


@app.command()
def recipes() -> None:
    """List the recipes that come with the package."""
    from mszoo.recipe import read_recipe
    from mszoo.shipped import shipped_files

    table = _table("name", "what it trains", "file")
    for name, path in shipped_files("recipes", ".yaml").items():
        table.add_row(name, read_recipe(path).values.get("description", ""), str(path))
    _out.print(table)


@app.command()
def models(pattern: Annotated[str, typer.Argument(help="Wildcards, such as 'photo*'.")] = "*") -> None:
    """List the models that come with the package."""
    import mszoo
    from mszoo.hub import find

    table = _table("name", "size", "what it is")
    for name in mszoo.list_models(pattern):
        folder = find(name)
        size = (folder / "model.safetensors").stat().st_size / 2**20
        table.add_row(name, f"{size:.1f} MiB", _recipe_key(folder, "description"))
    _out.print(table)


@app.command()
def info(
    model: Annotated[str, typer.Argument(help="A packaged model's name, or a checkpoint folder.")],
) -> None:
    """Show what a model is made of, and how well it does."""
    import mszoo
    from mszoo.evaluation import read_results
    from mszoo.hub import find

    folder, loaded = find(model), mszoo.load(model)
    config = loaded.config()
    _out.print(f"[bold]{_escaped(model)}[/]  {_escaped(_recipe_key(folder, 'description'))}")
    basis = f"{config['basis']['name']} basis, {loaded.levels} levels" if loaded.levels else "no basis"
    told = "blind" if loaded.blind else "needs sigma"
    total = sum(p.numel() for p in loaded.parameters())
    _out.print(f"{loaded.channels} channel(s), {basis}, {told}, {total:,} parameters")
    table = _table("scale", "conditioner", "receptive field", "head", "parameters")
    for j, head in enumerate(loaded.scales):
        field = head.conditioner.receptive_field
        scale = f"{j} (details)" if j < loaded.levels else f"{j} (coarse)"
        count = sum(p.numel() for p in head.parameters())
        network = head.conditioner.part.name
        table.add_row(scale, network, str(field or "whole image"), head.part.name, f"{count:,}")
    _out.print(table)
    for result in read_results(folder):
        _print_psnr(result)
    if terms := _recipe_key(folder, "publication", "data_terms"):
        _out.print(_escaped(terms))


# ---- training ----------------------------------------------------------------------------------------------------


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped recipe.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key.path=value, such as training.steps=200.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; by default runs/NAME.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the folder.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved recipe and sizes; train nothing.")
    ] = False,
) -> None:
    """Train a recipe's model. For several processes: accelerate launch -m mszoo train RECIPE ..."""
    from mszoo.recipe import read_recipe
    from mszoo.training import check
    from mszoo.training import train as run

    source = read_recipe(recipe, overrides or [])
    if dry_run:
        checked, model = check(source)
        import yaml

        _out.print(_escaped(yaml.safe_dump(checked.model_dump(), sort_keys=False)))
        for j, head in enumerate(model.scales):
            _out.print(f"scale {j}: {sum(p.numel() for p in head.parameters()):,} parameters")
        _out.print(f"in all: {sum(p.numel() for p in model.parameters()):,} parameters")
        return
    folder = out or Path("runs") / str(source.values.get("name", "unnamed"))
    try:
        run(source, folder, resume)
    except KeyboardInterrupt:
        _fail(f"stopped; go on with: mszoo train {recipe} --out {folder} --resume", 130)


# ---- using a model -----------------------------------------------------------------------------------------------


@app.command()
def denoise(
    paths: Annotated[list[Path], typer.Argument(metavar="IN... OUT", help="Images or folders, and where to write.")],
    model: Annotated[
        str, typer.Option(help="A packaged model's name, or a checkpoint folder.")
    ] = "photographs-haar-rf13",
    sigma: Sigma = None,
    add_noise: Annotated[str | None, typer.Option(help="Add noise of this standard deviation first.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the added noise.")] = 0,
    tile: Annotated[int, typer.Option(help="Side in pixels of the tiles of a large image.")] = 768,
    device: Device = "cpu",
) -> None:
    """Denoise image files of any size. OUT is a file for one image, a folder for more."""
    import mszoo
    from mszoo.data.images import read_image, write_image
    from mszoo.evaluation import psnr
    from mszoo.inference import add_noise as add
    from mszoo.inference import denoise_image

    if len(paths) < 2:
        raise MszooError("give one or more images or folders, and last where to write: mszoo denoise IN... OUT")
    loaded = mszoo.load(model, device)
    noise = None if add_noise is None else _number(add_noise, "--add-noise")
    level = _number(sigma, "--sigma") if sigma is not None else noise
    failed = 0
    for i, (source, target) in enumerate(_pairs(paths[:-1], paths[-1])):
        try:
            clean = read_image(source, str(source), None if loaded.channels == 1 else loaded.channels)[None].to(device)
            y = clean if noise is None else add(clean, noise, seed, i)
            result = denoise_image(loaded, y, level, tile)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_image(result[0], target)
        except MszooError as error:  # name it, go on with the rest
            failed += 1
            _err.print(f"[bold red]error:[/] {_escaped(str(error))}", soft_wrap=True)
            continue
        gain = "" if noise is None else f"  {psnr(y, clean).item():.2f} -> {psnr(result, clean).item():.2f} dB"
        _out.print(f"{_escaped(str(target))}{gain}", soft_wrap=True)
    if failed:
        raise typer.Exit(1)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A packaged model's name, or a checkpoint folder.")],
    data: Annotated[str | None, typer.Option(help="Folder, zip or glob of images; by default the astronaut.")] = None,
    sigma: Annotated[list[str] | None, typer.Option(help="Noise level; give it several times. 0.1, or 25/255.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    device: Device = "cpu",
) -> None:
    """Measure denoising: PSNR per noise level. A checkpoint folder keeps the result in evaluation.json."""
    import mszoo
    from mszoo.evaluation import Result, psnr_curve, write_result
    from mszoo.hub import find, packaged_models

    folder, loaded = find(model), mszoo.load(model, device)
    sigmas = [_number(s, "--sigma") for s in sigma or ("0.05", "25/255", "50/255", "0.4", "0.8")]
    if data is None:
        name, images = "photographs", mszoo.create("dataset", "photographs", loaded.channels, split="test")
    else:
        name, images = Path(data).stem, mszoo.create("dataset", "image_folder", loaded.channels, path=data)
    with _err.status(f"denoising {len(images)} images at {len(sigmas)} noise levels"):
        result = Result(name, seed, list(psnr_curve(loaded, images, sigmas, seed)))
    _print_psnr(result)
    if model not in packaged_models():
        write_result(folder, result)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("mszoo-demo.png"),
    model: Annotated[
        str, typer.Option(help="A packaged model's name, or a checkpoint folder.")
    ] = "photographs-haar-rf13",
) -> None:
    """Denoise the astronaut with a packaged model: a PSNR table and a picture."""
    import mszoo
    from mszoo.evaluation.demo import astronaut_demo, draw

    panels = astronaut_demo(mszoo.load(model))
    _out.print("the astronaut's face, 160x160: PSNR in dB")
    table = _table("sigma", "noisy", "best Gaussian blur", model)
    for panel in panels:
        table.add_row(f"{panel.sigma:g}", *(f"{value:.2f}" for value in panel.psnr()))
    _out.print(table)
    draw(panels, model, out)
    _out.print(f"wrote {_escaped(str(out))}")


# ---- helpers -----------------------------------------------------------------------------------------------------


def _number(text: str, option: str) -> float:
    """0.1, or a fraction such as 25/255."""
    try:
        above, _, below = text.partition("/")
        value = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        raise MszooError(f"{option}: {text!r} is no number; write 0.1, or 25/255") from None
    if not 0 <= value < float("inf"):
        raise MszooError(f"{option}: the noise level must be 0 or more, got {text}")
    return value


def _pairs(sources: list[Path], out: Path) -> list[tuple[Path, Path]]:
    """Each image file, and where its result goes."""
    from mszoo.data.image_folder import find_images
    from mszoo.data.images import SUFFIXES

    if len(sources) == 1 and not sources[0].is_dir() and out.suffix.lower() in SUFFIXES and not out.is_dir():
        return [(sources[0], out)]
    if out.suffix.lower() in SUFFIXES and not out.is_dir():
        raise MszooError(f"several images need a folder to go to, {out} is named like an image")
    pairs = []
    for source in sources:
        if source.is_dir():
            pairs += [(image, out / image.relative_to(source)) for image in find_images(str(source))]
        else:
            pairs.append((source, out / source.name))
    targets = [target for _, target in pairs]
    for twice in {str(t) for t in targets if targets.count(t) > 1}:
        raise MszooError(f"two images would be written to {twice}; denoise them into different folders")
    return pairs


def _table(*columns: str) -> Table:
    return Table(*(Column(c, overflow="fold") for c in columns), box=None, header_style="bold", pad_edge=False)


def _print_psnr(result: Any) -> None:
    count = f"{result.rows[0].images} image(s)" if result.rows else "no images"
    _out.print(f"{_escaped(result.data)}: PSNR in dB, mean of per-image values, {count}, noise seed {result.seed}")
    table = _table("sigma", "sigma x 255", "noisy", "denoised")
    for row in result.rows:
        table.add_row(f"{row.sigma:.4g}", f"{row.sigma * 255:.4g}", f"{row.noisy:.2f}", f"{row.denoised:.2f}")
    _out.print(table)


def _recipe_key(folder: Path, *keys: str) -> str:
    from mszoo.recipe import read_recipe

    path = folder / "recipe.yaml"
    value: Any = read_recipe(path).values if path.is_file() else {}
    for key in keys:
        value = value.get(key, "") if isinstance(value, dict) else ""
    return str(value or "")
