r"""The probability of an image, and its code length.

.. math:: \log p(x) = \log p(x_J) + \sum_{j<J} \log p(\bar x_j \mid x_j)

for clean images: each term is minus an energy at t = 0, less the constant that normalizes it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from mszoo.arguments import numbers
from mszoo.errors import OptionsError, UnsupportedError
from mszoo.heads import EnergyHead
from mszoo.heads.normalization import Constant, normalization_constant
from mszoo.inference.tiles import energy_map, total_energy
from mszoo.model import MultiScaleModel
from mszoo.randomness import child_generators

__all__ = ["Unit", "check_density", "has_density", "log_prob", "log_prob_map", "log_prob_scales", "nll", "normalize"]

Unit = Literal["nats", "dB/dim"]
_UNITS = ("nats", "dB/dim")


def has_density(model: MultiScaleModel) -> bool:
    """Whether log p is known: an energy at every scale, normalized for each condition.

    Example:
        >>> import mszoo
        >>> [has_density(mszoo.load(name)) for name in ("cifar10-grey-energy", "photographs-haar-rf13")]
        [True, False]
    """
    heads = [head for head in model.scales if isinstance(head, EnergyHead)]
    return len(heads) == len(model.scales) and all(head.normalized for head in heads[:-1])


def check_density(model: MultiScaleModel) -> list[EnergyHead]:
    """The heads of all scales, finest first, or an error that says why log p is not known; see :func:`normalize`."""
    heads: list[EnergyHead] = []
    for j, head in enumerate(model.scales):
        if not isinstance(head, EnergyHead):
            raise UnsupportedError(
                f"scale {j} has no density: the head {type(head).__name__} has no energy; use a model of energies, "
                f"such as photographs-energy, or train one (`mszoo components head`)"
            )
        if j < model.levels and not head.normalized:
            raise UnsupportedError(
                f"scale {j} has a {type(head).__name__}, known up to a constant that depends on the coarser image; "
                f"a conditional density needs the head `predictive`, or `anchored`"
            )
        heads.append(head)
    return heads


def normalize(model: MultiScaleModel, size: tuple[int, int]) -> Constant:
    """The constant of the coarsest scale's energy for images (height, width); found once and kept with the model.

    Raises:
        UnsupportedError: a head that has no energy, or a conditional one whose constant would depend on the condition.
        ImageSizeError: sides that are no multiples of ``model.unit``.

    Example:
        >>> import mszoo
        >>> normalize(mszoo.load("cifar10-grey-energy"), (32, 32)).value  # its head is normalized exactly
        0.0
    """
    coarse = check_density(model)[-1]
    height, width = model.coarse_size(size)
    shape = model.channels, height, width
    if coarse.normalized:
        return Constant(shape, 0.0, 0.0, math.inf)
    if shape in model.constants:
        return model.constants[shape]
    found = normalization_constant(coarse, shape, 2.0**model.levels, model.largest_t[-1])
    if not model.training:
        model.constants[shape] = found
    return found


def log_prob_scales(model: MultiScaleModel, x: Tensor) -> list[Tensor]:
    """log p of every scale's coefficients given the coarser image, finest first, (B,) in nats each.

    Large images go through local networks in tiles: memory is bounded, and the result is the same up to rounding.

    Args:
        model: with an energy head at every scale.
        x: images (B, C, H, W) in [0, 1].

    Raises:
        UnsupportedError: see :func:`normalize`.
        ImageSizeError: wrong number of channels, or sides that are no multiples of ``model.unit``.

    Example:
        >>> import torch, mszoo
        >>> [log_p.shape for log_p in log_prob_scales(mszoo.load("cifar10-grey-energy"), torch.rand(2, 1, 16, 16))]
        [torch.Size([2])]
    """
    (*details, coarse), constant = _each_scale(model, x, total_energy)
    return [*(-u for u in details), -coarse - constant]


def log_prob_map(model: MultiScaleModel, x: Tensor) -> list[Tensor]:
    """Where an image is improbable: the share of every place in log p, for each scale, finest first, in nats.

    The sum of all of them is :func:`log_prob`. A network sees its neighbourhood, so that a share is no probability of a
    pixel by itself; but what is unlike anything in the training images shows as small shares at its place.

    Args:
        model: with an energy at every scale whose head has a map (all of mszoo's have).
        x: images (B, C, H, W) in [0, 1].

    Returns:
        For j < J (B, H / 2^(j+1), W / 2^(j+1)), of the details; last (B, H / 2^J, W / 2^J), of the coarsest image.

    Raises:
        UnsupportedError: see :func:`normalize`; or a head without a map.
        ImageSizeError: wrong number of channels, or sides that are no multiples of ``model.unit``.

    Example:
        >>> import torch, mszoo
        >>> model, x = mszoo.load("cifar10-grey-energy"), torch.rand(2, 1, 16, 16)
        >>> (shares,) = log_prob_map(model, x)  # one scale
        >>> shares.shape, torch.allclose(shares.sum((1, 2)), model.log_prob(x), rtol=1e-5)
        (torch.Size([2, 16, 16]), True)
    """
    (*details, coarse), constant = _each_scale(model, x, energy_map)
    return [*(-u for u in details), -coarse - constant / coarse[0].numel()]


def _each_scale(
    model: MultiScaleModel, x: Tensor, question: Callable[[EnergyHead, Tensor, Tensor, Tensor | None], Tensor]
) -> tuple[list[Tensor], float]:
    """What is asked of every scale's energy at t = 0, finest first, in float32 or wider; and the constant."""
    given, x = x, model.prepare(x)
    wide = torch.promote_types(given.dtype, torch.float32)
    constant = normalize(model, (x.shape[-2], x.shape[-1])).value  # a model without a density says so
    zero = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    scales = zip(model.scales, model.decompose(x), strict=True)
    return [question(head, c, zero, cond).to(wide) for head, (c, cond) in scales], constant  # type: ignore[arg-type]


def log_prob(model: MultiScaleModel, x: Tensor, unit: Unit = "nats") -> Tensor:
    """log p(x), a density over images in [0, 1]^d, (B,), in float32 or wider.

    It has a derivative in x, the score at t = 0, also by :mod:`torch.func`; where none is wanted, ``torch.no_grad``
    saves its memory. The constant of a head that is not ``normalized`` is a number: a derivative in the weights lacks
    its part, and is no gradient of the likelihood.

    An energy is learned at noisy training images, and what it says far from them is extrapolation. There are textures
    that no image was near and whose log p is far above any photograph's; climbing log p ends in one (``mszoo experiment
    modes``). So compare images of one kind, and do not maximize log p at no noise. A warning tells, once for a model,
    of images larger than those of training where a network sees the whole image, and of a log p that no image of 8 bits
    can have. The mean of log p over noise of four grey levels takes most of such a texture's lead, and not all.

    Args:
        model: with an energy head at every scale.
        x: images (B, C, H, W) in [0, 1], in any floating-point type.
        unit: ``nats``, or ``dB/dim``: 10 log10 of the density per dimension, a scale that does not grow with the image.

    Raises:
        OptionsError: another unit.
        UnsupportedError: see :func:`normalize`.

    Example:
        >>> import torch, mszoo
        >>> model = mszoo.load("cifar10-grey-energy")
        >>> flat, noise = log_prob(model, torch.stack([torch.full((1, 16, 16), 0.5), torch.rand(1, 16, 16)]), "dB/dim")
        >>> bool(flat > noise)
        True
    """
    if unit not in _UNITS:
        raise OptionsError("log_prob", [(("unit",), f"should be one of {', '.join(_UNITS)}, got {unit!r}")])
    total = torch.stack(log_prob_scales(model, x)).sum(0)
    _doubt(model, x, total)
    return total if unit == "nats" else total * (10 / (x[0].numel() * math.log(10)))


def _doubt(model: MultiScaleModel, x: Tensor, log_p: Tensor) -> None:
    """Warn, once for a model, of images that are larger or stranger than those that it was trained on."""
    height, width = x.shape[-2:]
    most = model.trained_size
    if most is not None and model.reach is None and (height > most[0] or width > most[1]):
        _tell_once(
            model,
            f"this model sees the whole image and was trained on at most {most[0]}x{most[1]} pixels: do not believe "
            f"its log p of {height}x{width} pixels; cut the image, or take local energies (photographs-energy)",
        )
    d = x[0].numel()
    if any(nats > d * math.log(256) for nats in numbers(log_p)):
        _tell_once(
            model,
            "log p is above what any image of 8 bits can have (fewer than 0 bits a pixel): nothing like such an image "
            "was among those of training, do not believe it; see `mszoo guide log-prob`",
        )


def _tell_once(model: MultiScaleModel, doubt: str) -> None:
    if doubt not in model.has_doubted:
        model.has_doubted.add(doubt)
        warnings.warn(doubt, stacklevel=4)


def nll(
    model: MultiScaleModel, x: Tensor, dequantize: bool = False, generator: torch.Generator | int | None = None
) -> Tensor:
    """Negative log likelihood of 8-bit images in bits per dimension, (B,); smaller is better.

    The 8-bit convention of paper B: 8 - log2 p(x) / d at the pixels k / 255 themselves. It is a density at lattice
    points and bounds nothing: a model that snaps to the lattice would win. With ``dequantize`` uniform noise of one
    grey level is added, and log2 255 = 7.994 stands in place of 8: then its mean is an upper bound on the code length
    of the discrete image. Say which of them a number is.

    Args:
        model: with an energy head at every scale.
        x: images (B, C, H, W), multiples of 1/255.
        dequantize: add noise uniform in [-1/510, 1/510].
        generator: of that noise: a torch.Generator, a seed, or None: torch's global generator. Image i draws its own.

    Example:
        >>> import torch, mszoo
        >>> x = torch.full((1, 1, 16, 16), 128 / 255)
        >>> bool(nll(mszoo.load("cifar10-grey-energy"), x, dequantize=True, generator=0) < 8)
        True
    """
    bits = 8.0
    if dequantize:
        model.prepare(x)  # for its errors
        rows = [torch.rand(x.shape[1:], generator=g, dtype=torch.float32) for g in child_generators(generator, len(x))]
        x, bits = x.to(torch.promote_types(x.dtype, torch.float32)), math.log2(255)
        x = x + (torch.stack(rows).to(x) - 0.5) / 255
    return bits - log_prob(model, x) / (x[0].numel() * math.log(2))
