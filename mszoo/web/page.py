"""The page: photographs above, a tab for each question below; and its server, for this computer alone."""

from __future__ import annotations

import functools
import importlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mszoo.errors import MszooError, UnsupportedError
from mszoo.text import one_line

__all__ = ["MOST_BYTES", "build", "serve"]

_HOST = "127.0.0.1"
_COPIES = "GRADIO_TEMP_DIR"
MOST_BYTES = 50_000_000
_MOST = 10  # photographs on the page; older ones go
_HINT = "Drop photographs above, or try it with the astronaut. They stay on this computer, and nothing is kept."


def build(gr: Any) -> Any:
    """The page, as an application of gradio.

    Args:
        gr: the module gradio.
    """
    from mszoo.web import denoise, draw, enlarge, fill, log_prob
    from mszoo.web.layout import Layout

    with gr.Blocks(title="mszoo", analytics_enabled=False, delete_cache=(600, 600)) as page:
        gr.Markdown("# mszoo\nImage probability models at work, on this computer.")
        photos, photo = gr.State([], time_to_live=3600), gr.State(None, time_to_live=3600)
        layout = Layout(gr, photo)
        with gr.Row():
            files = gr.File(label="Photographs", file_count="multiple", height=150, elem_id="files")
            gallery = gr.Gallery(
                label="Choose one",
                columns=5,
                height=150,
                fit_columns=False,
                object_fit="contain",
                allow_preview=False,
                interactive=False,
                buttons=[],
                elem_id="photos",
            )
        example = gr.Button("Try it with the astronaut", size="sm", elem_id="example")
        message = gr.Markdown(_HINT, elem_id="message")
        with gr.Tab("Denoise"):
            denoise.tab(layout)
        with gr.Tab("Enlarge"):
            enlarge.tab(layout)
        with gr.Tab("Fill a hole"):
            editor = fill.tab(layout)
        with gr.Tab("How probable?"):
            log_prob.tab(layout)
        with gr.Tab("Draw"):
            draw.tab(layout)
        shown = [photos, photo, gallery, message]
        dropped = files.upload(functools.partial(_drop, gr), [files, photos], [*shown, files])
        taken = example.click(functools.partial(_example, gr), photos, shown)

        def choose(photos: list[Any], event: Any) -> Any:
            return photos[event.index], f"Chosen: {_code(photos[event.index].name)}"

        # gradio reads annotations, which are text here
        choose.__annotations__["event"] = gr.SelectData
        chosen = gallery.select(choose, photos, [photo, message], show_progress="hidden")
        for event in (dropped, taken, chosen):
            # shown on the message: at every progress of any tab, gradio asks what shows any for its value, and the
            # editor uploads all of its pictures to answer, ten times a second
            event.then(fill.canvas, photo, editor, show_progress="hidden", show_progress_on=message)
    return page


@contextmanager
def serve(port: int | None = None, browser: bool = False) -> Iterator[str]:
    """Serve the page on 127.0.0.1 for as long as the context lasts; all files that it needed are gone afterwards.

    While a second one lasts in the same process, the first takes no files: gradio knows one folder for them.

    Args:
        port: to listen on; None: the first free one from 7860.
        browser: open it there.

    Yields:
        Its address.

    Raises:
        UnsupportedError: gradio is not installed.
        MszooError: the port is taken.
    """
    gr = _gradio()
    with tempfile.TemporaryDirectory(prefix="mszoo-web-") as folder, _copies_in(folder):
        page = build(gr).queue(max_size=64, default_concurrency_limit=1)
        try:
            page.launch(
                server_name=_HOST,
                server_port=port,
                inbrowser=browser,
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                max_file_size=MOST_BYTES,
                footer_links=[],
                ssr_mode=False,
                theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
            )
        except OSError:
            where = "ports from 7860 are" if port is None else f"port {port} is"
            raise MszooError(f"the {where} taken on {_HOST}; choose another one with --port") from None
        try:
            yield page.local_url
        finally:
            page.close(verbose=False)


@contextmanager
def _copies_in(folder: str) -> Iterator[None]:
    """Where gradio keeps its copies of what is dropped and shown; it asks at each of them, and takes no others."""
    before = os.environ.get(_COPIES)
    os.environ[_COPIES] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ[_COPIES]
        else:
            os.environ[_COPIES] = before


def _gradio() -> Any:
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # it would ask the network
    try:
        return importlib.import_module("gradio")
    except ModuleNotFoundError:
        raise UnsupportedError("the page needs gradio: pip install 'mszoo[web]'") from None


def _drop(gr: Any, files: Sequence[str] | None, photos: list[Any]) -> tuple[Any, ...]:
    """Photographs that were dropped are added to those before; the first of them is chosen."""
    from mszoo.web.photographs import take

    new, faults = take(files or [])
    said = [f"Chosen: {_code(photo.name)}" for photo in new[:1]] + [f"**Not read:** {_code(fault)}" for fault in faults]
    return (*_shown(gr, [*photos, *new], "\n\n".join(said), new[0] if new else None), None)


def _example(gr: Any, photos: list[Any]) -> tuple[Any, ...]:
    """The astronaut, with the photographs before."""
    from mszoo.experiments.demo import astronaut_face
    from mszoo.web.photographs import Photo

    own, grey = astronaut_face(3)[0], astronaut_face(1)[0]
    photo = Photo("astronaut", own, grey)
    return _shown(gr, [*photos, photo], "Chosen: `astronaut`", photo)


def _shown(gr: Any, photos: list[Any], said: str, chosen: Any) -> tuple[Any, ...]:
    """The state and what is seen of it; ``chosen``: which of them is from now on; None: the one before."""
    from mszoo.web.photographs import at_most, picture

    photos = photos[-_MOST:]
    pictures = [(picture(at_most(photo.own, 200)), photo.name) for photo in photos]
    return photos, gr.skip() if chosen is None else chosen, pictures, said


def _code(text: str) -> str:
    """A stranger's text, which is not read as Markdown."""
    return f"`{one_line(text).replace('`', chr(39))}`"
