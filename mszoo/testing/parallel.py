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

from mszoo.discovery import registry
from mszoo.heads import EnergyHead, Head
from mszoo.model import MultiScaleModel
from mszoo.objectives import Objective
from mszoo.randomness import Draw
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
        named = [
            line.partition("contract broken: ")[2] for line in done.stderr.splitlines() if "contract broken: " in line
        ]
        lines = named or [line for line in done.stderr.splitlines() if "Error" in line] or ["the processes failed"]
        raise ContractError(lines[0])


def main() -> None:
    """One of the two processes."""
    subject = Subject(*json.loads(sys.argv[1]))
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    head = _head(subject)
    side = max(16, head.conditioner.unit)
    x = torch.rand(4, 1, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    step = _step(subject, head, x)
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


def _head(subject: Subject) -> Head:
    """The subject's head, or one that reads it."""
    if subject.kind != "conditioner":
        return subject.make_head()
    network, head = subject.make(1, 0), dict(subject.head or {"name": "denoiser"})
    if network.takes_t and network.features is None:
        head = {"name": "score"}
    return registry().create("head", head.pop("name"), network, **head)


def _step(subject: Subject, head: Head, x: Tensor) -> Step:
    """The head as a model of one scale, with an objective that it can be trained with."""
    head.fit([(x.float(), None)])
    if subject.kind == "objective":
        objective = subject.make()
    else:
        name = "dual_score_matching" if isinstance(head, EnergyHead) else "score_matching"
        objective = registry().create("objective", name, noise={"psnr": [30, 0]})
    assert isinstance(objective, Objective)
    step = Step(MultiScaleModel(1, head), [objective]).double()
    shake(step)
    return step


def _gradients(step: Step) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in step.named_parameters() if p.grad is not None}


if __name__ == "__main__":
    try:
        main()
    except ContractError as error:
        sys.exit(f"contract broken: {error}")
