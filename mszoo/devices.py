"""Where to compute: the device that is asked for, or the best there is; and float64 where a device has none."""

from __future__ import annotations

import torch
from torch import Tensor

from mszoo.errors import UnsupportedError

__all__ = ["choose_device", "in_float64"]


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """The device to compute on.

    Args:
        device: as torch takes it; ``auto``: CUDA's GPU, or else Apple's (``mps``), or else the CPU.

    Raises:
        UnsupportedError: no such device on this machine.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0]
        raise UnsupportedError(
            f"device {str(device)!r} cannot be used here: {reason}; use auto, cpu, cuda or mps"
        ) from None


def in_float64(x: Tensor) -> Tensor:
    """The tensor in float64, on its device; on the CPU if it is on one that has no float64 (Apple's).

    Example:
        >>> in_float64(torch.zeros(2)).dtype
        torch.float64
    """
    return (x.cpu() if x.device.type == "mps" else x).double()
