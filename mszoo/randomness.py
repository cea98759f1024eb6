"""Random numbers that depend on a key, never on the neighbours in a batch or on the number of processes.

Two words, everywhere. ``generator`` is what a user who draws may give: a ``torch.Generator``, an integer, which means a
generator with that seed, or None, which means torch's global generator on the CPU, so that ``torch.manual_seed``
reproduces; nothing else of the global state is touched. ``seed`` is always an integer, with a default, of what should
come out the same every time: a measurement, the noise of a benchmark.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mszoo.errors import OptionsError

__all__ = ["Draw", "child_generators", "keyed_generator", "normal"]


def keyed_generator(*key: int) -> torch.Generator:
    """A generator on the CPU that depends on the integers of the key alone.

    Example:
        >>> one, again, other = (torch.rand(1, generator=keyed_generator(*key)) for key in ((3, 1), (3, 1), (1, 3)))
        >>> torch.equal(one, again), torch.equal(one, other)
        (True, False)
    """
    digest = hashlib.blake2b(struct.pack(f"<{len(key)}q", *key), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little", signed=True))


class Draw:
    """Random numbers for one training step: row i depends on (seed, step, index of sample i) alone.

    So a batch split over processes draws what one process would. A second call on the same draw gives new numbers;
    ``stream`` separates the draws of different scales.

    Args:
        seed: of the run.
        step: the optimizer step.
        indices: of the samples in the training set, one per row.
        stream: any integer.

    Example:
        >>> whole, part = Draw(0, 7, [3, 1, 4]), Draw(0, 7, [4])
        >>> x = torch.zeros(3, 1, 2, 2)
        >>> bool((whole.normal(x)[2:] == part.normal(x[2:])).all())
        True
    """

    def __init__(self, seed: int, step: int, indices: list[int], stream: int = 0) -> None:
        self._key = (seed, step, stream)
        self._indices = indices
        self._generators: list[torch.Generator] | None = None

    def scale(self, j: int) -> Draw:
        """The draw of scale j, independent of the others."""
        seed, step, _ = self._key
        return Draw(seed, step, self._indices, j + 1)

    def normal(self, x: Tensor) -> Tensor:
        """Standard normal numbers: the shape, dtype and device of x (B, ...)."""
        return self._fill(x, lambda row, generator: row.normal_(generator=generator))

    def uniform(self, x: Tensor) -> Tensor:
        """Uniform numbers in [0, 1): the shape, dtype and device of x (B, ...)."""
        u = self._fill(x, lambda row, generator: row.uniform_(generator=generator))
        return u.clamp_(max=1 - torch.finfo(x.dtype).eps / 2)  # half precision rounds up to 1

    def _fill(self, x: Tensor, fill: Callable[[Tensor, torch.Generator], Tensor]) -> Tensor:
        if len(x) != len(self._indices):
            raise ValueError(f"a draw for {len(self._indices)} samples cannot fill a batch of {len(x)}")
        if self._generators is None:
            self._generators = [keyed_generator(*self._key, i) for i in self._indices]
        rows = torch.empty(x.shape, dtype=torch.promote_types(x.dtype, torch.float32))
        for row, generator in zip(rows, self._generators, strict=True):
            fill(row, generator)
        return rows.to(device=x.device, dtype=x.dtype)


def child_generators(generator: torch.Generator | int | None, count: int) -> list[torch.Generator]:
    """One generator per image, its seed drawn from the given one, in order.

    Image i draws from its own alone, so it does not depend on how many others there are.

    Args:
        generator: a torch.Generator, a seed, or None: torch's global generator.
        count: of images.

    Raises:
        OptionsError: neither of these, or a seed that torch does not take.

    Example:
        >>> few, many = child_generators(7, 2), child_generators(7, 5)
        >>> [generator.initial_seed() for generator in few] == [generator.initial_seed() for generator in many[:2]]
        True
    """
    if isinstance(generator, int):
        try:
            generator = torch.Generator().manual_seed(generator)
        except (RuntimeError, ValueError, OverflowError):
            fault = f"a seed is an integer of at most 64 bits, got {generator}"
            raise OptionsError("generator", [((), fault)]) from None
    if generator is not None and not isinstance(generator, torch.Generator):
        fault = f"should be a torch.Generator, an integer or None, got {type(generator).__name__}"
        raise OptionsError("generator", [((), fault)])
    device = "cpu" if generator is None else generator.device
    seeds = torch.randint(2**62, (count,), generator=generator, device=device).tolist()
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def normal(like: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Standard normal numbers of a batch's shape, row i from generator i.

    Example:
        >>> x = torch.empty(3, 1, 8, 8)
        >>> torch.equal(normal(x, child_generators(7, 3))[:2], normal(x[:2], child_generators(7, 2)))
        True
    """
    rows = [torch.randn(like.shape[1:], generator=g, dtype=torch.float32) for g in generators]
    return torch.stack(rows).to(like)
