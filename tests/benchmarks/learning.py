"""What makes an energy learn faster: test loss and bits per dimension at equal steps, against the authors' code.

    python tests/benchmarks/learning.py train SETTING TRAIN TEST OUT [--seed 0] [--peer CODE]
    python tests/benchmarks/learning.py table OUT

TRAIN and TEST are folders or zips of images, averaged down to --size in grey; the whole set is held in memory. SETTING
is one of those below; ``authors`` trains with the code of FlorentinGuth/DualScoreMatching, of which CODE is a checkout
(it needs einops, torchvision and tqdm), on the very same batches and noise. Every run has the same network sizes; its
test losses (space + time, means over --images test images with 4 noise levels each) go into OUT/SETTING-SEED.csv, and
``table`` prints means and standard deviations over the seeds. Their weights are evaluated by our network, which gives
what theirs gives to 1e-6 (tests/reference/test_paper_b.py).
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from steps import Theirs
from torch import Tensor

import mszoo
from mszoo.inference import nll
from mszoo.model import MultiScaleModel
from mszoo.objectives import DualScoreMatching
from mszoo.randomness import Draw
from mszoo.recipe import ModelConfig, TrainingConfig
from mszoo.training.gradients import CompiledGradients
from mszoo.training.optimization import make_average, make_optimizer, make_scheduler
from mszoo.training.step import Step

_ANCHORED = {"embedding": "log", "zero_output": True}, {"name": "anchored", "levels": 3}
_PAPER = {"embedding": "linear"}, {"name": "inner_product"}
_ADAM: dict[str, Any] = {"optimizer": {"name": "adam", "lr": 5e-4}, "scheduler": None}
_COSINE: dict[str, Any] = {"warmup": 100, "ema": 0.998, "clip": 1.0}
SETTINGS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "authors": (*_PAPER, _ADAM),
    "paper": (*_PAPER, _ADAM),
    "paper, cosine, EMA": (*_PAPER, {"optimizer": {"name": "adam", "lr": 1e-3}, **_COSINE}),
    "anchored": (*_ANCHORED, _ADAM),
    "anchored, cosine, EMA": (*_ANCHORED, {"optimizer": {"name": "adam", "lr": 1e-3}, **_COSINE}),
    "anchored, cosine, EMA, AdaMuon": (*_ANCHORED, {"optimizer": {"name": "adamuon", "lr": 5e-3}, **_COSINE}),
}
"""Options of the network, the head, and the training."""

MOMENTS = (0, 500, 1000, 2000, 5000)


def read(path: str, size: int) -> Tensor:
    """All images as uint8 (N, 1, size, size)."""
    images = mszoo.create("dataset", "image_folder", 1, path=path)
    small = [F.adaptive_avg_pool2d(x, size) for x in images]
    return (torch.stack(small) * 255).round().to(torch.uint8)


def make(setting: str, width: int, halvings: int) -> MultiScaleModel:
    options, head, _ = SETTINGS[setting]
    network = {"name": "unet", "width": width, "halvings": halvings, **options}
    return MultiScaleModel.from_config(
        ModelConfig.model_validate({"channels": 1, "coarse": {"conditioner": network, "head": head}})
    )


@torch.no_grad()
def measure(model: MultiScaleModel, x: Tensor) -> tuple[float, float, float]:
    """Test losses in space and time, and bits per dimension."""
    model.constants.clear()  # of other weights
    head, objective = model.coarse, DualScoreMatching()
    space = time_ = bits = 0.0
    parts = x.split(250)
    for i, part in enumerate(parts):
        for k in range(4):
            y, t = objective.corrupt(part, Draw(12345, k, list(range(i * 250, i * 250 + len(part)))))
            _, logs = objective.loss(head, part, y, t, None)
            space += float(logs["space"]) / 4 / len(parts)
            time_ += float(logs["time"]) / 4 / len(parts)
        bits += nll(model, part).mean().item() / len(parts)
    return space, time_, bits


Update = Callable[[Tensor, Draw], object]


def ours(model: MultiScaleModel, settings: TrainingConfig) -> tuple[Update, Callable[[], MultiScaleModel]]:
    """A training step, and the model so far."""
    step = Step(model, [DualScoreMatching()])
    gradients = CompiledGradients(Accelerator(cpu=True), step)
    optimizer, average = make_optimizer(step, settings), make_average(step, settings)
    scheduler, done = make_scheduler(optimizer, settings), 0

    def update(x: Tensor, draw: Draw) -> None:
        nonlocal done
        scheduler.step_update(done)
        gradients(x, draw)
        if settings.clip is not None:
            torch.nn.utils.clip_grad_norm_(step.parameters(), settings.clip)
        optimizer.step()
        optimizer.zero_grad()
        done += 1
        if average is not None:
            average.update(step, step=done)

    return update, lambda: model if average is None else average.module.model


def theirs(
    code: Path, model: MultiScaleModel, x: Tensor, width: int, halvings: int
) -> tuple[Update, Callable[[], MultiScaleModel]]:
    """The same with the authors' network, energy and Adam; its weights are copied into ``model`` to be read."""
    mean, variance = x.float().mean().item() / 255, (x.float() / 255).var().item()
    peer = Theirs(code, tuple(x.shape[1:]), width, halvings, mean, variance)
    optimizer = torch.optim.Adam(peer.network.parameters(), lr=_ADAM["optimizer"]["lr"])

    def update(x: Tensor, draw: Draw) -> None:
        y, t = DualScoreMatching().corrupt(x, draw.scale(0))
        optimizer.zero_grad()
        peer.loss(x, y, t).backward()
        optimizer.step()

    def current() -> MultiScaleModel:
        model.coarse.conditioner.load_state_dict(peer.ours(peer.network.state_dict()))
        return model

    return update, current


def train(given: argparse.Namespace) -> None:
    images, test = read(given.train, given.size), read(given.test, given.size)[: given.images] / 255
    torch.manual_seed(given.seed)
    model = make(given.setting, given.width, given.halvings)
    extra = SETTINGS[given.setting][2]
    settings = TrainingConfig.model_validate({"steps": given.steps, "batch_size": given.batch, **extra})
    generator = torch.Generator().manual_seed(given.seed)
    model.coarse.fit([(images[torch.randperm(len(images), generator=generator)[:4096]] / 255, None)])
    if given.setting == "authors":
        update, current = theirs(given.peer, model, images, given.width, given.halvings)
    else:
        update, current = ours(model, settings)
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / f"{given.setting.replace(', ', '+')}-{given.seed}.csv"
    seconds = 0.0
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["setting", "seed", "step", "space", "time", "bits/dim", "seconds"])
        for step in range(given.steps + 1):
            if step in MOMENTS or step == given.steps:
                row = [given.setting, given.seed, step, *measure(current().eval(), test), round(seconds, 1)]
                writer.writerow(row)
                file.flush()
                print(*row, flush=True)
            if step == given.steps:
                break
            x = images[torch.randint(len(images), (given.batch,), generator=generator)] / 255
            flipped = torch.rand(given.batch, generator=generator) < 0.5
            x = torch.where(flipped[:, None, None, None], x.flip(-1), x)
            began = time.perf_counter()
            update(x, Draw(given.seed, step, list(range(given.batch))))
            seconds += time.perf_counter() - began


def table(out: Path) -> None:
    rows = [row for path in sorted(out.glob("*.csv")) for row in csv.DictReader(path.open())]
    print("test loss (space + time) and bits/dim: mean (standard deviation over seeds)")
    for setting in SETTINGS:
        for step in sorted({int(row["step"]) for row in rows if row["setting"] == setting}):
            found = [row for row in rows if row["setting"] == setting and int(row["step"]) == step]
            losses = [float(row["space"]) + float(row["time"]) for row in found]
            bits = [float(row["bits/dim"]) for row in found]
            shown = [f"{statistics.fmean(v):.4f} ({statistics.pstdev(v):.4f})" for v in (losses, bits)]
            print(f"{setting:32s} {step:6d} steps  {len(found)} seeds  {shown[0]}  {shown[1]}")


def main() -> None:
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    training = verbs.add_parser("train")
    training.add_argument("setting", choices=list(SETTINGS))
    training.add_argument("train")
    training.add_argument("test")
    training.add_argument("out", type=Path)
    training.add_argument("--seed", type=int, default=0)
    training.add_argument("--peer", type=Path, help="a checkout of FlorentinGuth/DualScoreMatching")
    training.add_argument("--steps", type=int, default=5000)
    training.add_argument("--batch", type=int, default=16)
    training.add_argument("--size", type=int, default=16)
    training.add_argument("--width", type=int, default=8)
    training.add_argument("--halvings", type=int, default=2)
    training.add_argument("--images", type=int, default=1000, help="of the test set")
    verbs.add_parser("table").add_argument("out", type=Path)
    given = parser.parse_args()
    if given.verb == "train":
        if given.setting == "authors" and given.peer is None:
            parser.error("the setting authors needs --peer CODE")
        train(given)
    else:
        table(given.out)


if __name__ == "__main__":
    main()
