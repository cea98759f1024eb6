"""The contract of a basis, one check for each sentence of it."""

from __future__ import annotations

import torch
from torch import Tensor

from mszoo.bases import Basis
from mszoo.errors import ImageSizeError
from mszoo.testing.kit import Check, Subject, close, require, saved_and_loaded, stays_on_device

__all__ = ["CHECKS"]

_WHERE = "mszoo.bases.Basis"
_SIZES = ((2, 1, 8, 8), (1, 3, 16, 24), (3, 2, 32, 8))


def has_the_stated_shapes(subject: Subject) -> None:
    """low (B, C, H/2, W/2) and detail (B, 3C, H/2, W/2), in the dtype of the image."""
    for dtype in (torch.float32, torch.float64):
        basis = subject.make().to(dtype)
        for size in _SIZES:
            b, c, h, w = size
            low, detail = basis.analyze(torch.rand(size, dtype=dtype))
            shapes = tuple(low.shape), tuple(detail.shape)
            expected = (b, c, h // 2, w // 2), (b, 3 * c, h // 2, w // 2)
            require(shapes == expected, f"analyze of {size} gives {shapes}, not {expected}", f"{_WHERE}.analyze")
            require(low.dtype == detail.dtype == dtype, f"{dtype} becomes {low.dtype}", f"{_WHERE}.analyze")


def reconstructs(subject: Subject) -> None:
    """synthesize inverts analyze."""
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        basis = subject.make().to(dtype)
        for size in _SIZES:
            x = torch.rand(size, dtype=dtype)
            require(
                close(basis.synthesize(*basis.analyze(x)), x, tolerance),
                f"synthesize(*analyze(x)) is not x for {size} in {dtype}",
                f"{_WHERE}.synthesize",
            )


def is_orthonormal(subject: Subject) -> None:
    """The transform's matrix times its transpose is the identity: energy is kept, white noise stays white."""
    basis = subject.make().double()
    for height, width in ((8, 8), (4, 16)):
        d = height * width
        images = torch.eye(d, dtype=torch.float64).reshape(d, 1, height, width)
        matrix = _coefficients(basis, images)
        error = (matrix @ matrix.T - torch.eye(d, dtype=torch.float64)).abs().max().item()
        require(error < 1e-8, f"its matrix at {height}x{width} is off an orthonormal one by {error:.1e}", _WHERE)


def is_linear(subject: Subject) -> None:
    """A sum of images gives the sum of their coefficients."""
    basis = subject.make().double()
    x, y = torch.rand(2, 2, 1, 8, 8, dtype=torch.float64)
    together = _coefficients(basis, 2 * x - 3 * y)
    require(
        close(together, 2 * _coefficients(basis, x) - 3 * _coefficients(basis, y), 1e-9), "it is not linear", _WHERE
    )


def treats_images_and_channels_apart(subject: Subject) -> None:
    """Bands come first: detail has the H of all channels, then V, then D; no image or channel sees another."""
    basis = subject.make().double()
    x = torch.rand(2, 3, 8, 16, dtype=torch.float64)
    low, detail = basis.analyze(x)
    bands = detail.unflatten(1, (3, 3))
    for i in range(2):
        for c in range(3):
            one_low, one_detail = basis.analyze(x[i : i + 1, c : c + 1])
            require(
                close(one_low[0, 0], low[i, c], 1e-9) and close(one_detail[0], bands[i, :, c], 1e-9),
                "a channel alone has other coefficients than among others (or detail is not band-major)",
                f"{_WHERE}.analyze",
            )


def reaches_as_far_as_it_says(subject: Subject) -> None:
    """A pixel moves at most taps / 2 coefficients of each band in either direction."""
    basis = subject.make().double()
    side = 2 * min(64, 2 * basis.taps + 4)
    x = torch.rand(1, 1, side, side, dtype=torch.float64)
    moved = x.clone()
    moved[0, 0, side // 2, side // 2] += 1
    for before, after in zip(basis.analyze(x), basis.analyze(moved), strict=True):
        changed = (before - after).abs().amax((0, 1)) > 1e-9
        rows, columns = int(changed.any(1).sum()), int(changed.any(0).sum())
        most = max(1, -(-basis.taps // 2))
        require(
            max(rows, columns) <= most,
            f"a pixel moves {rows}x{columns} coefficients; with taps = {basis.taps} that is at most {most}",
            f"{_WHERE}.taps",
        )


def refuses_odd_sides(subject: Subject) -> None:
    """An image with an odd side is an ImageSizeError."""
    basis = subject.make()
    for size in ((7, 8), (8, 9)):
        try:
            basis.analyze(torch.rand(1, 1, *size))
        except ImageSizeError:
            continue
        require(False, f"an image of {size[0]}x{size[1]} is no ImageSizeError", f"{_WHERE}.analyze")


def has_right_gradients(subject: Subject) -> None:
    """Derivatives in the image, and in its parameters if it has any, agree with finite differences."""
    basis = subject.make().double()
    x = torch.rand(1, 1, 4, 8, dtype=torch.float64)
    values = {"x": x, **{name: p.detach() for name, p in basis.named_parameters()}}
    weights = torch.randn(_coefficients(basis, x).shape, dtype=torch.float64)

    def value(values: dict[str, Tensor]) -> Tensor:
        parameters = {name: v for name, v in values.items() if name != "x"}
        low, detail = torch.func.functional_call(basis, parameters, (values["x"],))
        return (weights * torch.cat([low.flatten(1), detail.flatten(1)], 1)).sum()

    gradient, h = torch.func.grad(value)(values), 1e-6
    for name, v in values.items():
        along = torch.randn(v.shape, dtype=torch.float64)
        difference = (value({**values, name: v + h * along}) - value({**values, name: v - h * along})) / (2 * h)
        slope = (gradient[name] * along).sum()
        require(close(slope, difference, 1e-5), f"its gradient in {name} differs from finite differences", _WHERE)


def follows_its_device(subject: Subject) -> None:
    """It works on the device it was moved to."""

    def run(device: str) -> Tensor:
        basis = subject.make().to(device)
        return basis.synthesize(*basis.analyze(torch.zeros(2, 1, 8, 8, device=device)))

    stays_on_device(run, _WHERE)


def is_deterministic(subject: Subject) -> None:
    """The same image gives the same coefficients."""
    basis, x = subject.make(), torch.rand(2, 1, 8, 8)
    require(torch.equal(_coefficients(basis, x), _coefficients(basis, x)), "two calls give different results", _WHERE)


def can_be_saved(subject: Subject) -> None:
    """Its state_dict holds all that its output depends on."""
    x = torch.rand(1, 1, 8, 8)
    saved_and_loaded(subject, lambda s: s.make(), lambda basis: _coefficients(basis, x).detach(), _WHERE)


def _coefficients(basis: Basis, x: Tensor) -> Tensor:
    return torch.cat([part.flatten(1) for part in basis.analyze(x)], 1)


CHECKS: tuple[Check, ...] = (
    has_the_stated_shapes,
    reconstructs,
    is_orthonormal,
    is_linear,
    treats_images_and_channels_apart,
    reaches_as_far_as_it_says,
    refuses_odd_sides,
    has_right_gradients,
    follows_its_device,
    is_deterministic,
    can_be_saved,
)
