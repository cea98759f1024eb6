"""What a model is asked with: images and noise levels, checked before any work is done."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from mszoo.errors import ImageSizeError, OptionsError

__all__ = ["check_images", "doubt", "noise_levels", "numbers"]


def check_images(x: Tensor, channels: int) -> None:
    """Raise :class:`ImageSizeError` unless x is a batch of images (B, ``channels``, H, W), in floating point."""
    taken = f"this model takes images (B, {channels}, H, W)"
    if not isinstance(x, Tensor):
        advice = "; torch.from_numpy(x) makes one, and .movedim(-1, -3)[None] a batch of an (H, W, C) image"
        raise ImageSizeError(f"{taken}, a torch.Tensor, got {type(x).__name__}{advice}")
    if x.ndim != 4 or x.shape[1] != channels:
        raise ImageSizeError(f"{taken}, got {tuple(x.shape)}{_shape_advice(tuple(x.shape), channels)}")
    if not len(x):
        raise ImageSizeError(f"{taken}, got an empty batch, {tuple(x.shape)}")
    if not x.is_floating_point():
        raise ImageSizeError(f"images are floating-point tensors in [0, 1], got {x.dtype}; divide by 255?")
    if x.layout is not torch.strided:
        raise ImageSizeError(f"{taken}, got a tensor of {x.layout}; x.to_dense() makes one")


def noise_levels(name: str, value: float | Tensor, y: Tensor, positive: str | None = None) -> Tensor:
    """A noise level, a float or (B,), as (B,), checked.

    Args:
        name: in messages; the variance of ``sigma`` must be within the numbers of y's type.
        value: what a user gave.
        y: one tensor row for each image, (B, ...).
        positive: why it must not be 0; None: it may.

    Raises:
        OptionsError: no number, not as many as images, negative, not finite, or out of range.
    """

    def refuse(text: str) -> OptionsError:
        return OptionsError(name, [((), text)])

    try:
        values = torch.as_tensor(value, device=y.device)
        if values.is_complex():
            raise TypeError
        values = values.to(y.dtype).reshape(-1)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise refuse(f"should be one number, or one for each image, got {value!r}") from None
    if values.numel() not in (1, len(y)):
        raise refuse(f"should be one number, or one for each image ({len(y)}), got {values.numel()} numbers")
    largest = torch.finfo(y.dtype).max ** (0.5 if name == "sigma" else 1)
    for number in numbers(values):
        if math.isnan(number):
            raise refuse("is not a number (nan)")
        if number < 0:
            raise refuse(f"must not be negative, got {number:g}")
        if number > largest:
            raise refuse(f"must be at most {largest:.3g}, got {number:g}")
        if positive is not None and number == 0:
            raise refuse(f"must be positive here, got 0: {positive}")
    return values.expand(len(y))


def doubt(sigma: Tensor, y: Tensor) -> None:
    """Warn of a noise level that images in [0, 1] hardly have: of grey levels, or divided by 255 twice."""
    positive = [number for number in numbers(sigma) if number > 0]
    if not positive:
        return
    least, most = min(positive), max(positive)
    if most > 2 and any(number < most / 2 for number in numbers(y.detach().std())):
        text = f"sigma {most:g} is far above what the image shows: for {most:g} grey levels of 255 it is {most:g}/255"
    elif least < 1e-3:
        text = f"sigma {least:g} is below a quarter of a grey level: was it divided by 255 twice, or is it a variance?"
    else:
        return
    warnings.warn(f"{text}; images are in [0, 1] here, and so is their noise", stacklevel=4)


def numbers(values: Tensor) -> list[float]:
    """The values of a tensor; none where they cannot be looked at: compiled, on no device, or under ``vmap``."""
    if torch.compiler.is_compiling() or values.is_meta:
        return []
    try:
        return values.detach().reshape(-1).tolist()
    except RuntimeError:
        return []


def _shape_advice(shape: tuple[int, ...], channels: int) -> str:
    """How to make a batch of images of another shape."""
    if len(shape) == 4 and channels == 1:
        return "; a grey model takes a colour image channel by channel (mszoo.inference.denoise_image does)"
    if len(shape) in (3, 4) and shape[-1] == channels:
        return f"; the channels come before height and width: x.movedim(-1, -3){'[None]' if len(shape) == 3 else ''}"
    if len(shape) == 3 and shape[0] == channels:
        return "; one image is a batch of one: x[None]"
    if len(shape) == 2 and channels == 1:
        return "; one image is a batch of one: x[None, None]"
    return ""
