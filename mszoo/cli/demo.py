"""mszoo demo: the packaged model at work, in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mszoo.cli.inputs import check_folder
from mszoo.cli.options import ChosenModel, Overwrite
from mszoo.cli.output import console, errors, plain, table
from mszoo.cli.targets import check_results
from mszoo.errors import MszooError

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("mszoo-demo.png"),
    model: ChosenModel = None,
    overwrite: Overwrite = False,
) -> None:
    """Denoise the astronaut with a packaged model: a PSNR table and a picture, with BM3D's where package bm3d is."""
    if out.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise MszooError(f"--out: {out} is no picture's name; write it as .png, .pdf or .svg")
    check_folder(out.absolute().parent)
    check_results([out], overwrite)

    import mszoo
    from mszoo.experiments.demo import astronaut_demo, draw
    from mszoo.hub import DENOISERS
    from mszoo.inference import fast

    model = model or DENOISERS[1]
    with errors.status("denoising"):
        panels = astronaut_demo(fast(mszoo.load(model)), model)
    console.print("the astronaut's face, 160x160: PSNR in dB")
    rows = table("sigma", *panels[0].others)
    for panel in panels:
        rows.add_row(f"{panel.sigma:g}", *(f"{value:.2f}" for value in panel.psnr().values()))
    console.print(rows)
    draw(panels, out)
    console.print(f"wrote {plain(str(out))}")
