"""What the verbs that draw images share: the model with its image, the schedule, the status line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mszoo.cli.output import errors, print_error
from mszoo.cli.targets import Existing, check_source, check_targets
from mszoo.errors import MszooError
from mszoo.text import one_line

if TYPE_CHECKING:
    import torch

__all__ = ["Opened", "ascending", "open_pages", "proceed", "sampler", "schedule", "seed_of"]


@dataclass
class Opened:
    """An image file with all of its pages.

    Attributes:
        picture: the file, a :class:`mszoo.pictures.picture.Picture`.
        pages: of it.
        scales: the stored values of black and white of each.
    """

    picture: Any
    pages: list[Any]
    scales: list[Any]

    def batches(self, channels: int, device: torch.device) -> list[Any]:
        """(B, C, H, W) for each page and a model of so many channels: a grey model takes each channel by itself."""
        import torch

        pages = [torch.from_numpy(p.to_unit(s)).to(device) for p, s in zip(self.pages, self.scales, strict=True)]
        if channels == 1:
            return [x[:, None] for x in pages]
        return [x.expand(channels if len(x) == 1 else -1, -1, -1)[None] for x in pages]

    def write(self, batches: list[Any], path: Path, quality: int) -> list[str]:
        """Write those of :meth:`batches` with the file's depth; returns what the format cannot hold."""
        from mszoo.pictures.writing import write_picture

        pages = []
        for page, scale, images in zip(self.pages, self.scales, batches, strict=True):
            x = images.flatten(0, 1)
            x = x if page.stored.ndim == 3 or len(x) == 1 else x.mean(0, keepdim=True)
            pages.append(page.with_unit(x.cpu().numpy(), scale))
        return write_picture(path, pages, self.picture.scale, self.picture.metadata, quality)

    def written(self, path: Path, channels: int, device: torch.device) -> list[Any]:
        """What :meth:`write` has written, as batches: rounded, or compressed."""
        from mszoo.pictures.reading import open_picture

        pages = list(open_picture(path).read())
        given = zip(self.pages, self.scales, pages, strict=True)
        scales = [scale.in_type(before.stored.dtype, after.stored.dtype) for before, scale, after in given]
        return Opened(self.picture, pages, scales).batches(channels, device)


def open_pages(path: Path, out: Path, limits: tuple[float, float] | None = None) -> Opened:
    """All pages of an image file.

    Args:
        path: the file.
        out: where as many are to be written.
        limits: the stored values of black and white; None: those of the file's type.

    Raises:
        DataError: no such file, or no image, or more pages than the format of ``out`` holds.
    """
    from mszoo.pictures.picture import Range
    from mszoo.pictures.reading import open_picture
    from mszoo.pictures.writing import check_pages

    picture = open_picture(path, None if limits is None else Range(*limits))
    if picture.count > 1:
        check_pages(out)
    pages = list(picture.read())
    scales = [picture.range_of(page) for page in pages]
    if warning := picture.uses_a_sliver(pages[0], scales[0]):
        print_error(warning, "[yellow]warning:[/]")
    return Opened(picture, pages, scales)


def proceed(sources: list[Path], out: Path, overwrite: bool, skip: bool) -> bool:
    """Whether there is anything to do; raises if a source is missing, or the target may not be written."""
    existing = Existing.of(overwrite, skip)
    for source in sources:
        check_source(source)
    check_targets(sources, [out], existing)
    if existing is Existing.skip and out.exists():
        print_error(f"{one_line(str(out))} is there already", "skipped:")
        return False
    return True


def seed_of(page: int, seed: int) -> int:
    """Each page draws its own: the first as a single image does."""
    return (seed + page) % 2**63


def schedule(base: Any, **given: float | None) -> Any:
    """A schedule with the options that were given; an impossible one is a user's error."""
    try:
        return replace(base, **{name: value for name, value in given.items() if value is not None})
    except ValueError as error:
        raise MszooError(str(error)) from None


def sampler(name: str | None, blind: bool, **given: float | None) -> Any:
    """A sampler with the options that were given; None: an ascent, if the model is blind, or Heun's."""
    from mszoo.samplers import make_sampler

    options = {key: value for key, value in given.items() if value is not None}
    return make_sampler({"name": name or ("ascent" if blind else "heun"), **options})


@contextmanager
def ascending() -> Iterator[Any]:
    """A status line with the scale, the step and the largest noise level left."""
    with errors.status("starting") as status:
        yield lambda j, k, y, sigma: status.update(f"scale {j}, step {k}: noise {sigma.max().item():.4f}")
