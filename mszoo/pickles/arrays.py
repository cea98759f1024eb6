"""Pickled NumPy arrays of numbers: bytes, a shape and a type."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from mszoo.errors import DataError
from mszoo.pickles.machine import PLAIN, Builders, Contents, Machine, MalformedError, Refused, Stream, open_file

__all__ = ["read_arrays"]

_NUMBER = re.compile(r"[<>|=]?[biufc]\d{1,2}\Z")
_ORDERS = ("<", ">", "|", "=")


def read_arrays(path: Path) -> Contents:
    """A pickle of arrays and plain values. Texts of Python 2 are taken as Latin-1.

    Raises:
        DataError: no such file, or it is damaged or no pickle; the file is named.
    """
    try:
        with open_file(path) as file:
            machine = Machine(Stream(file, path.stat().st_size), _BUILDERS, set_state=_set_state)
            return Contents(machine.load(), machine.refused)
    except FileNotFoundError:
        raise DataError(f"no such file: {path}") from None
    except Exception as error:  # a damaged file raises anything
        raise DataError(f"{path} is no pickled batch of arrays: {error or type(error).__name__}") from None


class _Type(Refused):
    """An array's type, whose order of bytes comes later as its state."""

    def __init__(self, code: str) -> None:
        super().__init__(f"numpy.dtype {code}")
        self.dtype = np.dtype(code)


def _type(code: Any, *_: Any) -> Any:
    return _Type(code) if isinstance(code, str) and _NUMBER.match(code) else NotImplemented


def _empty(*_: Any) -> np.ndarray:
    """An array that waits for its state."""
    return np.zeros(0, np.int8)


def _filled(data: Any, dtype: Any, shape: Any, order: str = "C") -> Any:
    """What protocol 5 calls."""
    if not isinstance(dtype, _Type):
        return NotImplemented
    _check(shape, dtype, data)
    if order not in ("C", "F"):
        raise MalformedError(f"an array has the order {order!r}")
    return np.frombuffer(data, dtype.dtype).reshape(shape, order=order)  # type: ignore[call-overload]


def _scalar(dtype: Any, data: Any = None) -> Any:
    if not isinstance(dtype, _Type):
        return NotImplemented
    data = data.encode("latin-1") if isinstance(data, str) else data
    _check((), dtype, data)
    return np.frombuffer(data, dtype.dtype)[0].item()


def _check(shape: Any, dtype: _Type, data: Any) -> None:
    if not isinstance(shape, tuple) or len(shape) > 16 or not all(type(n) is int and n >= 0 for n in shape):
        raise MalformedError("an array has no shape")
    if not isinstance(data, (bytes, bytearray)) or len(data) != math.prod(shape) * dtype.dtype.itemsize:
        raise MalformedError(f"an array of shape {shape} has other than its bytes")


def _set_state(target: Any, state: Any) -> None:
    if not isinstance(target, (_Type, np.ndarray)):
        return
    if not isinstance(state, tuple) or len(state) < 5:
        raise MalformedError("an array, or its type, has no state")
    if isinstance(target, _Type):
        if state[1] not in _ORDERS or any(part is not None for part in state[2:5]):
            raise MalformedError("an array's type has parts")
        target.dtype = target.dtype.newbyteorder(state[1])
        return
    _, shape, dtype, columns_first, data = state
    if isinstance(dtype, Refused) and not isinstance(dtype, _Type):
        return  # an array of objects, of which the caller learns the name of the type
    if not isinstance(dtype, _Type):
        raise MalformedError("an array has no type")
    data = data.encode("latin-1") if isinstance(data, str) else data
    _check(shape, dtype, data)
    target.__setstate__((1, shape, dtype.dtype, bool(columns_first), bytes(data)))  # type: ignore[arg-type]


_BUILDERS: Builders = {
    **PLAIN,
    ("numpy", "dtype"): _type,
    ("numpy", "ndarray"): lambda *_: NotImplemented,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _empty for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _filled for core in ("core", "_core")},
}
