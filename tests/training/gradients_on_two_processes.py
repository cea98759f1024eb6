"""Run by ``accelerate launch`` from test_gradients.py: each process takes its share of a batch, the first writes.

    gradients_on_two_processes.py OUT compiled|eager HEAD

OUT gets this process's gradients before the optimizer's step, in OUT.<rank>.
"""

from __future__ import annotations

import sys

import torch
from accelerate import Accelerator

from mszoo.randomness import Draw
from mszoo.training.gradients import CompiledGradients, EagerGradients
from tests.training.test_gradients import make


def main() -> None:
    out, way, head = sys.argv[1:]
    accelerator = Accelerator(cpu=True)
    step = make(head).double()
    wrapped = accelerator.prepare(step)
    gradients = CompiledGradients(accelerator, step) if way == "compiled" else EagerGradients(accelerator, wrapped)
    x, rank, share = (
        torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
        accelerator.process_index,
        4 // accelerator.num_processes,
    )
    rows = list(range(rank * share, (rank + 1) * share))
    gradients(x[rows], Draw(0, 0, rows))
    found = {name: p.grad for name, p in step.named_parameters() if p.grad is not None}
    torch.save({"processes": accelerator.num_processes, "gradients": found}, f"{out}.{rank}")
    accelerator.wait_for_everyone()
    accelerator.end_training()


if __name__ == "__main__":
    main()
