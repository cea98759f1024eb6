"""Denoisers that learn nothing, to hold models against: they are told the noise level."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
import skimage.restoration
import torch
from torch import Tensor

from mszoo.errors import UnsupportedError

__all__ = ["BASELINES", "check_installed", "denoise_by", "installed"]

_Denoise = Callable[[np.ndarray, float], np.ndarray]


def installed(name: str) -> bool:
    """Whether what a baseline needs is there; all but ``bm3d`` are scikit-image's.

    Example:
        >>> installed("tv")
        True
    """
    return name != "bm3d" or importlib.util.find_spec("bm3d") is not None


def check_installed(name: str) -> None:
    """Raise :class:`UnsupportedError`, saying how to install it, if what a baseline needs is not there."""
    if not installed(name):
        raise UnsupportedError(f"{name} is a package of its own: pip install 'mszoo[bench]'")


def denoise_by(name: str, y: Tensor, sigma: float) -> Tensor:
    """Denoise an image by a baseline.

    Args:
        name: one of :data:`BASELINES`.
        y: noisy image (1, C, H, W), C = 1 or 3, the clean one in [0, 1].
        sigma: standard deviation of its noise.

    Returns:
        The denoised image, of y's shape and type.

    Raises:
        UnsupportedError: the package that does it is not installed.

    Example:
        >>> x = torch.full((1, 1, 32, 32), 0.5)
        >>> y = x + 0.1 * torch.randn(x.shape)
        >>> [bool((denoise_by(name, y, 0.1) - x).std() < 0.06) for name in ("nl-means", "wavelet", "tv")]
        [True, True, True]
    """
    check_installed(name)
    image = y[0].permute(1, 2, 0).cpu().double().numpy()  # channels last
    image = image[..., 0] if y.shape[1] == 1 else image
    found = torch.from_numpy(np.ascontiguousarray(BASELINES[name](image, sigma))).to(y)
    return found.reshape(*y.shape[-2:], y.shape[1]).permute(2, 0, 1)[None].contiguous()


def _axis(image: np.ndarray) -> int | None:
    return None if image.ndim == 2 else -1


def _bm3d(image: np.ndarray, sigma: float) -> np.ndarray:
    """Dabov, Foi, Katkovnik, Egiazarian, IEEE TIP 2007; in colour, CBM3D: patches are matched by brightness."""
    bm3d = importlib.import_module("bm3d")
    return bm3d.bm3d(image, sigma) if image.ndim == 2 else bm3d.bm3d_rgb(image, sigma)


def _nl_means(image: np.ndarray, sigma: float) -> np.ndarray:
    """Buades, Coll, Morel, CVPR 2005."""
    return skimage.restoration.denoise_nl_means(
        image, 5, 6, 0.6 * sigma, sigma=sigma, fast_mode=True, channel_axis=_axis(image)
    )


def _wavelet(image: np.ndarray, sigma: float) -> np.ndarray:
    """BayesShrink: Chang, Yu, Vetterli, IEEE TIP 2000."""
    return skimage.restoration.denoise_wavelet(
        image, sigma, convert2ycbcr=image.ndim == 3, rescale_sigma=True, channel_axis=_axis(image)
    )


def _tv(image: np.ndarray, sigma: float) -> np.ndarray:
    """Total variation: Rudin, Osher, Fatemi, Physica D 1992, by Chambolle's method, until it has converged.

    The weight sigma is the best of 0.7 to 1.3 sigma in the mean of four photographs and noise of 0.05 to 0.4.
    """
    return skimage.restoration.denoise_tv_chambolle(image, sigma, eps=1e-5, max_num_iter=500, channel_axis=_axis(image))


BASELINES: dict[str, _Denoise] = {"bm3d": _bm3d, "nl-means": _nl_means, "wavelet": _wavelet, "tv": _tv}
"""The baselines by name, for images (H, W) or (H, W, 3) and a noise level."""
