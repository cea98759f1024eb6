"""mszoo web: a page to try the models on."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from mszoo.cli.output import console

__all__ = ["web"]


def web(
    port: Annotated[
        int | None, typer.Option(min=1024, max=65535, help="To listen on; without, the first free one from 7860.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Open a page to try the models on: denoise, enlarge, fill holes, measure log p, draw. It needs mszoo[web].

    It is for this computer alone (127.0.0.1) and needs no network; photographs that are dropped on it are not kept.
    """
    from mszoo.web import serve

    with serve(port, browser) as address:
        console.print(f"the page is at {address} (Ctrl-C ends it)", soft_wrap=True)
        threading.Event().wait()
