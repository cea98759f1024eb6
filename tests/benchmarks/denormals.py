"""How long an AdaMuon step takes when some channels have been inactive for long, with numbers near zero kept or not.

    python tests/benchmarks/denormals.py [--steps 3000]

Of a stack of convolutions of 64 channels half get a gradient in the first step alone. Prints milliseconds a step, early
and late, and the ratio; the peer is the same optimizer with numbers below 1e-38 kept as they are, torch's rule.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import nn

from mszoo.recipe import TrainingConfig
from mszoo.training.denormals import flushed_denormals
from mszoo.training.optimization import make_optimizer


def late(steps: int) -> tuple[float, float]:
    """Milliseconds of a step among the first 50 and among the last."""
    torch.manual_seed(0)
    network = nn.Sequential(*(nn.Conv2d(64, 64, 3, bias=False) for _ in range(6)))
    settings = TrainingConfig.model_validate({"steps": steps, "optimizer": {"name": "adamuon", "lr": 1e-3}})
    optimizer, spent = make_optimizer(network, settings), []
    for step in range(steps):
        for weight in network.parameters():
            weight.grad = torch.randn_like(weight)
            if step:
                weight.grad[:32] = 0
        began = time.process_time()
        optimizer.step()
        spent.append(1000 * (time.process_time() - began))
    return sum(spent[5:55]) / 50, sum(spent[-50:]) / 50


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=3000)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    kept = late(steps)
    with flushed_denormals():
        flushed = late(steps)
    print(f"AdaMuon, 6 convolutions of 64 channels, half of them inactive, {steps} steps, one thread:")
    for name, (first, last) in (("kept", kept), ("taken for zero", flushed)):
        print(f"numbers near zero {name}: {first:.1f} ms at first, {last:.1f} ms at last")
    print(f"ratio at last: {kept[1] / flushed[1]:.2f}")


if __name__ == "__main__":
    main()
