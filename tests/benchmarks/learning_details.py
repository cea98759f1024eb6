"""What makes the energy of details learn faster, at equal seconds of one core.

    python tests/benchmarks/learning_details.py TRAIN TEST [--seconds 60] [--seeds 3] [SETTING ...]

TRAIN and TEST are folders or zips of grey images of one size. A local energy of their finest Haar details given the
coarser image, small (receptive field 9), is trained by each of the settings below for so many seconds of processor time
(so that what else a machine does matters little): a few steps are timed, and the rate falls along a cosine over as many
as fit. Printed are bits per coefficient of the test images, without dequantization: mean and deviation over seeds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
from torch import Tensor

import mszoo
from mszoo.heads import EnergyHead
from mszoo.randomness import Draw
from mszoo.recipe import TrainingConfig
from mszoo.training.optimization import make_average, make_optimizer, make_scheduler

_WIDE, _NARROW = {"psnr": [75, -15]}, {"psnr": [65, 0]}
_MUON, _ADAM = {"name": "adamuon", "lr": 5e-3}, {"name": "adam", "lr": 1e-2}
_DUAL, _OPTIONS = "dual_score_matching", {"time_weight": 50.0, "noise": _WIDE}
SETTINGS: dict[str, tuple[tuple[str, dict[str, Any]], dict[str, Any]]] = {
    "AdaMuon": ((_DUAL, _OPTIONS), _MUON),
    "Adam": ((_DUAL, _OPTIONS), _ADAM),
    "Adam, control variate": ((_DUAL, {**_OPTIONS, "control_variate": True}), _ADAM),
    "Adam, noise from 65 to 0 dB": ((_DUAL, {**_OPTIONS, "noise": _NARROW}), _ADAM),
    "Adam, time weight 10": ((_DUAL, {**_OPTIONS, "time_weight": 10.0}), _ADAM),
    "Adam, contrastive": (("contrastive", {"noise": _WIDE}), _ADAM),
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
    (name, options), optimization = SETTINGS[setting]
    objective = mszoo.create("objective", name, **options)
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
    return 8 + energy / (details[0].numel() * torch.log(torch.tensor(2.0)).item())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("settings", nargs="*", help=f"by default all: {', '.join(SETTINGS)}")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    given = parser.parse_args()
    torch.set_num_threads(1)
    images, test = read(given.train), read(given.test)
    print(f"{'untrained':32s} {bits(make(0, *images).eval(), *test):.3f} bits a coefficient", flush=True)
    for setting in given.settings or SETTINGS:
        found, counts = [], []
        for seed in range(given.seeds):
            head, steps = train(setting, seed, given.seconds, given.batch, *images)
            found.append(bits(head, *test))
            counts.append(steps)
        each = " ".join(f"{value:.3f}" for value in found)
        print(
            f"{setting:32s} {statistics.fmean(found):.3f} ({statistics.pstdev(found):.3f})  of {each}  "
            f"{statistics.fmean(counts):.0f} steps",
            flush=True,
        )


if __name__ == "__main__":
    main()
