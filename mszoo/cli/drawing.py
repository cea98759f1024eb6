"""What the verbs that draw images share: the model with its image, the schedule, the status line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mszoo.cli.output import errors, print_error
from mszoo.cli.targets import Existing, check_source, check_targets
from mszoo.errors import MszooError
from mszoo.text import one_line

__all__ = ["Opened", "ascending", "open_page", "proceed", "sampler", "schedule"]


@dataclass
class Opened:
    """The first page of an image file.

    Attributes:
        picture: the file, a :class:`mszoo.pictures.picture.Picture`.
        page: its first page.
        scale: the stored values of black and white.
    """

    picture: Any
    page: Any
    scale: Any

    def batch(self, channels: int, device: str) -> Any:
        """(B, C, H, W) for a model of so many channels: a grey model takes each channel as an image of its own."""
        import torch

        x = torch.from_numpy(self.page.to_unit(self.scale)).to(device)
        if channels == 1:
            return x[:, None]
        return x.expand(channels if len(x) == 1 else -1, -1, -1)[None]

    def write(self, images: Any, path: Path, quality: int) -> list[str]:
        """Write a batch of :meth:`batch` with the file's depth; returns what the format cannot hold."""
        from mszoo.pictures.writing import write_picture

        x = images.flatten(0, 1)
        colour = self.page.stored.ndim == 3
        x = x if colour or len(x) == 1 else x.mean(0, keepdim=True)
        page = self.page.with_unit(x.cpu().numpy(), self.scale)
        return write_picture(path, [page], self.picture.scale, self.picture.metadata, quality)

    def written(self, path: Path, channels: int, device: str) -> Any:
        """What :meth:`write` has written, as a batch: rounded, or compressed."""
        from mszoo.pictures.reading import open_picture

        page = next(open_picture(path).read())
        scale = self.scale.in_type(self.page.stored.dtype, page.stored.dtype)
        return Opened(self.picture, page, scale).batch(channels, device)


def open_page(path: Path, limits: tuple[float, float] | None = None) -> Opened:
    """The first page of an image file, with a warning if there are more.

    ``limits`` are the stored values of black and white; None: those of the file's type.
    """
    from mszoo.pictures.picture import Range
    from mszoo.pictures.reading import open_picture

    picture = open_picture(path, None if limits is None else Range(*limits))
    page = next(picture.read())
    scale = picture.range_of(page)
    if picture.count > 1:
        print_error(f"{one_line(str(path))} has {picture.count} pages; only the first is taken", "[yellow]warning:[/]")
    if warning := picture.uses_a_sliver(page, scale):
        print_error(warning, "[yellow]warning:[/]")
    return Opened(picture, page, scale)


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
