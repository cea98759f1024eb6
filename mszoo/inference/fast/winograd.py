"""Chains of 3 x 3 and 1 x 1 convolutions on a CPU, by Winograd's minimal filtering in compiled C.

PyTorch's 3 x 3 convolutions run at the processor's peak, so to be faster means to multiply less: ``winograd.c`` does
with a quarter of the products, and has no pass over memory for the rectifiers and the 1 x 1 layers. Without the
compiled library, on other devices, in other dtypes and for derivatives, PyTorch's convolutions compute the same.

The operator ``mszoo::convolve`` is registered at the dispatcher's own keys, for each level of derivatives and of
``vmap`` to be seen by itself (and ``torch.library.custom_op`` would import torch's compiler when it is first called).
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

from mszoo.devices import in_float64
from mszoo.inference.fast.library import Library

__all__ = ["Stage"]

_LANES, _COLUMNS = 8, 16  # as in winograd.c
_LIBRARY = Library()

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
        kernels = mixing = None
        if fit:
            wide = weights[0].shape[-1] == 3
            kernels = _transformed(weights[0]) if wide else None
            mixing = torch.stack([_panels(w.flatten(1)) for w in weights[wide:]]) if len(weights) > wide else None
        self.register_buffer("kernels", kernels)
        self.register_buffer("mixing", mixing)
        self.kernels: Tensor | None
        self.mixing: Tensor | None

    def forward(self, h: Tensor) -> Tensor:  # noqa: D102
        weights = list(self.weights)
        if (self.kernels is None and self.mixing is None) or h.device.type != "cpu" or h.dtype != torch.float32:
            return _torchs(h, weights, self.rectify)
        return torch.ops.mszoo.convolve(h, weights, self.kernels, self.mixing, self.rectify)


def _transformed(kernel: Tensor) -> Tensor:
    """G g G^T for each pair of channels, as panels: (36, outputs / 16, inputs, 16)."""
    g = exact = in_float64(kernel.detach())
    g = torch.tensor(_G).to(exact) / 24
    transformed = torch.einsum("ap,bq,oipq->aboi", g, g, exact)
    return torch.stack([_panels(matrix) for matrix in transformed.flatten(0, 1)]).to(kernel)


def _panels(matrix: Tensor) -> Tensor:
    """(outputs, inputs) to (outputs / 16, inputs, 16): what a product reads at once lies side by side."""
    return matrix.detach().unflatten(0, (-1, _COLUMNS)).transpose(1, 2).contiguous()


def _torchs(x: Tensor, weights: Sequence[Tensor], rectify: bool) -> Tensor:
    """By PyTorch's convolutions."""
    for weight in weights:
        x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        x = x.relu_() if rectify else x
    return x


def _on_cpu(x: Tensor, weights: list[Tensor], kernels: Tensor | None, mixing: Tensor | None, rectify: bool) -> Tensor:
    x = x.contiguous(memory_format=torch.channels_last)
    images, inputs, height, width = x.shape
    library = _LIBRARY.functions(work=images * height * width * sum(weight.numel() for weight in weights))
    if library is None:
        return _torchs(x, weights, rectify).contiguous(memory_format=torch.channels_last)
    # module.to(memory_format=channels_last) changes kernels too, which are no images.
    kernels, mixing = (None if tensor is None else tensor.contiguous() for tensor in (kernels, mixing))
    y, layers = _shaped(x, weights, kernels, mixing, rectify), 0 if mixing is None else len(mixing)
    rest = (layers, rectify, torch.get_num_threads())
    if kernels is None:
        failed = library.mszoo_mix(_at(x), _at(y), images * height * width, inputs, _at(mixing), *rest)
    else:
        failed = library.mszoo_convolve(
            _at(x), _at(y), images, height, width, inputs, y.shape[1], _at(kernels), _at(mixing), *rest
        )
    if failed:
        raise MemoryError(f"no memory for a convolution of images of {height}x{width} pixels")
    return y


def _shaped(x: Tensor, weights: list[Tensor], kernels: Tensor | None, mixing: Tensor | None, rectify: bool) -> Tensor:
    """What the operator returns, without its values: channels last."""
    return x.new_empty(x.shape[0], *x.shape[2:], weights[-1].shape[0]).permute(0, 3, 1, 2)


def _differentiable(x: Tensor, weights: list[Tensor], *others: Any) -> Tensor:
    """PyTorch's convolutions where a derivative is asked for, backward or forward, at this level."""
    tensors = (x, *weights)
    backward = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    if backward or any(forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors):
        return _torchs(x, weights, others[-1])
    with torch._C._AutoDispatchBelowAutograd():
        return torch.ops.mszoo.convolve(x, weights, *others)


def _over_a_batch(info: Any, at: tuple[Any, ...], x: Tensor, weights: list[Tensor], *others: Any) -> tuple[Tensor, int]:
    """The rule of ``vmap``: what is mapped over are more images."""
    if at[0] is None or any(place is not None for places in at[1:] for place in _listed(places)):
        raise NotImplementedError("mszoo::convolve maps over images, not over the weights of a fast model")
    x = x.movedim(at[0], 0)
    return torch.ops.mszoo.convolve(x.flatten(0, 1), weights, *others).unflatten(0, x.shape[:2]), 0


def _listed(places: Any) -> list[Any]:
    return list(places) if isinstance(places, list | tuple) else [places]


def _at(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


_OPERATORS = torch.library.Library("mszoo", "FRAGMENT")
_OPERATORS.define(
    "convolve(Tensor x, Tensor[] weights, Tensor? kernels, Tensor? mixing, bool rectify) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)
_OPERATORS.impl("convolve", _on_cpu, "CPU")
_OPERATORS.impl("convolve", _shaped, "Meta")
_OPERATORS.impl("convolve", _differentiable, "Autograd")
torch.library.register_vmap("mszoo::convolve", _over_a_batch, lib=_OPERATORS)
