"""The published batches of downsampled ImageNet (and of CIFAR-10): pickled dictionaries of pixel arrays.

*A downsampled variant of ImageNet as an alternative to the CIFAR datasets* (Chrabaszcz, Loshchilov, Hutter, 2017,
arXiv 1707.08819): ``train_data_batch_1`` ... ``10`` and ``val_data``, each a dictionary whose ``data`` is
(N, 3 S S) uint8. Pickles can run code; of these only arrays and plain values are built (``mszoo.pickles``).
"""

from __future__ import annotations

import glob
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mszoo.data.base import ImageDataset
from mszoo.data.images import from_array, to_unit
from mszoo.errors import DataError
from mszoo.pickles import read_arrays
from mszoo.registry import natural_order

__all__ = ["PickledBatches"]


class PickledBatches(ImageDataset):
    """Square images of one size from pickled batches; all pixels are kept in memory (ImageNet64 in colour: 16 GB).

    Args:
        channels: 1 (Pillow's luma) or 3.
        path: one file, or a glob such as ``"imagenet64/train_data_batch_*"``; ``~`` is the home folder.

    Raises:
        DataError: nothing there, a file of another kind, or images of different sizes.

    Example:
        >>> import pickle, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     batch = {"data": np.zeros((2, 3 * 16 * 16), np.uint8), "labels": [5, 8]}
        ...     _ = Path(folder, "val_data").write_bytes(pickle.dumps(batch))
        ...     images = PickledBatches(3, path=f"{folder}/val_*")
        >>> len(images), images[0].shape
        (2, torch.Size([3, 16, 16]))
    """

    def __init__(self, channels: int, *, path: str) -> None:
        super().__init__(channels)
        if channels not in (1, 3):
            raise DataError(f"pickled batches have 1 or 3 channels, the model has {channels}")
        place = str(Path(path).expanduser())
        found = [place] if Path(place).is_file() else glob.glob(place)
        files = [Path(p) for p in sorted(found, key=natural_order)]
        if not files:
            raise DataError(f"{path}: no such file")
        parts = [_grey(pixels) if channels == 1 else pixels for pixels in map(_read, files)]
        sides = {part.shape[-1] for part in parts}
        if len(sides) > 1:
            raise DataError(f"{path}: images of different sizes: {', '.join(map(str, sorted(sides)))}")
        self._images = np.concatenate(parts) if len(parts) > 1 else parts[0]
        self._name = Path(path).name

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, i: int) -> Tensor:
        """See :meth:`ImageDataset.__getitem__`."""
        return to_unit(torch.from_numpy(self._images[i]))

    def size(self, i: int) -> tuple[int, int]:
        """The same for all."""
        return self._images.shape[2], self._images.shape[3]

    def label(self, i: int) -> str:
        """The path and the number of the image."""
        return f"{self._name}[{i}]"


def _read(path: Path) -> np.ndarray:
    """Pixels of a batch, (N, 3, S, S) uint8."""
    contents = read_arrays(path)
    if contents.refused:
        raise DataError(
            f"{path} is no pickled batch of images: it wants to build a {contents.refused[0]}, which is refused"
        )
    batch = contents.value
    data = batch.get("data", batch.get(b"data")) if isinstance(batch, dict) else None
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2:
        raise DataError(f"{path}: a batch is a dictionary with 'data', an array (images, 3 x side x side) of bytes")
    side = math.isqrt(data.shape[1] // 3)
    if 3 * side * side != data.shape[1]:
        raise DataError(f"{path}: rows of {data.shape[1]} bytes are no square colour images")
    return data.reshape(-1, 3, side, side)


def _grey(pixels: np.ndarray) -> np.ndarray:
    """(N, 3, S, S) to (N, 1, S, S), with Pillow's luma weights."""
    n, _, side, _ = pixels.shape
    tall = Image.fromarray(np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)).reshape(n * side, side, 3))
    return from_array(np.asarray(tall.convert("L"))).reshape(n, 1, side, side).numpy()
