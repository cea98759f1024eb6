"""Checks of arguments, made before any work is done."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from mszoo.errors import OptionsError, UnsupportedError

__all__ = ["check_whole", "without_derivative"]

P = ParamSpec("P")
T = TypeVar("T")


def check_whole(owner: str, **numbers: object) -> None:
    """Raise :class:`OptionsError`, naming function and argument, unless all are integers of 1 or more."""
    for name, number in numbers.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise OptionsError(owner, [((name,), f"should be a whole number, 1 or more, got {number!r}")])


def without_derivative(argument: str, instead: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function that has no derivative: it raises an error where one is asked for.

    Under ``no_grad`` alone a derivative would be missing from a sum, or 0 under :func:`torch.func.grad`, with no word.

    Args:
        argument: name of the tensor that somebody might differentiate in.
        instead: what to use for a derivative.

    Raises:
        UnsupportedError: when the function is called with a tensor that requires a gradient where they are enabled.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def run(*given: P.args, **options: P.kwargs) -> T:
            value = signature.bind(*given, **options).arguments[argument]
            if isinstance(value, Tensor) and value.requires_grad and torch.is_grad_enabled():
                raise UnsupportedError(
                    f"{function.__name__} has no derivative in {argument}: give it {argument}.detach(), or {instead}"
                )
            with torch.no_grad():
                return function(*given, **options)

        return run

    return decorate
