"""Weights that are divided among the processes: each keeps a part of every tensor, its gradient, moments and average.

PyTorch's ``fully_shard`` divides them, where ``accelerate launch --use_fsdp`` asks for it. Accelerate itself does so on
GPUs alone, and elsewhere ignores it silently.

The step is divided as one group: its weights are whole while its forward and its backward pass are computed. So parts
of a model need not know of it, and the derivative that makes a score of an energy is taken of whole weights.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, parse_flag_from_env
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.optim import Optimizer

from mszoo.errors import TrainingError
from mszoo.recipe import TrainingConfig
from mszoo.training.step import Step

__all__ = ["check_division", "divide", "divide_optimizer", "divides", "hidden", "part", "whole", "whole_step"]

_ASKED = "ACCELERATE_USE_FSDP"
# What else the launcher may ask for, and what would not be done.
_MORE = {
    "FSDP_OFFLOAD_PARAMS": "--fsdp_offload_params",
    "FSDP_ACTIVATION_CHECKPOINTING": "--fsdp_activation_checkpointing",
}


def divides(accelerator: Accelerator) -> bool:
    """Whether the launcher asks for divided weights, and there are processes to divide them among."""
    return parse_flag_from_env(_ASKED) and accelerator.num_processes > 1


def check_division(settings: TrainingConfig) -> None:
    """Raise :class:`TrainingError` if the launcher asks for divided weights, and these settings need whole ones."""
    if not parse_flag_from_env(_ASKED):
        return
    for variable, option in _MORE.items():
        if parse_flag_from_env(variable):
            raise TrainingError(f"--use_fsdp divides the weights and does no more: leave {option} out")
    if settings.compile:
        raise TrainingError(
            "a compiled step is a function of whole weights, and --use_fsdp divides them: training.compile=false, or "
            "accelerate launch --multi_gpu"
        )
    if settings.precision == "fp16":
        raise TrainingError(
            "the scaling of the loss for fp16 is not supported with divided weights (--use_fsdp): "
            "training.precision=bf16, or accelerate launch --multi_gpu"
        )


@contextmanager
def hidden() -> Iterator[None]:
    """Keep Accelerate from seeing that weights are to be divided: it would divide them too, or say nothing."""
    before = os.environ.pop(_ASKED, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[_ASKED] = before


def divide(step: Step, accelerator: Accelerator) -> nn.Module:
    """Divide the weights of a step, whose parameters become this process's parts of them.

    The step itself can no longer be called; :func:`whole_step` gives one that can. State dicts are of whole weights, as
    without division: all processes ask for them together.

    Args:
        step: the same on every process.
        accelerator: whose processes.

    Returns:
        What is called in its place, by all processes together; it has the same parameters and buffers.

    Raises:
        TrainingError: a parameter that is a single number.
    """
    for name, p in step.named_parameters():
        if p.ndim == 0:
            raise TrainingError(
                f"{name} is a single number, which cannot be divided (--use_fsdp): give it the shape (1,), or start "
                f"with accelerate launch --multi_gpu"
            )
    step.to(accelerator.device, memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    for t in (*step.parameters(), *step.buffers()):
        broadcast(t.data)
    called = copy.deepcopy(step)
    fully_shard(called, mesh=init_device_mesh(accelerator.device.type, (accelerator.num_processes,)))
    for plain, twin in zip(step.modules(), called.modules(), strict=True):
        plain._buffers = twin._buffers
        for name, p in twin.named_parameters(recurse=False):
            setattr(plain, name, p)
    for module in (step, called):
        module.register_state_dict_post_hook(_gather)
        module.register_load_state_dict_pre_hook(_take_parts)
    return accelerator.prepare_model(called, device_placement=False, evaluation_mode=True)  # evaluation: without DDP


def divide_optimizer(make: Callable[[nn.Module], Optimizer], step: Step, name: str) -> Optimizer:
    """An optimizer of divided weights, after it has been tried; its state dicts are whole, as those of a step are.

    Args:
        make: gives the optimizer of a module.
        step: that was divided.
        name: the optimizer's, for messages.

    Raises:
        TrainingError: it steps otherwise than with whole weights, or cannot step, or go on from a state.
    """
    like = next(p for p in step.parameters() if isinstance(p, DTensor))
    expected = _tried(make, None, like.device)
    try:
        torch.testing.assert_close(_tried(make, like.device_mesh, like.device), expected, rtol=1e-4, atol=1e-5)
    except Exception as error:  # DTensor's, of an operation that it does not have; or another result
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise TrainingError(
            f"the optimizer {name} cannot step weights that are divided (--use_fsdp): {reason[0]}. Set "
            f"training.optimizer.name=adamw, or start with accelerate launch --multi_gpu"
        ) from None
    return _with_whole_states(make(step))


def whole(t: Tensor) -> Tensor:
    """A tensor whose parts the processes have, which call this together; one that is whole as it is."""
    return t.full_tensor().clone() if isinstance(t, DTensor) else t  # gathered, it is a view of what was padded


def part(t: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor that is the same on all, if ``like`` is such a part; else all of it."""
    if not isinstance(like, DTensor):
        return t
    return distribute_tensor(t.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def whole_step(step: Step) -> Step:
    """A copy of a divided step that can be called, made by all processes together; the step itself if it is whole."""
    if not any(isinstance(p, DTensor) for p in step.parameters()):
        return step
    wholes = {id(p): nn.Parameter(whole(p.detach()), p.requires_grad) for p in step.parameters()}
    return copy.deepcopy(step, wholes)  # a copy of a parameter is what the memo has for it


def _gather(module: nn.Module, state: dict[str, Any], *_: Any) -> None:
    state.update({name: whole(t.detach()).cpu() for name, t in state.items() if isinstance(t, DTensor)})


def _take_parts(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    own = {prefix + name: p for name, p in module.named_parameters() if prefix + name in state}
    state.update({name: part(state[name], p) for name, p in own.items()})


def _with_whole_states(optimizer: Optimizer) -> Optimizer:
    def gather(_: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        def gathered(value: Any) -> Any:
            return whole(value).cpu() if isinstance(value, DTensor) else value

        return {**state, "state": {i: {k: gathered(v) for k, v in of.items()} for i, of in state["state"].items()}}

    def take_parts(_: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        def taken(value: Any, p: Tensor) -> Any:
            return part(value, p) if isinstance(value, Tensor) and value.shape == p.shape else value

        own = dict(enumerate(p for group in optimizer.param_groups for p in group["params"]))
        return {**state, "state": {i: {k: taken(v, own[i]) for k, v in of.items()} for i, of in state["state"].items()}}

    optimizer.register_state_dict_post_hook(gather)
    optimizer.register_load_state_dict_pre_hook(take_parts)
    return optimizer


def _tried(make: Callable[[nn.Module], Optimizer], mesh: Any, device: torch.device) -> tuple[list[Tensor], Any]:
    """A few weights after two steps with a resumption in between, and the optimizer's state; None: undivided."""

    def numbers(*shape: int) -> Tensor:
        t = torch.linspace(-1, 1, torch.Size(shape).numel(), device=device).reshape(shape).sin()
        return t if mesh is None else distribute_tensor(t, mesh, [Shard(0)], src_data_rank=None)

    module = nn.ParameterList([nn.Parameter(numbers(6, 5, 3, 3)), nn.Parameter(numbers(7))])
    optimizer = _with_whole_states(make(module))
    for k in range(2):
        for p in module:
            p.grad = numbers(*p.shape).cos() * (k + 1)
        optimizer.step()
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return [whole(p.detach()) for p in module], optimizer.state_dict()["state"]
