"""A report as one file of HTML: its pictures are inside, and it asks nothing of any network."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from matplotlib.figure import Figure
from torch import Tensor

from mszoo.data.images import encode
from mszoo.evaluation import plots
from mszoo.evaluation.comparison import ComparisonRow
from mszoo.evaluation.denoisers import Compared
from mszoo.report.findings import Findings
from mszoo.summary import COLUMNS

__all__ = ["page"]

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 0 auto; padding: 1rem;
  overflow-wrap: anywhere; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd; padding-bottom: .25rem; }
.wide { overflow-x: auto; margin: 0 0 1.5rem; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #eee; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; }
figure { margin: 1rem 0; } figcaption { color: #555; font-size: .9rem; } figure > img { max-width: 100%; height: auto; }
.images { display: flex; flex-wrap: wrap; gap: .75rem; } .images figure { margin: 0; width: 9rem; }
.images img { width: 100%; image-rendering: pixelated; }
pre { background: #f5f5f5; padding: .75rem; white-space: pre-wrap; font-size: .85rem; } .note { color: #666; }
"""


def page(
    title: str,
    about: str,
    found: Findings,
    *,
    data: str,
    recipe: str | None,
    versions: Mapping[str, str],
    commands: Sequence[str],
) -> str:
    """The page's text.

    Args:
        title: what to call the model.
        about: a line about it; may be empty.
        found: what was measured.
        data: what to call the images.
        recipe: the YAML text that trained it; None: it is not known.
        versions: of packages, and what else the numbers depend on.
        commands: that measure it again.

    Returns:
        HTML with all pictures inside. Whatever came from files is escaped.
    """
    model = found.model
    facts = [
        ("parameters", f"{sum(p.numel() for p in model.parameters()):,}"),
        ("channels", str(model.channels)),
        ("levels", str(model.levels)),
        ("noise level", "needs none" if model.blind else "is told, or found"),
    ]
    parts = [
        f"<h1>{_text(title)}</h1>",
        f"<p>{_text(about)}</p>" * bool(about),
        f"<p>Measured on <b>{_text(data)}</b>.</p>",
        _table(["", ""], facts),
        _table(COLUMNS, [scale.cells for scale in model.summary()]),
        *_denoising(found.compared),
        *_samples(found),
        *_probability(found, data),
    ]
    if found.left_out:
        rows = "".join(f"<li>{_text(what)}: {_text(why)}</li>" for what, why in found.left_out.items())
        parts += ["<h2>Left out</h2>", f"<ul>{rows}</ul>"]
    parts += ["<h2>To measure it again</h2>", _pre("\n".join(commands)), _table(["", "version"], versions.items())]
    parts += ["<h2>The recipe</h2>", _pre(recipe) if recipe else "<p class=note>The checkpoint has none.</p>"]
    return (
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n"
        '<meta name=viewport content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; img-src data:; "
        "style-src 'unsafe-inline'\">\n"
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n"
        "</html>\n"
    )


def _denoising(compared: Sequence[Compared]) -> list[str]:
    if not compared:
        return []
    rows = [
        ComparisonRow(r.denoiser, 0, None, r.parameters or 0, r.sigma, r.noisy, r.denoised, r.images, r.seconds)
        for one in compared
        for r in one.rows
    ]
    count = rows[0].images
    parts = ["<h2>Denoising</h2>"]
    if len(compared[0].rows) > 1:  # one point is no curve
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        plots.noise_levels(figure.subplots(), rows)
        parts.append(_figure(figure, f"PSNR, the mean of per-image values over {count} image(s)."))
    levels = [f"{255 * r.sigma:.4g}/255" for r in compared[0].rows]
    noisy = ["noisy", *(f"{r.noisy:.2f}" for r in compared[0].rows), "", ""]
    table = [noisy] + [
        [
            r0.denoiser + ", told sigma" * r0.told_sigma,
            *(f"{r.denoised:.2f}" for r in one.rows),
            f"{fmean(r.ssim for r in one.rows):.3f}",
            f"{fmean(r.seconds for r in one.rows):.2f}",
        ]
        for one in compared
        for r0 in one.rows[:1]
    ]
    parts.append(_table(["PSNR in dB at sigma", *levels, "SSIM, mean", "s a megapixel"], table))
    first, last = compared[0], compared[0].rows[-1]
    shown = [("clean", first.clean), (f"noisy, sigma {255 * last.sigma:.4g}/255", first.noisy)]
    parts.append(_images(shown + [(one.rows[0].denoiser, one.denoised) for one in compared]))
    return parts


def _samples(found: Findings) -> list[str]:
    if not found.samples:
        return []
    _, height, width = found.samples[0].shape
    seconds = f"{len(found.samples)} of {width} x {height} pixels, drawn in {found.sampling_seconds:.1f} s."
    return ["<h2>Samples</h2>", _images([("", image) for image in found.samples]), f"<p class=note>{seconds}</p>"]


def _probability(found: Findings, data: str) -> list[str]:
    rows = found.rows
    if not rows:
        return []
    bits, decibels = fmean(row.nll for row in rows), fmean(row.db_per_dim for row in rows)
    parts = [
        "<h2>log p</h2>",
        f"<p>{len(rows)} image(s): mean <b>{bits:.4f} bits/dim</b> (8-bit convention, no dequantization), "
        f"{decibels:.3f} dB/dim.</p>",
    ]
    if len(rows) > 1:
        figure = Figure(figsize=(7, 3.5), layout="constrained")
        plots.histogram(figure.subplots(), {data: [row.db_per_dim for row in rows]})
        parts.append(_figure(figure, "How often each log p occurs."))
    titles = ["Most probable", "Least probable"] if len(found.ends) > 1 else ["Most probable first"]
    for title, end in zip(titles, found.ends, strict=True):
        named = [(f"{row.image}: {row.nll:.3f} bits/dim", image) for row, image in end]
        parts += [f"<h3>{title}</h3>", _images(named)]
    parts.append("<h3>Where they are improbable</h3>")
    for row, image, shares in found.maps:
        parts.append(_figure(plots.maps_figure(f"{row.nll:.3f} bits/dim", image, shares, columns=3), row.image))
    return parts


def _text(text: str) -> str:
    return html.escape(text)


def _pre(text: str) -> str:
    return f"<pre>{_text(text)}</pre>"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    def line(cells: Sequence[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{_text(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    body = "\n".join(line(row, "td") for row in rows)
    return f"<div class=wide><table>\n{line(head, 'th') if any(head) else ''}\n{body}\n</table></div>"


def _figure(figure: Figure, caption: str) -> str:
    drawn = plots.drawing(figure, dpi=150)
    return f"<figure>{_img(drawn, caption)}<figcaption>{_text(caption)}</figcaption></figure>"


def _images(named: Sequence[tuple[str, Tensor]]) -> str:
    shown = []
    for name, image in named:
        drawn = io.BytesIO()
        encode(image.clamp(0, 1)).save(drawn, "PNG")
        shown.append(f"<figure>{_img(drawn.getvalue(), name)}<figcaption>{_text(name)}</figcaption></figure>")
    return f"<div class=images>{''.join(shown)}</div>"


def _img(png: bytes, alternative: str) -> str:
    return f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" alt="{_text(alternative)}">'
