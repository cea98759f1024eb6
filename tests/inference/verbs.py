"""What every verb makes of every head, on densities that are known, as the table of ``mszoo/guides/verbs.md``.

python -m tests.inference.verbs > mszoo/guides/verbs.md
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

import mszoo
from mszoo.errors import UnsupportedError
from mszoo.inference import Inpainting, Schedule, log_prob_map
from tests.inference.exact import constant_images
from tests.samplers.exact import HEADS, VARIANCE, White, white

BLIND = "denoiser, blind"
ROWS = (*HEADS, BLIND)
SIZE, T = (8, 16), 0.04
WHERE = {"J = 0": 0, "J > 0": 1}
_BIDE = Schedule(h0=0.3, beta=0.5, floor=0.01, annealed=True)

# Each verb of a model of white images of variance VARIANCE around 0, and what is right, None: only that it is finite
# (what is drawn is measured in test_samplers.py).
Verb = tuple[Callable[[mszoo.MultiScaleModel, Tensor], Tensor], Callable[[Tensor], Tensor] | None]
_ALL = Inpainting(torch.ones(SIZE))


def _log_density(y: Tensor, variance: float) -> Tensor:
    return -(y.square() / variance + math.log(2 * math.pi * variance)).flatten(1).sum(1) / 2


def _sum_of_maps(shares: list[Tensor]) -> Tensor:
    return torch.stack([share.sum((1, 2)) for share in shares]).sum(0)


VERBS: dict[str, Verb] = {
    "denoise(y, sigma)": (lambda m, y: m.denoise(y, T**0.5), lambda y: VARIANCE / (VARIANCE + T) * y),
    "denoise(y)": (lambda m, y: m.denoise(y), None),
    "score": (lambda m, y: m.score(y, T), lambda y: -y / (VARIANCE + T)),
    "energy": (lambda m, y: m.energy(y, T), None),
    "log_prob": (lambda m, y: m.log_prob(y), lambda y: _log_density(y, VARIANCE)),
    "log_prob_map": (lambda m, y: _sum_of_maps(log_prob_map(m, y)), lambda y: _log_density(y, VARIANCE)),
    "noise_level": (lambda m, y: m.noise_level(y), lambda y: y.square().flatten(1).mean(1) - VARIANCE),
    "sample": (lambda m, y: m.sample(1, SIZE, generator=0), None),
    "super_resolve": (lambda m, y: m.super_resolve(y, 2, generator=0), None),
    "solve": (lambda m, y: m.solve(y, _ALL, generator=0, schedule=_BIDE), lambda y: y),
    "map": (lambda m, y: m.map(y, _ALL, T**0.5, level=0), lambda y: VARIANCE / (VARIANCE + T) * y),
}


class Whole(White):
    """Of the heads whose constant is found: their energy has the determinant too, which changes with t."""

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        self.join(y, cond)
        assert t is not None
        power = y.square().flatten(1).sum(1) / y[0].numel()
        weight = 1 / (VARIANCE + t) + (5 + (VARIANCE + t).log()) / power  # 5: some constant that keeps it positive
        return (weight if self.head == "inner_product" else weight.sqrt())[:, None, None, None] * y


def model(row: str, levels: int, channels: int) -> mszoo.MultiScaleModel:
    if row == BLIND:
        return constant_images(levels, channels)
    made = white(row, levels, channels)
    if row in ("inner_product", "squared_norm"):
        for head in made.scales:
            old = head.conditioner
            head.conditioner = Whole(old.channels, old.cond_channels, row)
    return made


def cell(row: str, verb: str, levels: int, channels: int) -> str:
    """``yes`` for the right answer, the reason for a refusal, and ``WRONG`` for all else."""
    ask, right = VERBS[verb]
    y = (VARIANCE + T) ** 0.5 * torch.randn(2, channels, *SIZE, generator=torch.Generator().manual_seed(0))
    try:
        found = ask(model(row, levels, channels), y)
    except UnsupportedError as error:
        return str(error)
    if right is not None and row != BLIND:
        expected = right(y)
        if found.shape != expected.shape or (found - expected).abs().max() > 5e-3 * max(1, expected.abs().max().item()):
            return f"WRONG: {found.flatten()[:3]}, not {expected.flatten()[:3]}"
    return "yes" if found.isfinite().all() else "WRONG: not finite"


def table() -> str:
    """The guide's page."""
    lines = [
        "# What every verb makes of every head",
        "",
        "Written by `python -m tests.inference.verbs`, which asks models whose densities are known; a test compares.",
        "J is the number of levels; grey and colour are alike. A number stands for a refusal, with its reason below.",
    ]
    reasons: dict[str, int] = {}
    for name, levels in WHERE.items():
        lines += ["", f"## {name}", "", f"| head | {' | '.join(VERBS)} |", f"| --- |{' --- |' * len(VERBS)}"]
        for row in ROWS:
            cells = []
            for verb in VERBS:
                answer = cell(row, verb, levels, 1)
                reason = answer.split(";")[0].replace(f"of {levels} levels", "of J levels")
                cells.append("yes" if answer == "yes" else str(reasons.setdefault(reason, len(reasons) + 1)))
            lines.append(f"| {row} | {' | '.join(cells)} |")
    lines += ["", "## Why not", "", *(f"{number}. {reason}" for reason, number in reasons.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
