"""PyTorch's files: the zip archive that ``torch.save`` writes, and the stream of pickles of before version 1.6.

Both hold a pickle in which tensors refer to *storages*, blocks of numbers that stand beside it. A TorchScript archive
is a zip file, too, but holds a program: it is refused.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mszoo.errors import CheckpointError
from mszoo.pickles.machine import PLAIN, Builders, Contents, Machine, MalformedError, Refused, Stream, open_file

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["read_tensors"]

_ZIP = b"PK\x03\x04"
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of the old format
_MOST_DIMENSIONS = 32
_DTYPES = {  # of the classes of storages
    **{"FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16"},
    **{"LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8"},
    **{"ByteStorage": "uint8", "BoolStorage": "bool"},
    **{"ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128"},
}


def read_tensors(path: Path) -> Contents:
    """Tensors and plain values of a file that ``torch.save`` wrote, on the CPU; nothing of it is run.

    Raises:
        CheckpointError: no such file, or it is damaged, holds a program, or is none of PyTorch's; the file is named.
    """
    try:
        size = path.stat().st_size
        with open_file(path) as file:
            head = file.read(len(_ZIP))
            file.seek(0)
            contents = _read_archive(file, size) if head == _ZIP else _read_stream(Stream(file, size), size)
    except FileNotFoundError:
        raise CheckpointError(f"no such file: {path}") from None
    except Exception as error:  # a damaged file raises anything
        said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is no PyTorch state dict, or checkpoint of tensors: {said}") from None
    return contents


def _read_archive(file: IO[bytes], size: int) -> Contents:
    with zipfile.ZipFile(file) as archive:
        names = {name.partition("/")[2] for name in archive.namelist()}
        if any(name in ("constants.pkl", "model.json") or name.startswith("code/") for name in names):
            raise MalformedError(
                "it is a TorchScript archive, a program; load it where you trust it, and save its state_dict()"
            )
        members = _members(archive)
        if "data.pkl" not in members:
            raise MalformedError("it is a zip file without data.pkl")
        if "byteorder" in members and archive.read(members["byteorder"]) != b"little":
            raise MalformedError("its numbers are big-endian")
        storages = _Storages(size)
        data = archive.read(members["data.pkl"])
        machine = Machine(Stream(io.BytesIO(data), len(data)), _builders(storages), storages.find)
        storages.refuse = machine.refuse
        value = machine.load()
        for key, numbers in storages.numbers.items():
            member = members.get(f"data/{key}")
            if member is None or member.file_size != numbers.nbytes:
                raise MalformedError(f"storage {key[:20]!r} is missing, or of another size")
            _fill(numbers, archive.read(member))
    return Contents(value, machine.refused)


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """By their names inside the archive's one folder. PyTorch compresses none, so their sizes are bounded."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.partition("/")[2]
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise MalformedError(f"member {info.filename[:60]!r} is compressed, as PyTorch never writes one")
        if name in members:
            raise MalformedError(f"it has two members {name[:60]!r}")
        members[name] = info
    return members


def _read_stream(stream: Stream, size: int) -> Contents:
    storages = _Storages(size)
    machine = Machine(stream, _builders(storages), storages.find)
    storages.refuse = machine.refuse
    if machine.load() != _MAGIC or machine.load() != _PROTOCOL:
        raise MalformedError("it is a pickle of something else")
    system = machine.load()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise MalformedError("its numbers are big-endian")
    value, keys = machine.load(), machine.load()
    if not isinstance(keys, list) or sorted(keys) != sorted(storages.numbers):
        raise MalformedError("its list of storages is not that of its tensors")
    for key in keys:
        numbers = storages.numbers[key]
        count = int.from_bytes(stream.read(8), "little")
        if count != storages.counts[key]:
            raise MalformedError(f"storage {key[:20]!r} is of another size, or missing")
        _fill(numbers, stream.read(numbers.nbytes))
    return Contents(value, machine.refused)


class _Storages:
    """The storages that a file's tensors refer to; filled once the pickle is read.

    Args:
        size: of the file in bytes: neither storages nor tensors can be larger.
    """

    refuse: Any

    def __init__(self, size: int) -> None:
        self._size = size
        self._of_storages = self._of_tensors = 0  # bytes so far
        self._tensors: dict[Any, Tensor] = {}
        self.numbers: dict[str, Tensor] = {}  # as bytes
        self.counts: dict[str, int] = {}  # of numbers

    def find(self, identity: Any) -> Any:
        """The storage of a persistent id: ("storage", type, key, place, count), in old files also a view."""
        import torch

        if not isinstance(identity, tuple) or not identity or identity[0] != "storage":
            if isinstance(identity, tuple) and identity and identity[0] == "module":
                return self.refuse("a network with its source code")
            raise MalformedError("it refers to something that is no storage")
        kind, key, _, count, *view = identity[1:]
        if any(part is not None for part in view):
            raise MalformedError("a storage is a view of another, as only the oldest files have")
        name = kind.name.removeprefix("torch.") if isinstance(kind, Refused) else ""
        if name not in _DTYPES:
            return self.refuse(f"a storage of type {name}")
        if not isinstance(key, str) or type(count) is not int or count < 0:
            raise MalformedError("a storage has no key, or no size")
        dtype = getattr(torch, _DTYPES[name])
        nbytes = count * dtype.itemsize
        if key not in self.numbers:
            self._of_storages += nbytes
            if self._of_storages > self._size:
                raise MalformedError("its tensors are larger than the file")
            self.numbers[key] = torch.empty(nbytes, dtype=torch.uint8, device="cpu")
            self.counts[key] = count
        elif self.numbers[key].nbytes != nbytes:
            raise MalformedError(f"storage {key[:20]!r} has two sizes")
        return _Storage(key, dtype, count)

    def tensor(self, storage: Any, offset: Any, shape: Any, strides: Any, *more: Any) -> Any:
        """A view of a storage; ``more`` are gradient flag, hooks and metadata."""
        import torch

        if not isinstance(storage, _Storage):
            return NotImplemented
        if not isinstance(shape, tuple) or not isinstance(strides, tuple) or len(shape) != len(strides):
            raise MalformedError("a tensor's shape and strides do not belong together")
        if not all(type(n) is int and 0 <= n < 2**62 for n in (offset, *shape, *strides)):
            raise MalformedError("a tensor's shape, strides or offset are no sizes")
        count = math.prod(shape)
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if count else offset - 1
        if len(shape) > _MOST_DIMENSIONS or last >= storage.count:
            raise MalformedError("a tensor reaches past its storage")
        if any(more[2:]):  # metadata: a conjugate, or a negative
            return NotImplemented
        known = (storage.key, storage.dtype, offset, shape, strides)
        if known not in self._tensors:
            self._of_tensors += count * storage.dtype.itemsize
            if self._of_tensors > self._size:  # strides of 0, or shared storages
                raise MalformedError("its tensors are larger than the file")
            numbers = self.numbers[storage.key].untyped_storage()
            empty = torch.empty(0, dtype=storage.dtype, device="cpu")
            self._tensors[known] = empty.set_(numbers, offset, shape, strides)  # type: ignore[call-overload]
        return self._tensors[known]


class _Storage(Refused):
    """What a tensor of a pickle is a view of."""

    def __init__(self, key: str, dtype: Any, count: int) -> None:
        super().__init__(f"storage {key[:20]}")
        self.key, self.dtype, self.count = key, dtype, count


def _builders(storages: _Storages) -> Builders:
    return {
        **PLAIN,
        **{("torch", name): lambda *_: NotImplemented for name in _DTYPES},
        ("torch", "Size"): lambda sizes=(): tuple(sizes) if isinstance(sizes, (list, tuple)) else NotImplemented,
        ("torch._utils", "_rebuild_tensor"): storages.tensor,
        ("torch._utils", "_rebuild_tensor_v2"): storages.tensor,
        ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
        ("torch._utils", "_rebuild_parameter_with_state"): lambda data, *_: data,
    }


def _fill(numbers: Tensor, data: bytes) -> None:
    import numpy as np

    if len(data) != numbers.nbytes:
        raise MalformedError("it ends within a storage")
    numbers.numpy()[:] = np.frombuffer(data, np.uint8)
