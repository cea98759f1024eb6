"""Read a model from a checkpoint folder. The folder may be a stranger's: nothing in it is run, all of it is checked.

What a configuration asks for is built without memory first, and held against the tensors that are really there.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pydantic
import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.overrides import TorchFunctionMode

from mszoo.checkpoint import folder as checkpoint
from mszoo.checkpoint.claims import check_claims
from mszoo.devices import choose_device
from mszoo.errors import CheckpointError, MszooError, OptionsError
from mszoo.heads.normalization import Constant
from mszoo.model import MultiScaleModel
from mszoo.recipe.schema import ModelConfig

__all__ = ["difference", "expected_shapes", "outline", "read_model"]

_CONSTANTS = pydantic.TypeAdapter(Annotated[list[Constant], pydantic.Field(max_length=1000), pydantic.FailFast()])
_Variance = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]
_LARGEST = pydantic.TypeAdapter(_Variance | list[_Variance])  # of all scales, in older checkpoints, or of each
_SIZE = pydantic.TypeAdapter(tuple[pydantic.PositiveInt, pydantic.PositiveInt] | None)
_MOST_TENSORS = 5000  # of a model: without memory, a thousand take about a second to build
_LONGEST = 2000  # characters of a message, which quotes what a stranger wrote


class _TooLargeError(RuntimeError):
    """The model is too large. Not an :class:`MszooError`, which would be reported as a fault of one part."""


def read_model(folder: str | Path, device: str | torch.device = "cpu") -> MultiScaleModel:
    """Read a checkpoint folder, in eval mode.

    Raises:
        CheckpointError: it is not whole, or its files do not fit together; the message names the file.
        UnsupportedError: no such device on this machine.
    """
    device, folder = choose_device(device), Path(folder)
    config, shapes = checkpoint.read_config(folder), checkpoint.read_shapes(folder)
    try:
        check_claims(config.get("components", []))
        constants = _CONSTANTS.validate_python(config.get("constants", []))
        largest_t = _LARGEST.validate_python(config.get("largest_t", 1e3))
        trained_size = _SIZE.validate_python(config.get("trained_size"))
        # A part may build tensors that it does not keep, but not many times those it keeps.
        expected = expected_shapes(config["model"], most=min(2 * len(shapes) + 200, _MOST_TENSORS))
    except pydantic.ValidationError as error:
        fault = error.errors()[0]["msg"]
        raise CheckpointError(f"{folder}: the constants in its {checkpoint.CONFIG} are malformed: {fault}") from None
    except MszooError as error:
        raise CheckpointError(f"{folder}: its {checkpoint.CONFIG} cannot be built: {_short(error)}") from None
    try:
        if expected is not None and expected != shapes:
            raise RuntimeError(difference(expected, shapes))
        build = MultiScaleModel.from_config if expected is not None else _bounded(shapes)
        model = build(config["model"])
        tensors = checkpoint.read_tensors(folder)
        _check_numbers(model, tensors)
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(
            f"{folder}: weights and {checkpoint.CONFIG} do not match: {_short(error)}"
        ) from error.__cause__
    model.eval().constants.update((c.size, c) for c in constants)
    each = largest_t if isinstance(largest_t, list) else [largest_t] * len(model.scales)
    model.largest_t = [float(t) for t in each]
    if len(model.largest_t) != len(model.scales):
        fault = f"largest_t has {len(model.largest_t)} numbers for {len(model.scales)} scales"
        raise CheckpointError(f"{folder}: the constants in its {checkpoint.CONFIG} are malformed: {fault}")
    model.trained_size = trained_size
    model.folder = folder
    return model.to(device, torch.float32).eval()  # whatever a caller's default floating-point type is


def expected_shapes(config: dict[str, Any], most: int = _MOST_TENSORS) -> dict[str, tuple[int, ...]] | None:
    """Names and shapes of the tensors of a configured model; see :func:`outline`, also for when there are none.

    Args:
        config: the ``model`` part of a recipe.
        most: tensors that may be built.
    """
    model = outline(config, most)
    return None if model is None else {name: tuple(t.shape) for name, t in model.state_dict().items()}


def outline(config: ModelConfig | dict[str, Any], most: int = _MOST_TENSORS) -> MultiScaleModel | None:
    """A configured model whose tensors have shapes and no memory: they are on torch's meta device.

    None if a part (a plugin's) computes with values while it is built: such a part cannot be built without memory.

    Args:
        config: the ``model`` part of a recipe.
        most: tensors that may be built.

    Raises:
        OptionsError: unknown parts or options, parts that do not fit, or too many tensors.
    """
    try:
        with torch.device("meta"), _WithoutDraws(), _at_most(most):
            return MultiScaleModel.from_config(config)
    except _TooLargeError as error:
        raise OptionsError("model", [((), str(error))]) from None
    except MszooError:
        raise
    except Exception:  # whatever a part does with values that are not there
        return None


class _WithoutDraws(TorchFunctionMode):
    """Initial weights are not drawn where tensors have no memory.

    To draw nothing torch takes long: on the device ``meta`` a draw, like most arithmetic, is done by ``torch._refs``,
    whose first call imports torch's compiler. An initializer that looks for modes is met by its own name here, with
    the tensor by keyword.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.normal_, Tensor.uniform_) or getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def _bounded(shapes: Mapping[str, tuple[int, ...]]) -> Callable[[dict[str, Any]], MultiScaleModel]:
    """Builds a model that cannot be built without memory, in little more memory than the file's tensors take."""

    def build(config: dict[str, Any]) -> MultiScaleModel:
        try:
            with _at_most(_MOST_TENSORS, 2 * sum(map(math.prod, shapes.values())) + 2**24):
                return MultiScaleModel.from_config(config)
        except (MszooError, RuntimeError):
            raise
        except Exception as error:  # of a plugin's constructor, with options that a stranger chose
            raise RuntimeError(f"it cannot be built: {type(error).__name__}: {error}") from error

    return build


@contextmanager
def _at_most(tensors: int, elements: float = math.inf) -> Iterator[None]:
    """Stop this thread from building more parameters and buffers, before values are written to them."""
    thread, numbers = threading.get_ident(), [0, 0]

    def count(_: nn.Module, name: str, tensor: Tensor | None) -> None:
        if tensor is None or threading.get_ident() != thread:
            return
        numbers[0] += 1
        numbers[1] += tensor.numel()
        if numbers[0] > tensors:
            raise _TooLargeError(f"it has more than {tensors} tensors, too many for this file (at {name})")
        if numbers[1] > elements:
            raise _TooLargeError(f"its tensors are far larger than those of the file (at {name})")

    handles = [register_module_parameter_registration_hook(count), register_module_buffer_registration_hook(count)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _check_numbers(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Raise ``RuntimeError`` for integers where the model has fractions (or the reverse), and for NaN and infinity."""
    for name, own in model.state_dict().items():
        found = tensors.get(name)
        if found is None:  # load_state_dict tells
            continue
        if found.is_floating_point() != own.is_floating_point() or found.is_complex():
            raise RuntimeError(f"{name} is of {found.dtype}, where the model has {own.dtype}")
        if not bool(found.isfinite().all()):
            raise RuntimeError(f"{name} is not finite: its training diverged, or the file is damaged")


def _short(error: Exception) -> str:
    text = str(error)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def difference(expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> str:
    """The first few tensors that are missing, unknown or of another shape, and how many more."""
    faults = [f"{name} is missing" for name in expected if name not in found]
    faults += [f"{name} is not of this model" for name in found if name not in expected]
    faults += [
        f"{name} should be {tuple(shape)}, is {found[name]}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
    return ", ".join(faults[:3]) + more
