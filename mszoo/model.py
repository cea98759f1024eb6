r"""One model for both papers: a wavelet basis, a chain of scales, and a head at each.

.. math:: \log p(x) = \log p(x_J) + \sum_{j=0}^{J-1} \log p(\bar x_j \mid x_j)

Scale j < J is a head on the details :math:`\bar x_j`, conditioned on the coarser image :math:`x_j`; scale J is a
head on the coarsest image. With J = 0 there is no basis, and the coarse head is the whole model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mszoo.bases import Basis, check_size, pad_to_multiple
from mszoo.build import build_parts
from mszoo.errors import ImageSizeError, MszooError, UnsupportedError
from mszoo.heads import EnergyHead, Head
from mszoo.heads.base import per_image
from mszoo.heads.normalization import Constant
from mszoo.options import validate
from mszoo.recipe.schema import ModelConfig
from mszoo.summary import ScaleSummary, summarize

if TYPE_CHECKING:
    from mszoo.inference import Operator
    from mszoo.inference.likelihood import Unit

__all__ = ["MultiScaleModel"]


class MultiScaleModel(nn.Module):
    """An image probability model over scales.

    Args:
        channels: of the image.
        coarse: head of the coarsest image (of the whole image when there is no basis).
        basis: the wavelet basis; None for a single scale.
        detail: heads of the details, finest first; each is conditioned on the coarser image.

    Example:
        >>> import torch
        >>> part = {"conditioner": {"name": "bias_free_cnn", "receptive_field": 5}, "head": "denoiser"}
        >>> config = {"basis": "haar", "levels": 2, "detail": part, "coarse": part}
        >>> model = MultiScaleModel.from_config(config).eval()
        >>> model.denoise(torch.rand(4, 1, 32, 40)).shape
        torch.Size([4, 1, 32, 40])
    """

    def __init__(self, channels: int, coarse: Head, basis: Basis | None = None, detail: Sequence[Head] = ()) -> None:
        super().__init__()
        if (basis is None) != (not detail):
            raise MszooError("a basis and heads of the details come together, or neither")
        self.channels = channels
        self.basis = basis
        self.detail = nn.ModuleList(detail)
        self.coarse = coarse
        self.constants: dict[tuple[int, int, int], Constant] = {}
        self.largest_t = 1e3  # where an energy's constant is found: within the noise variances it was trained at
        self.folder: Path | None = None  # that it was read from

    # ---- building, saving ------------------------------------------------------------------------------------

    @classmethod
    def from_config(cls, config: ModelConfig | dict[str, Any]) -> MultiScaleModel:
        """Build from the ``model`` part of a recipe, with fresh weights.

        Raises:
            OptionsError: unknown parts or options, or parts that do not fit; every fault is listed.
        """
        if not isinstance(config, ModelConfig):
            config = validate(ModelConfig, config, "model")
        basis, detail, coarse = build_parts(config)
        return cls(config.channels, coarse, basis, detail)

    def config(self) -> dict[str, Any]:
        """What :meth:`from_config` rebuilds the model from. Only for models whose parts came from the registry."""

        def scale(head: Head) -> dict[str, Any]:
            return {"conditioner": head.conditioner.part.config(), "head": head.part.config()}

        try:
            return {
                "channels": self.channels,
                "basis": self.basis.part.config() if self.basis is not None else None,
                "levels": self.levels,
                "detail": [scale(head) for head in self.scales[:-1]],
                "coarse": scale(self.coarse),
            }
        except AttributeError:
            raise UnsupportedError(
                "this model has a part that was built directly; build its parts with mszoo.create(kind, name, ...) "
                "or the model with MultiScaleModel.from_config(...), so that it can be saved and built again"
            ) from None

    def save_pretrained(self, folder: str | Path, *, beside: dict[str, str] | None = None) -> None:
        """Write a checkpoint folder that :func:`mszoo.load` reads; ``beside``: text of further files, by name."""
        from mszoo.checkpoint.saving import save_model

        return save_model(self, folder, beside)

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str | torch.device = "cpu") -> MultiScaleModel:
        """Read a checkpoint folder, in eval mode; see :func:`mszoo.checkpoint.reading.read_model`."""
        from mszoo.checkpoint.reading import read_model

        return read_model(folder, device)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Publish to the Hugging Face Hub; see :func:`mszoo.hub.pushing.push_model`."""
        from mszoo.hub.pushing import push_model

        return push_model(self, repo_id, **options)

    # ---- structure -------------------------------------------------------------------------------------------

    @property
    def levels(self) -> int:
        """J, how often an image is split; both its sides must be multiples of 2^J."""
        return len(self.detail)

    @property
    def scales(self) -> list[Head]:
        """Heads of the scales 0 (finest) to J (coarse)."""
        return [*self.detail, self.coarse]  # type: ignore[list-item]

    @property
    def blind(self) -> bool:
        """Whether it denoises without being told the noise level."""
        return all(head.blind for head in self.scales)

    @property
    def unit(self) -> int:
        """What both sides of an image must be multiples of."""
        return math.lcm(*(2 ** min(j + 1, self.levels) * h.conditioner.unit for j, h in enumerate(self.scales)))

    @property
    def reach(self) -> int | None:
        """Pixels to each side that one denoised pixel depends on; None: the whole image."""
        # filters of the analysis down to the coarsest image and of the synthesis back
        reach = 0 if self.basis is None else 2 * sum(2**k * self.basis.taps for k in range(self.levels))
        for j, head in enumerate(self.scales):
            field = head.receptive_field
            if field is None:
                return None
            reach += 2 ** min(j + 1, self.levels) * (field // 2)
        return reach

    def summary(self) -> list[ScaleSummary]:
        """What each scale is made of, finest first: names of its parts, receptive field, number of parameters.

        Example:
            >>> import mszoo
            >>> [row.receptive_field for row in mszoo.load("photographs-haar-rf13").summary()]
            [13, 13, None]
        """
        return summarize(self.scales)

    def coarse_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the coarsest image of an image. Raises :class:`ImageSizeError` if it cannot be split."""
        check_size(*size, self.levels)
        return size[0] // 2**self.levels, size[1] // 2**self.levels

    def train(self, mode: bool = True) -> MultiScaleModel:
        """See :meth:`torch.nn.Module.train`; constants of energies that may change are forgotten."""
        if mode:
            self.constants.clear()
        return super().train(mode)

    def load_state_dict(self, *given: Any, **options: Any) -> Any:
        """See :meth:`torch.nn.Module.load_state_dict`; constants of the energies before are forgotten."""
        self.constants.clear()
        return super().load_state_dict(*given, **options)

    def decompose(self, x: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        """Coefficients and condition of every scale, finest first.

        Args:
            x: image (B, C, H, W).

        Returns:
            For j < J the details (B, 3C, h, w) and the coarser image (B, C, h, w); last the coarsest image and None.
        """
        self._check(x)
        parts: list[tuple[Tensor, Tensor | None]] = []
        for _ in range(self.levels):
            x, detail = self.basis.analyze(x)  # type: ignore[union-attr]
            parts.append((detail, x))
        return [*parts, (x, None)]

    # ---- questions -------------------------------------------------------------------------------------------

    def denoise(self, y: Tensor, sigma: float | Tensor | None = None, *, pad: bool = False) -> Tensor:
        """Estimate the clean image, coarse to fine (paper A, algorithm 1).

        Args:
            y: noisy image (B, C, H, W), the clean one in [0, 1].
            sigma: standard deviation of the noise, a float or (B,); None for a blind model.
            pad: mirror an image whose sides are not multiples of 2^J, and crop the result.

        Returns:
            Denoised image (B, C, H, W).

        Raises:
            ImageSizeError: wrong number of channels, or sides that need ``pad``.
            UnsupportedError: no sigma, for a model that is not blind.
        """
        t = self._variance(y, sigma)
        if pad:
            self._check(y, split=False)
            height, width = y.shape[-2:]
            return self._denoise(pad_to_multiple(y, 2**self.levels), t)[..., :height, :width]
        return self._denoise(y, t)

    def denoise_scales(self, y: Tensor, sigma: float | Tensor | None = None) -> list[Tensor]:
        """Every scale's estimate on the way to :meth:`denoise`, finest first.

        Args:
            y: noisy image (B, C, H, W), the clean one in [0, 1].
            sigma: as for :meth:`denoise`.

        Returns:
            Denoised images x_0 ... x_J in orthonormal units: x_j is (B, C, H / 2^j, W / 2^j), 2^j times local means.
        """
        return list(self._estimates(y, self._variance(y, sigma)))[::-1]

    def score(self, y: Tensor, t: float | Tensor) -> Tensor:
        """Gradient of log p(y | t) at noise variance t, a float or (B,); the shape of y.

        For J > 0 it is (denoise(y) - y) / t, the coarse-to-fine estimate, and not exactly a gradient field.
        """
        t = _per_image(t, y, "t")
        if self.levels == 0:
            self._check(y)
            return self.coarse.score(y, t)
        return (self._denoise(y, t) - y) / per_image(t, y)

    def energy(self, y: Tensor, t: float | Tensor = 0.0) -> Tensor:
        """-log p(y | t) in nats, (B,), for a single scale with an energy head.

        Up to a constant for each size of image, which :meth:`log_prob` adds, unless the head is ``anchored``.
        """
        return self._energy_head(y).energy(y, _per_image(t, y, "t"))

    def time_score(self, y: Tensor, t: float | Tensor) -> Tensor:
        """Derivative of log p(y | t) in the noise variance t, (B,), for a single scale with an energy head."""
        return self._energy_head(y).time_score(y, _per_image(t, y, "t"))

    def log_prob(self, x: Tensor, unit: Unit = "nats") -> Tensor:
        """log p(x), (B,); see :func:`mszoo.inference.log_prob`."""
        from mszoo.inference import log_prob

        return log_prob(self, x, unit)

    def nll(self, x: Tensor, dequantize: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """Negative log likelihood in bits per dimension, (B,); see :func:`mszoo.inference.nll`."""
        from mszoo.inference import nll

        return nll(self, x, dequantize, generator)

    def sample(self, count: int = 1, size: int | tuple[int, int] = 64, **options: Any) -> Tensor:
        """Draw images; see :func:`mszoo.inference.sample`."""
        from mszoo.inference import sample

        return sample(self, count, size, **options)

    def super_resolve(self, low: Tensor, factor: int = 4, **options: Any) -> Tensor:
        """Enlarge images; see :func:`mszoo.inference.super_resolve`."""
        from mszoo.inference import super_resolve

        return super_resolve(self, low, factor, **options)

    def solve(self, measurement: Tensor, operator: Operator, **options: Any) -> Tensor:
        """Images that have a measurement and are likely; see :func:`mszoo.inference.solve`."""
        from mszoo.inference import solve

        return solve(self, measurement, operator, **options)

    def forward(self, y: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        """Same as :meth:`denoise`."""
        return self.denoise(y, sigma)

    # ---- inside ----------------------------------------------------------------------------------------------

    def _variance(self, y: Tensor, sigma: float | Tensor | None) -> Tensor | None:
        if sigma is not None:
            return _per_image(sigma, y, "sigma").square()
        if not self.blind:
            raise UnsupportedError(
                "this model is not blind: give the noise's standard deviation, denoise(y, sigma) "
                "(on the command line: --sigma)"
            )
        return None

    def _denoise(self, y: Tensor, t: Tensor | None) -> Tensor:
        *_, x = self._estimates(y, t)
        return x

    def _estimates(self, y: Tensor, t: Tensor | None) -> Iterator[Tensor]:
        """Denoised x_J, ..., x_0 (paper A, algorithm 1)."""
        *details, (low, _) = self.decompose(y)
        x = self.coarse.denoise(low, t)
        yield x
        for head, (detail, _) in zip(reversed(self.scales[:-1]), reversed(details), strict=True):
            x = self.basis.synthesize(x, head.denoise(detail, t, x))  # type: ignore[union-attr]
            yield x

    def _energy_head(self, y: Tensor) -> EnergyHead:
        if self.levels:
            raise UnsupportedError(
                f"a model of {self.levels} levels has no energy of a noisy image: its chain rule holds for clean "
                f"coarser images; use model.scales[j].energy(y, t, cond) for one scale"
            )
        if not isinstance(self.coarse, EnergyHead):
            raise UnsupportedError(
                f"the head {type(self.coarse).__name__} has no energy; train a recipe with an energy head "
                f"(`mszoo components head`)"
            )
        self._check(y)
        return self.coarse

    def _check(self, x: Tensor, split: bool = True) -> None:
        if x.ndim != 4 or x.shape[1] != self.channels:
            advice = "; a grey model takes a colour image channel by channel" if self.channels == 1 else ""
            raise ImageSizeError(f"this model takes images (B, {self.channels}, H, W), got {tuple(x.shape)}{advice}")
        if not x.is_floating_point():
            raise ImageSizeError(f"images are floating-point tensors in [0, 1], got {x.dtype}; divide by 255?")
        check_size(x.shape[-2], x.shape[-1], self.levels if split else 0)


def _per_image(value: float | Tensor, y: Tensor, name: str) -> Tensor:
    """A float or (B,) as (B,), checked."""
    values = torch.as_tensor(value, dtype=y.dtype, device=y.device).reshape(-1)
    if values.numel() not in (1, len(y)):
        raise ImageSizeError(f"{name} is one number or one per image ({len(y)}), got {values.numel()} numbers")
    if not torch.compiler.is_compiling() and not bool((values >= 0).all()):
        raise ImageSizeError(f"{name} must not be negative, got {values.min().item():g}")
    return values.expand(len(y))
