"""Run by ``accelerate launch`` from test_divided.py, with FSDP asked for: each process has a part of the weights.

    divided_on_two_processes.py OUT OPTIMIZER...

OUT.<rank> gets the gradients of both processes' images, gathered, by head; and of each optimizer how it was refused, or
the gathered weights after some steps.
"""

from __future__ import annotations

import sys
from functools import partial

import torch
from torch.distributed.tensor import DTensor

from mszoo.errors import TrainingError
from mszoo.recipe import NamedConfig, TrainingConfig
from mszoo.training.divided import divide, divide_optimizer, divides, whole, whole_step
from mszoo.training.gradients import EagerGradients
from mszoo.training.optimization import make_optimizer
from mszoo.training.start import make_accelerator
from mszoo.training.step import Step
from tests.training.test_divided import HEADS, images, make, share, smoke_recipe


def main() -> None:
    out, *names = sys.argv[1:]
    accelerator = make_accelerator(smoke_recipe())
    assert divides(accelerator)
    x, draw = share(images(), accelerator.process_index)

    def gathered(step: Step) -> dict[str, torch.Tensor]:
        return {n: p.detach() for n, p in whole_step(step).named_parameters()}

    found = {}
    for head in HEADS:
        step = make(head)
        gradients = EagerGradients(accelerator, divide(step, accelerator))
        gradients(x, draw)
        found[head] = {name: whole(p.grad) for name, p in step.named_parameters() if p.grad is not None}
        found[f"{head} held"] = sum(p.to_local().numel() for p in step.parameters() if isinstance(p, DTensor))
    for name in names:
        settings = TrainingConfig(optimizer=NamedConfig.model_validate({"name": name, "lr": 1e-3}))
        step = make("denoiser")
        gradients = EagerGradients(accelerator, divide(step, accelerator))
        try:
            optimizer = divide_optimizer(partial(make_optimizer, settings=settings), step, name)
        except TrainingError as error:
            found[name] = str(error)
            continue
        for _ in range(3):
            gradients(x, draw)
            optimizer.step()
            optimizer.zero_grad()
        found[name] = gathered(step)
    torch.save(found, f"{out}.{accelerator.process_index}")
    accelerator.wait_for_everyone()
    accelerator.end_training()


if __name__ == "__main__":
    main()
