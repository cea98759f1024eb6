"""The device is chosen by itself, and on one without float64 (Apple's) nothing asks for it.

Such a device is imitated by torch's fake tensors, which have a device, a type and a shape, and no numbers.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import mszoo
from mszoo.devices import choose_device, in_float64
from mszoo.errors import UnsupportedError
from mszoo.evaluation import psnr
from mszoo.heads import EnergyHead
from mszoo.heads.normalization import normalization_constant
from mszoo.inference import Blur
from mszoo.inference.anscombe import Anscombe
from mszoo.inference.fast.winograd import Stage
from mszoo.inference.operators import _twiddle

WIDE = (torch.float64, torch.complex128)


class _WithoutFloat64(TorchDispatchMode):
    """Refuses every operation that gives a tensor of float64 anywhere but on the CPU."""

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        result = operation(*arguments, **(options or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.device.type != "cpu" and tensor.dtype in WIDE:
                raise TypeError(f"{operation} on {tensor.device}: it has no {tensor.dtype}")
        return result


@contextmanager
def apples() -> Iterator[None]:
    with FakeTensorMode(allow_non_fake_inputs=True), _WithoutFloat64():
        yield


def image() -> torch.Tensor:
    return torch.rand(2, 1, 16, 16, device="mps")


class _Square(EnergyHead):
    """The energy of white noise, with a weight on the device."""

    def __init__(self) -> None:
        options = {"norm": "none", "activation": "gelu", "noise_embedding": True}
        super().__init__(mszoo.create("conditioner", "bias_free_cnn", 1, 0, **options))
        self.weight = torch.nn.Parameter(torch.ones(1, device="mps"))

    def energy(self, y: torch.Tensor, t: torch.Tensor, cond: torch.Tensor | None = None) -> torch.Tensor:
        return self.weight * y.square().flatten(1).sum(1) / (2 * t)


USES: dict[str, Callable[[], object]] = {
    "blur": lambda: Blur.gaussian(1.0, (16, 16)).pseudo_inverse(image()),
    "cosine transform": lambda: _twiddle(16, image()),
    "photon noise": lambda: Anscombe(0.1).stabilize(image()),
    "psnr": lambda: psnr(image(), image()),
    "fast": lambda: Stage([torch.rand(16, 8, 3, 3, device="mps")], rectify=True),
    "normalization": lambda: normalization_constant(_Square(), (1, 16, 16), draws=2),
}


@pytest.mark.parametrize("use", USES)
def test_without_float64_on_the_device(use: str) -> None:
    needed = suppress(DataDependentOutputException)  # it came to where numbers are needed, which fake tensors lack
    with apples(), needed:
        USES[use]()


def test_the_imitation_refuses_float64() -> None:
    with apples(), pytest.raises(TypeError, match=r"has no torch\.float64"):
        image().double()


def test_float64_is_where_the_tensor_is_unless_the_device_has_none() -> None:
    assert in_float64(torch.empty(2, device="meta")).device.type == "meta"
    with apples():
        exact = in_float64(image())
        assert (exact.device.type, exact.dtype) == ("cpu", torch.float64)


def test_auto_is_the_best_device_that_works() -> None:
    found = choose_device("auto")
    assert found.type in ("cuda", "mps", "cpu")
    assert torch.ones(2, device=found).sum().item() == 2
    assert (found.type == "cpu") is not (torch.cuda.is_available() or torch.backends.mps.is_available())
    assert mszoo.load("photographs-grey", "auto").device.type == found.type


def test_a_device_that_is_not_there_is_told() -> None:
    with pytest.raises(UnsupportedError, match=r"'cuda:77' cannot be used here.*use auto, cpu, cuda or mps"):
        choose_device("cuda:77")
