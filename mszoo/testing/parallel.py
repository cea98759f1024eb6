"""Two processes on a CPU: the same weights on both, and the gradient of one process with the whole batch.

``python -m torch.distributed.run --standalone --nproc_per_node 2 -m mszoo.testing.parallel SUBJECT`` is one check.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from mszoo.hooks import registry
from mszoo.model import MultiScaleModel
from mszoo.objectives import Draw, Objective
from mszoo.testing.kit import ContractError, Subject, close, require, shake
from mszoo.training.step import Step

__all__ = ["same_on_two_processes"]

_WHERE = "data parallelism: one module, its whole loss inside one forward"


def same_on_two_processes(subject: Subject) -> None:
    """On two processes the gradients are those of one with the whole batch (batch-dependent ones: equal on both)."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, "-m", "mszoo.testing.parallel", subject.text()],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        told = [
            line.partition("contract broken: ")[2] for line in done.stderr.splitlines() if "contract broken: " in line
        ]
        lines = told or [line for line in done.stderr.splitlines() if "Error" in line] or ["the processes failed"]
        raise ContractError(lines[0])


def main() -> None:
    """One of the two processes."""
    subject = Subject(*json.loads(sys.argv[1]))
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    x = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    step = _step(subject, x)
    step(x, Draw(0, 0, [0, 1, 2, 3]))[0].backward()
    whole = _gradients(step)
    step.zero_grad()
    rows = [2 * rank, 2 * rank + 1]
    wrapped = DistributedDataParallel(step)  # it reduces for as long as it lives
    wrapped(x[rows], Draw(0, 0, rows))[0].backward()
    share = _gradients(step)
    for name, g in share.items():
        other = g.clone()
        torch.distributed.broadcast(other, 0)
        require(torch.equal(g, other), f"the gradients of {name} differ between the processes", _WHERE)
        if step.model.coarse.conditioner.batch_independent:
            require(close(g, whole[name], 1e-5), f"the gradient of {name} is not that of the whole batch", _WHERE)
    torch.distributed.destroy_process_group()


def _step(subject: Subject, x: Tensor) -> Step:
    """The subject in a model of one scale, with an objective that its head can be trained with."""
    if subject.kind == "conditioner":
        network = subject.make(1, 0)
        head = dict(subject.head or {"name": "denoiser"})
        if network.takes_t and network.features is None:
            head = {"name": "score"}
        made = registry().create("head", head.pop("name"), network, **head)
    else:
        made = subject.make_head()
    made.fit([(x, None)])
    if subject.kind == "objective":
        objective = subject.make()
    else:
        name = "dual_score_matching" if hasattr(made, "energy") else "score_matching"
        objective = registry().create("objective", name, noise={"psnr": [30, 0]})
    assert isinstance(objective, Objective)
    step = Step(MultiScaleModel(1, made), [objective]).double()
    shake(step)
    return step


def _gradients(step: Step) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in step.named_parameters() if p.grad is not None}


if __name__ == "__main__":
    try:
        main()
    except ContractError as error:
        sys.exit(f"contract broken: {error}")
