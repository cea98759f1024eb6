"""mszoo denoise: clean image files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer
from rich.markup import escape

from mszoo.cli.options import (
    Device,
    ModelOption,
    Overwrite,
    Quality,
    Seed,
    SkipExisting,
    ValueRange,
    Views,
    number,
    value_range,
)
from mszoo.cli.output import console, errors, print_error
from mszoo.cli.targets import Existing, Job, plan
from mszoo.errors import MszooError
from mszoo.text import one_line

__all__ = ["denoise"]

_BAND = 2**25  # pixels: a larger image is denoised so many at a time, to bound the memory


def denoise(
    paths: Annotated[list[Path], typer.Argument(metavar="IN... OUT", help="Images or folders, and where to write.")],
    model: ModelOption = "photographs-haar-rf13",
    sigma: Annotated[
        str | None,
        typer.Option(
            help="Standard deviation of the noise in images of [0, 1]: 0.1, or 25/255. "
            "Without, a blind model needs none, and an energy finds it."
        ),
    ] = None,
    add_noise: Annotated[str | None, typer.Option(help="Add noise of this standard deviation first.")] = None,
    seed: Seed = 0,
    tile: Annotated[int, typer.Option(min=64, help="Side in pixels of the tiles of a large image.")] = 768,
    views: Views = 1,
    values: ValueRange = None,
    quality: Quality = 95,
    overwrite: Overwrite = False,
    skip_existing: SkipExisting = False,
    device: Device = "cpu",
) -> None:
    """Denoise image files of any size. OUT is a file for one image, a folder for more."""
    from mszoo.pictures.reading import open_picture

    if len(paths) < 2:
        raise MszooError("give one or more images or folders, and last where to write: mszoo denoise IN... OUT")
    # all that can be wrong with the words and the files is found before torch is imported
    noise = None if add_noise is None else number(add_noise, "--add-noise")
    level = number(sigma, "--sigma") if sigma is not None else noise
    limits = None if values is None else value_range(values)
    todo = plan(paths[:-1], paths[-1], Existing.of(overwrite, skip_existing))
    if len(todo.jobs) == 1:
        open_picture(todo.jobs[0].source)

    import mszoo
    from mszoo.inference import add_noise as add
    from mszoo.inference import denoise_image, estimate_sigma, fast
    from mszoo.pictures.picture import Range

    failed = 0
    if todo.jobs:
        loaded = fast(mszoo.load(model, device))
        with errors.status("starting") as status:
            work = _Work(
                channels=loaded.channels,
                margin=None if loaded.reach is None else -(-loaded.reach // loaded.unit) * loaded.unit,
                unit=loaded.unit,
                clean=lambda y, sigma, tell: denoise_image(loaded, y.to(device), sigma, tile, views, tell).cpu(),
                measure=None if level is not None or loaded.blind else lambda y: estimate_sigma(loaded, y.to(device)),
                level=level,
                spoil=None if noise is None else lambda x, index: add(x, noise, seed, index),
                scale=None if limits is None else Range(*limits),
                quality=quality,
                tell=status.update,
            )
            for job in todo.jobs:
                try:
                    done = work(job)
                except (MszooError, OSError) as error:  # name it, go on with the rest
                    failed += 1
                    print_error(str(error))
                else:
                    console.print(escape(f"{one_line(str(job.target))}{done}"), soft_wrap=True)
    left_out = [f"{count} {reason}" for reason, count in todo.left_out.items() if count]
    if len(todo.jobs) != 1 or left_out:
        said = [f"{len(todo.jobs) - failed} written", *[f"{failed} failed"] * bool(failed)]
        said += ["left out: " + ", ".join(left_out)] * bool(left_out)
        console.print(escape("; ".join(said)), soft_wrap=True)
    if failed:
        raise typer.Exit(1)


@dataclass
class _Work:
    """Denoise all pages of a file, and print after its name what of the file was kept and what was not.

    Attributes:
        channels: of the model.
        margin: how far the model reaches, a multiple of its unit; None: over the whole image.
        unit: what the model's sides are multiples of.
        clean: denoises (1, C, H, W) of noise of some sigma; it is given a function to call at each tile.
        measure: finds sigma; None: it was given, or is not needed.
        level: sigma, as it was given.
        spoil: adds noise; None: the files are noisy.
        scale: the stored values of black and white; None: those of the files' types.
        quality: of JPEG and WebP.
        tell: shows a line of progress.
    """

    channels: int
    margin: int | None
    unit: int
    clean: Callable[[Any, Any, Callable[[int, int], None]], Any]
    measure: Callable[[Any], Any] | None
    level: float | None
    spoil: Callable[[Any, int], Any] | None
    scale: Any
    quality: int
    tell: Callable[[str], None]
    _noisy: list[float] = field(default_factory=list)
    _found: list[float] = field(default_factory=list)

    def __call__(self, job: Job) -> str:
        from mszoo.pictures.reading import open_picture
        from mszoo.pictures.writing import write_picture

        self._noisy.clear()
        self._found.clear()
        picture = open_picture(job.source, self.scale)
        job.target.parent.mkdir(parents=True, exist_ok=True)
        pages = self._pages(job, picture)
        lost = write_picture(job.target, pages, picture.scale, picture.metadata, self.quality)
        gain = ""
        if self._noisy:
            gain = f"  {fmean(self._noisy):.2f} -> {fmean(_psnr_of(picture, job.target)):.2f} dB"
        found = f"  sigma {fmean(self._found):.4f} found" if self._found else ""
        count = f"  {picture.count} pages" * (picture.count > 1)
        notes = [*picture.notes, *lost]
        return f"{count}{found}{gain}" + f"  ({'; '.join(notes)})" * bool(notes)

    def _pages(self, job: Job, picture: Any) -> Iterator[Any]:
        import torch

        from mszoo.evaluation import psnr

        name = escape(one_line(str(job.source)))
        for k, page in enumerate(picture.read()):
            scale = picture.range_of(page)
            if k == 0 and (warning := picture.uses_a_sliver(page, scale)):
                print_error(warning, "[yellow]warning:[/]")
            where = f"{name}, page {k + 1} of {picture.count}" if picture.count > 1 else name
            self.tell(where)
            if self.spoil is None:
                yield self._in_bands(page, scale, where)
                continue
            x = torch.from_numpy(page.to_unit(scale))[None]
            y = self.spoil(x, job.index + 2**32 * k)
            self._noisy.append(psnr(y, x).item())
            yield page.with_unit(self._denoised(y, self._sigma(y), where), scale)

    def _sigma(self, y: Any) -> Any:
        """The noise level of (1, C, H, W): found and kept to be told, or as it was given."""
        if self.measure is None:
            return self.level
        found = self.measure(self._seen(y))
        self._found.append(found.mean().item())
        return found

    def _seen(self, y: Any) -> Any:
        """A colour model sees grey as colour."""
        return y.expand(-1, 3, -1, -1) if y.shape[1] == 1 and self.channels == 3 else y

    def _denoised(self, y: Any, sigma: Any, where: str) -> Any:
        """(1, C, H, W) to an array (C, H, W)."""
        grey = y.shape[1] == 1 and self.channels == 3
        result = self.clean(self._seen(y), sigma, lambda tile, tiles: self.tell(f"{where}: tile {tile} of {tiles}"))
        return (result.mean(1) if grey else result[0]).numpy()

    def _in_bands(self, page: Any, scale: Any, where: str) -> Any:
        """Denoise a page in bands of rows, each with as many rows around it as the model reaches."""
        import numpy as np
        import torch

        height, width = page.stored.shape[:2]
        margin = self.margin
        if margin is None or height * width <= _BAND:
            y = torch.from_numpy(page.to_unit(scale))[None]
            return page.with_unit(self._denoised(y, self._sigma(y), where), scale)
        rows = max(_BAND // width // self.unit, 1) * self.unit
        stored = np.empty_like(page.stored)
        middle = page.rows(max(0, height // 2 - 128), height // 2 + 128)
        sigma = self._sigma(torch.from_numpy(middle.to_unit(scale))[None])
        for top in range(0, height, rows):
            first = max(0, top - margin)
            band = page.rows(first, min(top + rows + margin, height))
            there = f"{where}, row {top} of {height}"
            y = torch.from_numpy(band.to_unit(scale))[None]
            done = band.with_unit(self._denoised(y, sigma, there), scale)
            stored[top : top + rows] = done.stored[top - first :][:rows]
        return replace(page, stored=stored)


def _psnr_of(picture: Any, target: Path) -> Iterator[float]:
    """PSNR of what was written, page by page."""
    import torch

    from mszoo.evaluation import psnr
    from mszoo.pictures.reading import open_picture

    for before, after in zip(picture.read(), open_picture(target).read(), strict=False):
        scale = picture.range_of(before)
        clean = torch.from_numpy(before.to_unit(scale))[None]
        result = torch.from_numpy(after.to_unit(scale.in_type(before.stored.dtype, after.stored.dtype)))[None]
        if result.shape[1] != clean.shape[1]:
            clean, result = clean.expand(-1, 3, -1, -1), result.expand(-1, 3, -1, -1)
        yield psnr(result, clean).item()
