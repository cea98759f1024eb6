"""The contract of an operator, a linear measurement of images: one check for each sentence of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from mszoo.inference.operators import Operator, verify
from mszoo.testing.kit import close, require

__all__ = ["CHECKS", "OperatorCheck"]

_WHERE = "mszoo.inference.Operator"
Shape = tuple[int, int, int]
OperatorCheck = Callable[[Operator, Shape], None]


def has_the_stated_shapes(operator: Operator, shape: Shape) -> None:
    """(B, C, H, W) becomes (B, ...), and adjoint and pseudo-inverse return (B, C, H, W)."""
    for batch in (1, 3):
        x = _images(shape, batch)
        m = operator.forward(x)
        require(len(m) == batch, f"{tuple(x.shape)} is measured as {tuple(m.shape)}, not (B, ...)", f"{_WHERE}.forward")
        for name, back in _returns(operator):
            found = tuple(back(m).shape)
            require(found == x.shape, f"{name} returns {found}, not {tuple(x.shape)}", f"{_WHERE}.{name}")


def keeps_the_type(operator: Operator, shape: Shape) -> None:
    """What it returns has the floating-point type that it was given."""
    for dtype in (torch.float32, torch.float64):
        m = operator.forward(_images(shape).to(dtype))
        require(m.dtype == dtype, f"{dtype} becomes {m.dtype}", f"{_WHERE}.forward")
        for name, back in _returns(operator):
            require(back(m).dtype == dtype, f"{dtype} becomes {back(m).dtype}", f"{_WHERE}.{name}")


def is_linear(operator: Operator, shape: Shape) -> None:
    """All three are linear, and give the same every time."""
    x, y = _images(shape), _images(shape, seed=1)
    m, r = operator.forward(x), operator.forward(y)
    require(close(operator.forward(2 * x + y), 2 * m + r, 1e-4), "it is not linear", f"{_WHERE}.forward")
    for name, back in _returns(operator):
        require(close(back(2 * m + r), 2 * back(m) + back(r), 1e-3), f"{name} is not linear", f"{_WHERE}.{name}")


def treats_images_alone(operator: Operator, shape: Shape) -> None:
    """An image's measurement does not depend on its neighbours in the batch."""
    x = _images(shape, 3)
    together = operator.forward(x)
    alone = torch.cat([operator.forward(image[None]) for image in x])
    require(close(together, alone, 1e-5), "images in a batch are measured otherwise", f"{_WHERE}.forward")


def has_a_true_adjoint(operator: Operator, shape: Shape) -> None:
    """<A x, m> = <x, A^T m> for every image and every measurement."""
    for seed in range(4):
        x = _images(shape, 1, seed)
        m = operator.forward(x)
        noise = _like(m, seed + 10)
        for r in (operator.forward(_images(shape, 1, seed + 20)), noise):
            ours, theirs = float((m * r).sum()), float((x * operator.adjoint(r)).sum())
            # both sums wander by as much as the square root of their number of terms
            scale = max(abs(ours), float((m * r).square().sum()) ** 0.5)
            require(abs(ours - theirs) <= 1e-3 * scale, f"<A x, m> = {ours:.5g}, <x, A^T m> = {theirs:.5g}", _WHERE)


def has_a_true_pseudo_inverse(operator: Operator, shape: Shape) -> None:
    """A^+ A is an orthogonal projection, which leaves at least half of a measurement of noise as it is."""
    where = f"{_WHERE}.pseudo_inverse"

    def project(x: Tensor) -> Tensor:
        return operator.pseudo_inverse(operator.forward(x))

    for seed in range(3):
        x, y = _images(shape, 1, seed), _images(shape, 1, seed + 10)
        once, m = project(x), operator.forward(x)
        require(float(once.norm()) > 0 or float(m.norm()) == 0, "it returns nothing", where)
        require(
            float((operator.forward(once) - m).norm()) <= 0.5 * float(m.norm()),
            "its image has another measurement",
            where,
        )
        require(float((project(once) - once).norm()) <= 1e-2 * float(once.norm()), "A^+ A is not a projection", where)
        ours, theirs = float((once * y).sum()), float((x * project(y)).sum())
        scale = float(once.norm())  # the standard deviation of either
        require(abs(ours - theirs) <= 1e-2 * scale, "it is not the smallest image with the measurement", where)


def solves_start(operator: Operator, shape: Shape) -> None:
    """The one random test at the start of ``solve`` accepts it."""
    verify(operator, _images(shape))


CHECKS: Sequence[OperatorCheck] = (
    has_the_stated_shapes,
    keeps_the_type,
    is_linear,
    treats_images_alone,
    has_a_true_adjoint,
    has_a_true_pseudo_inverse,
    solves_start,
)


def _returns(operator: Operator) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
    yield "adjoint", operator.adjoint
    yield "pseudo_inverse", operator.pseudo_inverse


def _images(shape: Shape, batch: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(seed))


def _like(m: Tensor, seed: int) -> Tensor:
    return torch.randn(m.shape, generator=torch.Generator().manual_seed(seed), dtype=m.dtype)
