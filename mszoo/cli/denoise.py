"""mszoo denoise: clean image files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from mszoo.cli.options import (
    ChosenModel,
    Device,
    Overwrite,
    Quality,
    Seed,
    SkipExisting,
    ValueRange,
    Views,
    number,
    photon_noise,
    value_range,
)
from mszoo.cli.output import console, errors, print_error
from mszoo.cli.targets import Existing, Job, plan
from mszoo.errors import MszooError
from mszoo.text import one_line

if TYPE_CHECKING:
    from torch import Tensor

    from mszoo.model import MultiScaleModel
    from mszoo.pictures.picture import Page, Picture, Range

__all__ = ["denoise"]


def denoise(
    paths: Annotated[list[Path], typer.Argument(metavar="IN... OUT", help="Images or folders, and where to write.")],
    model: ChosenModel = None,
    sigma: Annotated[
        str | None,
        typer.Option(
            help="Standard deviation of the noise in images of [0, 1]: 0.1, or 25/255. "
            "Without, a blind model needs none, and an energy finds it."
        ),
    ] = None,
    poisson: Annotated[
        str | None,
        typer.Option(
            metavar="GAIN[:READ]",
            help="The noise is that of photons, its variance GAIN x + READ^2 at a brightness x in [0, 1]: 2/255:0.01.",
        ),
    ] = None,
    strength: Annotated[
        float,
        typer.Option(min=0, max=1, help="How much of the noise to take away: noisy + STRENGTH (denoised - noisy)."),
    ] = 1.0,
    add_noise: Annotated[str | None, typer.Option(help="Add noise of this standard deviation first.")] = None,
    seed: Seed = 0,
    tile: Annotated[int, typer.Option(min=64, help="Side in pixels of the tiles of a large image.")] = 768,
    views: Views = 1,
    values: ValueRange = None,
    quality: Quality = 95,
    overwrite: Overwrite = False,
    skip_existing: SkipExisting = False,
    device: Device = "auto",
) -> None:
    """Denoise image files of any size. OUT is a file for one image, a folder for more.

    Of a large collection each process of accelerate launch takes its share; --skip-existing goes on after an end.

    The noise is taken to be white, the same and independent in every pixel; --poisson is for that of photons.
    """
    from mszoo.pictures.reading import open_picture

    if len(paths) < 2:
        raise MszooError("give one or more images or folders, and last where to write: mszoo denoise IN... OUT")
    # all that can be wrong with the words and the files is found before torch is imported
    noise = None if add_noise is None else number(add_noise, "--add-noise")
    given = None if sigma is None else number(sigma, "--sigma")
    photons = None if poisson is None else photon_noise(poisson)
    if photons and (sigma is not None or noise is not None):
        raise MszooError("--poisson says what the noise is: leave --sigma and --add-noise out")
    limits = None if values is None else value_range(values)
    todo = plan(paths[:-1], paths[-1], Existing.of(overwrite, skip_existing))
    if len(todo.jobs) == 1:
        open_picture(todo.jobs[0].source)

    import mszoo
    from mszoo.inference import add_noise as add
    from mszoo.inference import denoise_image, denoise_poisson, estimate_sigma, fast
    from mszoo.pictures.picture import Range
    from mszoo.processes import find_processes

    def clean(by: MultiScaleModel, y: Tensor, found: Tensor | float | None) -> Tensor:
        y = y.to(by.device)
        if photons is not None:
            return denoise_poisson(by, y, *photons, tile=None, views=views).cpu()
        return denoise_image(by, y, found, None, views).cpu()

    def measure(by: MultiScaleModel, y: Tensor) -> Tensor | float | None:
        if by.blind or photons is not None:
            return given  # None, or it is told that it changes nothing
        if given is None and noise is None:
            return estimate_sigma(by, y.to(by.device))
        return noise if given is None else given

    processes = find_processes(device)
    processes.wait()  # nobody writes before all have found what is there
    jobs = [job for job in todo.jobs if job.index % processes.count == processes.rank]
    failed = 0
    if jobs:
        with errors.status("starting") as status:
            work = _Work(
                model=model,
                load=cache(lambda name: fast(mszoo.load(name, str(processes.device)))),
                clean=clean,
                measure=measure,
                strength=strength,
                spoil=None if noise is None else lambda x, index: add(x, noise, seed, index),
                scale=None if limits is None else Range(*limits),
                quality=quality,
                tile=tile,
                tell=status.update,
            )
            if model is not None:
                work.load(model)  # one that cannot be loaded is no fault of the images
            for job in jobs:
                try:
                    done = work(job)
                except (MszooError, OSError) as error:  # name it, go on with the rest
                    failed += 1
                    print_error(str(error))
                else:
                    console.print(escape(f"{one_line(str(job.target))}{done}"), soft_wrap=True)
    left_out = [f"{count} {reason}" for reason, count in todo.left_out.items() if count]
    if len(todo.jobs) != 1 or left_out:
        said = [f"{len(jobs) - failed} written", *[f"{failed} failed"] * bool(failed)]
        said += ["left out: " + ", ".join(left_out)] * bool(left_out and processes.first)
        console.print(escape("; ".join(said)), soft_wrap=True)
    if failed:
        raise typer.Exit(1)


@dataclass
class _Work:
    """Denoise all pages of a file, and print after its name what of the file was kept and what was not.

    Attributes:
        model: the name that was given; None: chosen for each page, for grey or for colour.
        load: gives a model by its name.
        clean: denoises (1, C, H, W), noise of a sigma or None, by a model.
        measure: finds sigma, where it was not given and the model needs it.
        strength: how much of the noise is taken away.
        spoil: adds noise; None: the files are noisy.
        scale: the stored values of black and white; None: those of the files' types.
        quality: of JPEG and WebP.
        tile: side of the tiles that a large page is cut into.
        tell: shows a line of progress.
    """

    model: str | None
    load: Callable[[str], MultiScaleModel]
    clean: Callable[[MultiScaleModel, Tensor, Tensor | float | None], Tensor]
    measure: Callable[[MultiScaleModel, Tensor], Tensor | float | None]
    strength: float
    spoil: Callable[[Tensor, int], Tensor] | None
    scale: Range | None
    quality: int
    tile: int
    tell: Callable[[str], None]
    _noisy: list[float] = field(default_factory=list)
    _found: list[float] = field(default_factory=list)
    _chosen: dict[str, None] = field(default_factory=dict)

    def __call__(self, job: Job) -> str:
        from mszoo.pictures.reading import open_picture
        from mszoo.pictures.writing import check_pages, write_picture

        for told in (self._noisy, self._found, self._chosen):
            told.clear()
        picture = open_picture(job.source, self.scale)
        if picture.count > 1:
            check_pages(job.target)
        job.target.parent.mkdir(parents=True, exist_ok=True)
        pages = self._pages(job, picture)
        lost = write_picture(job.target, pages, picture.scale, picture.metadata, self.quality)
        gain = ""
        if self._noisy:
            gain = f"  {fmean(self._noisy):.2f} -> {fmean(_psnr_of(picture, job.target)):.2f} dB"
        found = f"  sigma {fmean(self._found):.4f} found" if self._found else ""
        by = f"  by {' and '.join(self._chosen)}" if self._chosen else ""
        count = f"  {picture.count} pages" * (picture.count > 1)
        notes = [*picture.notes, *lost]
        return f"{count}{by}{found}{gain}" + f"  ({'; '.join(notes)})" * bool(notes)

    def _pages(self, job: Job, picture: Picture) -> Iterator[Page]:
        name = escape(one_line(str(job.source)))
        for k, page in enumerate(picture.read()):
            scale = picture.range_of(page)
            if k == 0 and (warning := picture.uses_a_sliver(page, scale)):
                print_error(warning, "[yellow]warning:[/]")
            where = f"{name}, page {k + 1} of {picture.count}" if picture.count > 1 else name
            self.tell(where)
            yield self._page(page, scale, job.index + 2**32 * k, where)

    def _page(self, page: Page, scale: Range, index: int, where: str) -> Page:
        """A page denoised, tile by tile: the memory is that of a tile (of the page, where noise is added first)."""
        import numpy as np
        import torch

        from mszoo.evaluation import psnr
        from mszoo.inference.tiling import tiles

        def seen(area: tuple[slice, slice]) -> Tensor:
            return torch.from_numpy(page.part(area).to_unit(scale))[None] if noisy is None else noisy[(..., *area)]

        noisy = None
        if self.spoil is not None:
            clean = torch.from_numpy(page.to_unit(scale))[None]
            noisy = self.spoil(clean, index)
            self._noisy.append(psnr(noisy, clean).item())
        height, width = page.stored.shape[:2]
        model = self._choose(1 if page.stored.ndim == 2 else 3)
        sigma = self.measure(model, _as_taken(seen((_middle(height), _middle(width))), model))
        if isinstance(sigma, torch.Tensor):
            self._found.append(sigma.mean().item())
        stored, cut = np.empty_like(page.stored), tiles(height, width, self.tile, model.reach, model.grid)
        for done, tile in enumerate(cut):
            if len(cut) > 1:
                self.tell(f"{where}: tile {done + 1} of {len(cut)}")
            y = seen(tile.around)
            x = self.clean(model, _as_taken(y, model), sigma)
            x = x.mean(1, keepdim=True) if x.shape[1] > y.shape[1] else x
            part = page.part(tile.around).with_unit(torch.lerp(y, x, self.strength)[0].numpy(), scale)
            stored[tile.area] = part.stored[tile.within]
        return replace(page, stored=stored)

    def _choose(self, channels: int) -> MultiScaleModel:
        """The model for a page, remembered to be told if nobody named it."""
        from mszoo.hub import DENOISERS

        if self.model is not None:
            return self.load(self.model)
        name = DENOISERS[channels]
        self._chosen[name] = None
        return self.load(name)


def _as_taken(y: Tensor, model: MultiScaleModel) -> Tensor:
    """A colour model sees grey as colour."""
    return y.expand(-1, 3, -1, -1) if y.shape[1] == 1 and model.channels == 3 else y


def _middle(side: int) -> slice:
    """The part of an image in which noise is looked for."""
    return slice(max(0, side // 2 - 128), side // 2 + 128)


def _psnr_of(picture: Picture, target: Path) -> Iterator[float]:
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
