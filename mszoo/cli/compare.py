"""mszoo compare: models beside BM3D, non-local means, wavelets and total variation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mszoo.cli.figures import FigureFormat, Figures, FigureSize, Format
from mszoo.cli.inputs import check_folder, check_images, check_model
from mszoo.cli.options import Device, Overwrite, Seed, number
from mszoo.cli.output import console, errors, plain
from mszoo.cli.targets import check_results
from mszoo.errors import MszooError

__all__ = ["compare"]

_BASELINES = ("bm3d", "nl-means", "wavelet", "tv")


def compare(
    denoisers: Annotated[
        list[str],
        typer.Argument(
            metavar="DENOISER...",
            help="Packaged models, checkpoint folders, owner/name on the Hub; or bm3d, nl-means, wavelet, tv.",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(help="Folder, zip or glob of images; by default the astronaut.", callback=check_images),
    ] = None,
    sigma: Annotated[
        list[str] | None, typer.Option(help="Noise level; give it several times. By default 25/255 and 50/255.")
    ] = None,
    colour: Annotated[bool, typer.Option("--colour", help="In colour; without, in grey.")] = False,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for compare.csv, compare.md and the plot.", callback=check_folder)
    ] = None,
    overwrite: Overwrite = False,
    format: FigureFormat = Format.png,
    figure_size: FigureSize = None,
    device: Device = "auto",
) -> None:
    """Denoisers on the same noisy images: PSNR, SSIM, parameters, work, time and memory, in one table and one picture.

    Those that are not blind are told the noise level, and the table says so. Each runs in a process of its own.
    """
    sigmas = [number(text, "--sigma") for text in sigma or ("25/255", "50/255")]
    if not all(sigmas):
        raise MszooError("--sigma: without noise there is nothing to compare")
    from mszoo.checkpoint.folder import title_of

    if len(set(map(title_of, denoisers))) < len(denoisers):
        raise MszooError("two of the denoisers have the same name")
    figures = Figures.of(format, figure_size)
    if out is not None:
        check_results([out / f"compare.{kind}" for kind in ("csv", "md", format.value)], overwrite)
    for name in denoisers:
        if name not in _BASELINES:
            check_model(name)

    from mszoo.evaluation import name_of, write_csv
    from mszoo.evaluation.denoisers import compare as measure
    from mszoo.evaluation.denoisers import draw, markdown

    with errors.status("starting") as status:
        found = measure(
            denoisers, data, sigmas=sigmas, channels=3 if colour else 1, seed=seed, device=device,
            progress=lambda name: status.update(f"{plain(name)}, {denoisers.index(name) + 1} of {len(denoisers)}"),
        )  # fmt: skip
    images, kind = found[0].rows[0].images, "colour" if colour else "grey"
    text = (
        f"{plain(name_of(data))}, {images} image(s) in {kind}, noise seed {seed}: PSNR in dB and SSIM, means over "
        "images; MB beyond the loaded program"
    )
    console.print(text, soft_wrap=True)
    console.print(plain_lines(markdown(found)), soft_wrap=True)
    if out is not None:
        from mszoo.files import replace_file

        out.mkdir(parents=True, exist_ok=True)
        write_csv([row for one in found for row in one.rows], out / "compare.csv")
        replace_file(out / "compare.md", lambda part: part.write_text(markdown(found) + "\n", encoding="utf-8"))
        if len(found) == 1:
            console.print("of one denoiser the picture shows the images, and no PSNR against seconds")
        figures.write(draw(found), out / figures.name("compare"))
        console.print(f"wrote {plain(', '.join(sorted(str(path) for path in out.glob('compare.*'))))}", soft_wrap=True)


def plain_lines(text: str) -> str:
    """Several lines without markup."""
    return "\n".join(map(plain, text.splitlines()))
