"""What makes the energy of details learn faster, at equal seconds of one core.

    python tests/benchmarks/learning_details.py TRAIN TEST [--seconds 60] [--seeds 3] [--setting NAME ...]

TRAIN and TEST are folders or zips of grey images of one size. A local energy of their finest Haar details given the
coarser image, small (receptive field 9), is trained by each of the settings below for so many seconds of processor time
(so that what else a machine does matters little): a few steps are timed, and the rate falls along a cosine over as many
as fit. Printed are bits per coefficient of the test images, without dequantization: mean and deviation over seeds; and
what is open at the largest noise of training: the bits that the energy is off its Gaussian's there, and may be off one.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import mszoo
from mszoo.heads import EnergyHead, Head, PredictiveEnergy
from mszoo.heads.base import per_image
from mszoo.objectives import Contrastive, DualScoreMatching, Objective
from mszoo.objectives.noise import NoiseLevels
from mszoo.objectives.score_matching import space_loss
from mszoo.randomness import Draw
from mszoo.recipe import TrainingConfig
from mszoo.training.optimization import make_average, make_optimizer, make_scheduler

_MUON, _ADAM = {"name": "adamuon", "lr": 5e-3}, {"name": "adam", "lr": 1e-2}


def _noise(most: float, least: float) -> NoiseLevels:
    return NoiseLevels.model_validate({"psnr": (most, least)})


class Controlled(DualScoreMatching):
    """The time score's target without the part of its noise that the score knows.

    |z|^2 becomes |e|^2 + t |score|^2, where e = z + sqrt(t) score has no mean given y, as far as the score is right.
    """

    def loss(
        self, head: Head, x: Tensor, y: Tensor, t: Tensor, cond: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        assert isinstance(head, EnergyHead)
        score, time_score = head.derivatives(y, t, cond)
        sigma = per_image(t, y).sqrt()
        z, known = (y - x) / sigma, sigma * score.detach()
        noise = ((z + known).square() + known.square()).flatten(1).mean(1)
        time_loss = ((1 - noise) / 2 + t * time_score / x[0].numel()).square()
        return (space_loss(score, x, y, t) + self.time_weight * time_loss).mean(), {}


_WIDE = _noise(75, -15)
SETTINGS: dict[str, tuple[Callable[[], Objective], dict[str, Any]]] = {
    "AdaMuon": (lambda: DualScoreMatching(noise=_WIDE, time_weight=50), _MUON),
    "Adam": (lambda: DualScoreMatching(noise=_WIDE, time_weight=50), _ADAM),
    "Adam, control variate": (lambda: Controlled(noise=_WIDE, time_weight=50), _ADAM),
    "Adam, noise from 65 to 0 dB": (lambda: DualScoreMatching(noise=_noise(65, 0), time_weight=50), _ADAM),
    "Adam, time weight 10": (lambda: DualScoreMatching(noise=_WIDE, time_weight=10), _ADAM),
    "Adam, contrastive": (lambda: Contrastive(noise=_WIDE), _ADAM),
}
"""Objective and optimizer."""


def read(path: str) -> tuple[Tensor, Tensor]:
    """Details (N, 3, h, w) and coarser images (N, 1, h, w)."""
    low, detail = mszoo.create("basis", "haar").analyze(
        torch.stack(list(mszoo.create("dataset", "image_folder", 1, path=path)))
    )
    return detail, low


def make(seed: int, details: Tensor, coarser: Tensor) -> EnergyHead:
    torch.manual_seed(seed)
    smooth = {"norm": "channel", "activation": "gelu", "noise_embedding": True, "zero_output": True}
    network = mszoo.create("conditioner", "bias_free_cnn", 3, 1, receptive_field=9, depth=6, width=32, **smooth)
    head = mszoo.create("head", "predictive", network)
    head.fit([(details[:4096], coarser[:4096])])
    return head


def train(setting: str, seed: int, seconds: float, batch: int, details: Tensor, coarser: Tensor) -> tuple[Any, int]:
    """The energy, and after how many steps."""
    pays, optimization = SETTINGS[setting]
    objective = pays()
    head, generator = make(seed, details, coarser), torch.Generator().manual_seed(seed)

    def backward(number: int) -> None:
        rows = torch.randint(len(details), (batch,), generator=generator)
        y, t = objective.corrupt(details[rows], Draw(seed, number, rows.tolist()))
        objective.loss(head, details[rows], y, t, coarser[rows])[0].backward()

    backward(0)
    began = time.process_time()
    for number in range(1, 6):
        backward(number)
    steps = max(60, round(seconds / ((time.process_time() - began) / 5)))
    head.zero_grad()
    settings = TrainingConfig.model_validate(
        {"steps": steps, "optimizer": optimization, "warmup": 50, "ema": 0.99, "clip": 1.0}
    )
    optimizer, average = make_optimizer(head, settings), make_average(head, settings)
    scheduler = make_scheduler(optimizer, settings)
    assert average is not None
    for number in range(steps):
        scheduler.step_update(number)
        optimizer.zero_grad()
        backward(number)
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        average.update(head, step=number + 1)
    return average.module.eval(), steps


@torch.no_grad()
def bits(head: EnergyHead, details: Tensor, coarser: Tensor) -> float:
    """Per coefficient."""
    energy = head.energy(details, torch.zeros(len(details)), coarser).mean().item()
    return 8 + energy / (details[0].numel() * math.log(2))


@torch.no_grad()
def open_at_the_top(head: EnergyHead, t: float, details: Tensor, coarser: Tensor) -> float:
    """Bits per coefficient that the energy differs from its Gaussian's, which is normalized, at the largest noise."""
    assert isinstance(head, PredictiveEnergy)
    times = torch.full((len(details),), t)
    y = details + t**0.5 * torch.randn(details.shape, generator=torch.Generator().manual_seed(0))
    mean, variance = head.predict(y, coarser)
    gaussian = -torch.distributions.Normal(mean, (variance + t).sqrt()).log_prob(y).flatten(1).sum(1)
    return (head.energy(y, times, coarser) - gaussian).mean().item() / (details[0].numel() * math.log(2))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument(
        "--setting", action="append", choices=list(SETTINGS), help="by default all, one after the other"
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    given = parser.parse_args()
    torch.set_num_threads(1)
    images, test = read(given.train), read(given.test)
    print(f"{'untrained':32s} {bits(make(0, *images).eval(), *test):.3f} bits a coefficient", flush=True)
    for setting in given.setting or SETTINGS:
        found, counts, gaps = [], [], []
        for seed in range(given.seeds):
            head, steps = train(setting, seed, given.seconds, given.batch, *images)
            found.append(bits(head, *test))
            counts.append(steps)
            gaps.append(open_at_the_top(head, SETTINGS[setting][0]().largest_t, *test))
        each = " ".join(f"{value:.3f}" for value in found)
        print(
            f"{setting:32s} {statistics.fmean(found):.3f} ({statistics.pstdev(found):.3f})  of {each}  "
            f"{statistics.fmean(counts):.0f} steps, at the largest noise {max(gaps, key=abs):+.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
