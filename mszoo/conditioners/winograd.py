"""Chains of 3 x 3 and 1 x 1 convolutions on a CPU, by Winograd's minimal filtering in compiled C.

PyTorch's 3 x 3 convolutions run at the processor's peak, so to be faster means to multiply less: ``winograd.c`` does
with a quarter of the products, and has no pass over memory for the rectifiers and the 1 x 1 layers. It is compiled
for this processor, in a second, when a process first makes a stage. Where there is no C compiler, on other devices, in
other dtypes and for derivatives, PyTorch's convolutions compute the same.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Stage"]

_LANES, _COLUMNS = 8, 16  # as in winograd.c

# The transform G of a kernel for F(4 x 4, 3 x 3), points 0, 1, -1, 2, -2 and infinity (Lavin & Gray, CVPR 2016).
_G = ((6, 0, 0), (-4, -4, -4), (-4, 4, -4), (1, 2, 4), (1, -2, 4), (0, 0, 24))


class Stage(nn.Module):
    """A 3 x 3 convolution with zeros around the image, and 1 x 1 ones after it; for inference.

    Args:
        weights: kernels (outputs, inputs, height, width) in their order, at least one; only the first may be 3 x 3, the
            others are square. They are copied, and need no gradient.
        rectify: whether a rectifier follows each.

    Shape:
        (B, inputs, H, W) to (B, outputs, H, W).
    """

    def __init__(self, weights: Sequence[Tensor], rectify: bool = True) -> None:
        super().__init__()
        self.rectify = rectify
        self.weights = nn.ParameterList(
            nn.Parameter(w.detach().to(memory_format=torch.channels_last, copy=True), requires_grad=False)
            for w in weights
        )
        fit = all(w.dtype == torch.float32 and w.shape[0] % _COLUMNS == 0 and w.shape[1] % _LANES == 0 for w in weights)
        self._compiled = fit and _library() is not None
        kernels = mixing = None
        if self._compiled:
            wide = weights[0].shape[-1] == 3
            kernels = _transformed(weights[0]) if wide else None
            mixing = torch.stack([_panels(w.flatten(1)) for w in weights[wide:]]) if len(weights) > wide else None
        self.register_buffer("kernels", kernels)
        self.register_buffer("mixing", mixing)
        self.kernels: Tensor | None
        self.mixing: Tensor | None

    def forward(self, h: Tensor) -> Tensor:  # noqa: D102
        if self._compiled and h.device.type == "cpu" and h.dtype == torch.float32 and not h.requires_grad:
            return _convolve(h, self.kernels, self.mixing, self.rectify)
        for weight in self.weights:
            h = F.conv2d(h, weight, padding=weight.shape[-1] // 2)
            h = h.relu_() if self.rectify else h
        return h


def _transformed(kernel: Tensor) -> Tensor:
    """G g G^T for each pair of channels, as panels: (36, outputs / 16, inputs, 16)."""
    g = torch.tensor(_G, dtype=torch.float64, device=kernel.device) / 24
    transformed = torch.einsum("ap,bq,oipq->aboi", g, g, kernel.detach().double())
    return torch.stack([_panels(matrix) for matrix in transformed.flatten(0, 1)]).to(kernel.dtype)


def _panels(matrix: Tensor) -> Tensor:
    """(outputs, inputs) to (outputs / 16, inputs, 16): what a product reads at once lies side by side."""
    return matrix.detach().unflatten(0, (-1, _COLUMNS)).transpose(1, 2).contiguous()


@torch.library.custom_op(
    "mszoo::convolve", mutates_args=(), schema="(Tensor x, Tensor? kernels, Tensor? mixing, bool rectify) -> Tensor"
)
def _convolve(x: Tensor, kernels: Tensor | None, mixing: Tensor | None, rectify: bool) -> Tensor:
    library = _library()
    assert library is not None
    x = x.contiguous(memory_format=torch.channels_last)
    # A module may have been told to have its channels last: these are no images.
    kernels, mixing = (None if weights is None else weights.contiguous() for weights in (kernels, mixing))
    threads, layers = torch.get_num_threads(), 0 if mixing is None else len(mixing)
    if kernels is None:
        assert mixing is not None
        y = torch.empty_like(x)
        pixels = y.shape[0] * y.shape[2] * y.shape[3]
        failed = library.mszoo_mix(_at(x), _at(y), pixels, y.shape[1], _at(mixing), layers, rectify, threads)
    else:
        (images, inputs, height, width), outputs = x.shape, kernels.shape[1] * _COLUMNS
        y = x.new_empty(images, height, width, outputs).permute(0, 3, 1, 2)
        failed = library.mszoo_convolve(
            _at(x), _at(y), images, height, width, inputs, outputs, _at(kernels), _at(mixing), layers, rectify, threads
        )
    if failed:
        raise MemoryError(f"no memory for a convolution of images of {x.shape[2]}x{x.shape[3]} pixels")
    return y


@_convolve.register_fake
def _(x: Tensor, kernels: Tensor | None, mixing: Tensor | None, rectify: bool) -> Tensor:
    outputs = x.shape[1] if kernels is None else kernels.shape[1] * _COLUMNS
    return x.new_empty(x.shape[0], *x.shape[2:], outputs).permute(0, 3, 1, 2)


def _at(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL | None:
    """``winograd.c`` compiled for this processor; None without a C compiler (``CC``, or ``cc``)."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if not compiler or shutil.which(compiler[0]) is None:
        return None
    source = Path(__file__).with_name("winograd.c")
    # Elsewhere the compiler's threads are not PyTorch's: two sets of them would stand in each other's way.
    threads = ["-fopenmp"] if sys.platform == "linux" else ["-Wno-unknown-pragmas"]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "winograd.so"
        flags = ["-O3", "-march=native", "-ffp-contract=fast", "-fPIC", "-shared", *threads, "-o", str(target)]
        done = subprocess.run([*compiler, *flags, str(source)], capture_output=True, text=True)
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["no reason given"])[0]
            warnings.warn(f"{compiler[0]} cannot compile {source}, so convolutions stay slower: {why}", stacklevel=2)
            return None
        library = ctypes.CDLL(str(target))
    pointer, number, long = ctypes.c_void_p, ctypes.c_int, ctypes.c_long
    library.mszoo_mix.argtypes = [pointer, pointer, long, number, pointer, number, number, number]
    library.mszoo_convolve.argtypes = [
        *(pointer, pointer, long, number, number, number, number), *(pointer, pointer, number, number, number)
    ]  # fmt: skip
    return library
