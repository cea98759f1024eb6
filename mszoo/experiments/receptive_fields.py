"""PSNR against the receptive field (paper A: a multi-scale model needs only a small one)."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from mszoo.evaluation import ComparisonRow

__all__ = ["plot"]


def plot(axes: Axes, rows: Sequence[ComparisonRow]) -> Axes:
    """PSNR against the receptive field, a line for each noise level: pixel-domain dashed, multi-scale solid.

    Models that see the whole image are left out. The axes are those that were given.
    """
    local = [row for row in rows if row.receptive_field is not None]
    for i, sigma in enumerate(sorted({row.sigma for row in local})):
        for multi_scale, style in ((False, "--"), (True, "-")):
            line = sorted(
                (row.receptive_field or 0, row.denoised)
                for row in local
                if row.sigma == sigma and (row.levels > 0) == multi_scale
            )
            if line:
                kind = "multi-scale" if multi_scale else "pixel domain"
                axes.plot(
                    *zip(*line, strict=True), style, marker="o", color=f"C{i}", label=f"{kind}, sigma {sigma:.3g}"
                )
    axes.set(
        xlabel="receptive field of the finest scale's network (coefficients)",
        ylabel="PSNR of the denoised images (dB)",
    )
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return axes
