r"""Linear measurements of images, m = A x: A, its adjoint and its pseudo-inverse.

Paper A writes the measurement as :math:`m = M^T x` with orthonormal columns, :math:`M^T M = 1`. Here
:meth:`Operator.forward` is :math:`M^T` and :meth:`Operator.pseudo_inverse` is :math:`M`; for a measurement that is not
orthonormal, such as a blur, the pseudo-inverse serves, and the adjoint is another map.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from mszoo.bases import Basis, check_size
from mszoo.devices import in_float64
from mszoo.errors import ImageSizeError, OptionsError, UnsupportedError
from mszoo.heads.base import per_image
from mszoo.inference.arguments import check_whole
from mszoo.randomness import keyed_generator, normal

__all__ = ["Blur", "Inpainting", "Operator", "RandomProjections", "SuperResolution", "closest", "verify"]

_STEPS = 100  # of conjugate gradients at most


@runtime_checkable
class Operator(Protocol):
    """A linear measurement of images of one shape (C, H, W): anything with these three methods.

    A subclass may leave out :meth:`pseudo_inverse` if A A^T = 1. ``mszoo.testing.check_operator(operator, (C, H, W))``
    tells what is wrong with one.

    Example:
        >>> class Rows:  # the mean of every column
        ...     def forward(self, x): return x.mean(-2, keepdim=True)
        ...     def adjoint(self, m): return (m / 8).expand(-1, -1, 8, -1)
        ...     def pseudo_inverse(self, m): return m.expand(-1, -1, 8, -1)
        >>> isinstance(Rows(), Operator)
        True
    """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Measure: (B, C, H, W) to (B, ...)."""

    @abstractmethod
    def adjoint(self, m: Tensor) -> Tensor:
        """The transpose of :meth:`forward`: (B, ...) to (B, C, H, W)."""

    def pseudo_inverse(self, m: Tensor) -> Tensor:
        """The smallest image with that measurement: (B, ...) to (B, C, H, W). The adjoint if A A^T = 1."""
        return self.adjoint(m)


class Inpainting(Operator):
    """Some pixels are known. The measurement is an image with zeros where they are not.

    Args:
        mask: (H, W) or (C, H, W), true where the pixel is known.

    Raises:
        ImageSizeError: a mask of another shape; or later, an image or a measurement of another size than the mask.

    Example:
        >>> import torch
        >>> operator = Inpainting(torch.tensor([[True, False], [True, True]]))
        >>> operator.forward(torch.ones(1, 1, 2, 2)).sum()
        tensor(3.)
    """

    def __init__(self, mask: Tensor) -> None:
        if not isinstance(mask, Tensor) or mask.ndim not in (2, 3) or not mask.numel():
            given = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
            raise ImageSizeError(f"a mask is a tensor (H, W) or (C, H, W), got {given}")
        self.mask = mask.bool()

    @classmethod
    def random_pixels(cls, size: tuple[int, int], fraction: float, seed: int = 0) -> Inpainting:
        """A random ``fraction`` of the pixels is known, the same in all channels.

        Args:
            size: (H, W) of the images.
            fraction: of the pixels that are known, in (0, 1].
            seed: of the choice.
        """
        height, width = size
        order = torch.randperm(height * width, generator=torch.Generator().manual_seed(seed))
        return cls((order < _count(fraction, height * width)).reshape(height, width))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        _check_shape(x, self.mask.shape, "images")
        return torch.where(self.mask.to(x.device), x, 0)

    def adjoint(self, m: Tensor) -> Tensor:  # noqa: D102
        return self.forward(m)


class RandomProjections(Operator):
    """Inner products with random orthonormal vectors: a subsampled, randomized discrete cosine transform.

    The pixels' signs are flipped at random, the flattened image is transformed (DCT-II, orthonormal), and a random
    ``fraction`` of the coefficients is kept: (B, C, H, W) to (B, n).

    Args:
        shape: (C, H, W) of the images.
        fraction: of coefficients kept, in (0, 1].
        seed: of signs and selection.

    Raises:
        OptionsError: another fraction.
        ImageSizeError: later, images or measurements of another shape.

    Example:
        >>> import torch
        >>> RandomProjections((1, 16, 16), 0.25).forward(torch.rand(2, 1, 16, 16)).shape
        torch.Size([2, 64])
    """

    def __init__(self, shape: tuple[int, int, int], fraction: float, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.shape, total = shape, math.prod(shape)
        self.signs = 2.0 * torch.randint(2, (total,), generator=generator) - 1
        self.kept = torch.randperm(total, generator=generator)[: _count(fraction, total)].sort().values

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        _check_shape(x, self.shape, "images")
        return _dct(x.flatten(1) * self.signs.to(x))[:, self.kept.to(x.device)]

    def adjoint(self, m: Tensor) -> Tensor:  # noqa: D102
        _check_shape(m, (len(self.kept),), "measurements")
        full = m.new_zeros(len(m), len(self.signs)).index_copy(1, self.kept.to(m.device), m)
        return (_inverse_dct(full) * self.signs.to(m)).unflatten(1, self.shape)


class Blur(Operator):
    """Convolution with a kernel, periodic at the boundary.

    Args:
        kernel: (h, w), its centre at (h // 2, w // 2).
        size: (H, W) of the images.
        tolerance: frequencies whose gain is below this fraction of the largest count as not measured.

    Raises:
        ImageSizeError: a kernel larger than the images; or later, images of another size.
        OptionsError: a kernel that is no matrix of finite numbers, or 0 everywhere.

    Example:
        >>> import torch
        >>> x = torch.rand(1, 1, 16, 16)
        >>> Blur(torch.full((3, 3), 1 / 9), size=(16, 16)).forward(x).std() < x.std()
        tensor(True)
    """

    def __init__(self, kernel: Tensor, size: tuple[int, int], tolerance: float = 0.05) -> None:
        if kernel.ndim != 2 or not bool(kernel.isfinite().all()) or not bool(kernel.any()):
            raise OptionsError("Blur", [(("kernel",), "should be (h, w), of finite numbers that are not all 0")])
        _check_sides(size)
        if kernel.shape[0] > size[0] or kernel.shape[1] > size[1]:
            raise ImageSizeError(f"a kernel of {tuple(kernel.shape)} does not fit images of {size}")
        padded = torch.zeros(size, dtype=torch.float64)
        padded[: kernel.shape[0], : kernel.shape[1]] = kernel
        centred = padded.roll((-(kernel.shape[0] // 2), -(kernel.shape[1] // 2)), (0, 1))
        self.size, self.gain = size, torch.fft.rfft2(centred)
        self.inverse = torch.where(
            self.gain.abs() >= tolerance * self.gain.abs().max(), 1 / self.gain, torch.zeros_like(self.gain)
        )

    @classmethod
    def gaussian(cls, width: float, size: tuple[int, int], tolerance: float = 0.05) -> Blur:
        """A Gaussian kernel, cut at four standard deviations.

        Args:
            width: standard deviation in pixels, more than 0.
            size: (H, W) of the images.
            tolerance: see :class:`Blur`.
        """
        if not isinstance(width, (int, float)) or not 0 < width < math.inf:
            raise OptionsError(
                "Blur.gaussian", [(("width",), f"should be more than 0 pixels, and finite, got {width!r}")]
            )
        _check_sides(size)
        reach = min(math.ceil(4 * width), (min(size) - 1) // 2)
        line = torch.exp(-torch.arange(-reach, reach + 1, dtype=torch.float64).square() / (2 * width**2))
        kernel = torch.outer(line, line)
        return cls(kernel / kernel.sum(), size, tolerance)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return self._filter(x, self.gain)

    def adjoint(self, m: Tensor) -> Tensor:  # noqa: D102
        return self._filter(m, self.gain.conj())

    def pseudo_inverse(self, m: Tensor) -> Tensor:
        """Divide by the gain where it was measured."""
        return self._filter(m, self.inverse)

    def _filter(self, x: Tensor, gain: Tensor) -> Tensor:
        _check_shape(x, self.size, "images")
        gain = gain.to(torch.promote_types(x.dtype, torch.cfloat)).to(
            x.device
        )  # first the type: not every device has both
        transformed = torch.fft.rfft2(x) * gain
        return torch.fft.irfft2(transformed, s=self.size)


class SuperResolution(Operator):
    """The low-pass image of a wavelet basis, in the range of the image: (B, C, H, W) to (B, C, H/factor, W/factor).

    Args:
        basis: an orthonormal wavelet basis.
        factor: a power of two, 2 or more.

    Raises:
        UnsupportedError: another factor.

    Example:
        >>> import torch, mszoo
        >>> SuperResolution(mszoo.create("basis", "haar"), 4).forward(torch.full((1, 1, 8, 8), 0.5)).shape
        torch.Size([1, 1, 2, 2])
    """

    def __init__(self, basis: Basis, factor: int) -> None:
        if not isinstance(factor, int) or factor < 2 or factor & (factor - 1):
            raise UnsupportedError(f"the factor is a whole number, a power of two, 2 or more, got {factor!r}")
        self.basis, self.factor, self.levels = basis, factor, factor.bit_length() - 1

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        check_size(x.shape[-2], x.shape[-1], self.levels)
        for _ in range(self.levels):
            x, _ = self.basis.analyze(x)
        return x / self.factor

    def adjoint(self, m: Tensor) -> Tensor:  # noqa: D102
        return self._synthesize(m) / self.factor

    def pseudo_inverse(self, m: Tensor) -> Tensor:
        """The image without details that has this low-pass image."""
        return self._synthesize(m) * self.factor

    def _synthesize(self, low: Tensor) -> Tensor:
        for _ in range(self.levels):
            low = self.basis.synthesize(low, low.repeat(1, 3, 1, 1).zero_())
        return low


def verify(operator: Operator, x: Tensor) -> bool:
    """One random test of adjoint and pseudo-inverse: two measurements, and each of the others once or twice.

    A pseudo-inverse may leave out what is measured weakly, as long as that is less than half of a measurement of noise.

    Args:
        operator: any.
        x: its shape, type and device are those of the images to try, (B, C, H, W); two at a time are tried.

    Returns:
        Whether the pseudo-inverse is the adjoint: A A^T = 1, and white noise in the image is white in the measurement.

    Raises:
        OptionsError: one of the two is not what it should be.
    """
    x, other = (normal(x[:1], [keyed_generator(k)]) for k in range(2))

    def refuse(name: str, text: str) -> OptionsError:
        return OptionsError("operator", [((name,), f"{text}; mszoo.testing.check_operator tells more")])

    loose = max(1e-3, 30 * torch.finfo(x.dtype).eps)
    m = operator.forward(x)
    if m.shape[:1] != (1,):
        raise refuse("forward", f"should return (B, ...) for (B, C, H, W), got {tuple(m.shape)}")
    probe = operator.forward(other) + normal(m, [keyed_generator(2)]) * _rms(m)
    back = operator.adjoint(probe)
    if back.shape != x.shape:
        raise refuse("adjoint", f"should return {tuple(x.shape)}, got {tuple(back.shape)}")
    if not abs(_dot(m, probe) - _dot(x, back)) <= loose * (_dot(m, m) * _dot(probe, probe)) ** 0.5:
        raise refuse(
            "adjoint",
            f"is not the transpose of forward: <A x, m> = {_dot(m, probe):.4g}, <x, A^T m> = {_dot(x, back):.4g}",
        )
    found = operator.pseudo_inverse(m)
    if found.shape != x.shape:
        raise refuse("pseudo_inverse", f"should return {tuple(x.shape)}, got {tuple(found.shape)}")
    measured, size = operator.forward(found), _dot(found, found) ** 0.5
    if not _dot(measured - m, measured - m) <= 0.25 * _dot(m, m):
        raise refuse("pseudo_inverse", "returns an image that has another measurement")
    again = operator.pseudo_inverse(measured) - found
    if not _dot(again, again) ** 0.5 <= 10 * loose * size:
        raise refuse("pseudo_inverse", "of an image's measurement gives another image when it is measured once more")
    if not abs(_dot(found, found) - _dot(x, found)) <= 10 * loose * size**2:
        raise refuse("pseudo_inverse", "is not the smallest image with the measurement")
    gap = operator.pseudo_inverse(probe) - back
    return _dot(gap, gap) <= loose**2 * _dot(back, back)


def closest(operator: Operator, x: Tensor, m: Tensor, ratio: Tensor) -> Tensor:
    r"""The proximal step of a noisy measurement: the image z with the least :math:`|A z - m|^2 + r\,|z - x|^2`.

    By conjugate gradients, each image until its own residual is a thousandth of the first; one step if A A^T = 1.

    Args:
        operator: the measurement; its pseudo-inverse is not used.
        x: images (B, C, H, W).
        m: their measurements (B, ...).
        ratio: r, the noise variance of the measurement over that of x, more than 0, (B,).
    """
    residual = operator.adjoint(m - operator.forward(x))
    change, along = torch.zeros_like(x), residual
    power = residual.flatten(1).square().sum(1)
    enough = 1e-6 * power
    for _ in range(_STEPS):
        active = power > enough
        if not active.any():
            break
        image = operator.adjoint(operator.forward(along)) + per_image(ratio, along) * along
        step = per_image(torch.where(active, power / (along * image).flatten(1).sum(1), 0), x)
        change, residual = change + step * along, residual - step * image
        before, power = power, torch.where(active, residual.flatten(1).square().sum(1), 0)
        along = residual + per_image(torch.where(active, power / before, 0), x) * along
    return x + change


def _dot(a: Tensor, b: Tensor) -> float:
    return float((in_float64(a) * in_float64(b)).sum())


def _rms(a: Tensor) -> Tensor:
    return a.square().mean().sqrt()


def _check_shape(x: Tensor, shape: Sequence[int], what: str) -> None:
    """Raise :class:`ImageSizeError` unless the last dimensions are these; images are (B, C, H, W)."""
    dimensions = 4 if what == "images" else 1 + len(shape)
    if x.ndim != dimensions or tuple(x.shape[-len(shape) :]) != tuple(shape):
        batch = ("B", "C")[: dimensions - len(shape)]
        taken = ", ".join(map(str, (*batch, *shape)))
        raise ImageSizeError(f"this operator takes {what} of shape ({taken}), got {tuple(x.shape)}")


def _check_sides(size: object) -> None:
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise OptionsError("Blur", [(("size",), f"should be (height, width), got {size!r}")])
    check_whole("Blur", size=size[0])
    check_whole("Blur", size=size[1])


def _count(fraction: float, total: int) -> int:
    if not isinstance(fraction, (int, float)) or not 0 < fraction <= 1:
        raise OptionsError("fraction", [((), f"must be in (0, 1], got {fraction!r}")])
    return max(1, round(fraction * total))


def _twiddle(n: int, like: Tensor) -> Tensor:
    dtype = torch.promote_types(like.dtype, torch.cfloat)
    angle = torch.arange(n, dtype=torch.float64) * (-math.pi / (2 * n))
    scale = torch.full_like(angle, math.sqrt(2 / n))
    scale[0] = math.sqrt(1 / n)
    return torch.polar(scale, angle).to(dtype).to(like.device)


def _dct(x: Tensor) -> Tensor:
    """Orthonormal DCT-II along the last axis, by one FFT of the same length (Makhoul 1980)."""
    reordered = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1)
    return (torch.fft.fft(reordered) * _twiddle(x.shape[-1], x)).real


def _inverse_dct(c: Tensor) -> Tensor:
    """Inverse, and transpose, of :func:`_dct`."""
    n = c.shape[-1]
    mirrored = torch.cat([torch.zeros_like(c[..., :1]), c[..., 1:].flip(-1)], -1)
    weight = _twiddle(n, c)
    reordered = torch.fft.ifft((c - 1j * mirrored) * weight.conj() / weight.abs().square()).real
    x = torch.empty_like(c)
    half = (n + 1) // 2
    x[..., ::2], x[..., 1::2] = reordered[..., :half], reordered[..., half:].flip(-1)
    return x
