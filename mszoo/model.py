r"""One model for both papers: a wavelet basis, a chain of scales, and a head at each.

.. math:: \log p(x) = \log p(x_J) + \sum_{j=0}^{J-1} \log p(\bar x_j \mid x_j)

Scale j < J is a head on the details :math:`\bar x_j`, conditioned on the coarser image :math:`x_j`; scale J is a
head on the coarsest image. With J = 0 there is no basis, and the coarse head is the whole model.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from mszoo.arguments import check_images, doubt, noise_levels
from mszoo.bases import Basis, check_multiple, check_size, pad_to_multiple
from mszoo.build import build_parts
from mszoo.errors import MszooError, UnsupportedError
from mszoo.heads import EnergyHead, Head
from mszoo.heads.base import per_image
from mszoo.heads.normalization import Constant
from mszoo.options import validate
from mszoo.recipe.schema import ModelConfig
from mszoo.summary import ScaleSummary, summarize

if TYPE_CHECKING:
    from mszoo.inference import Operator, Schedule
    from mszoo.inference.likelihood import Unit
    from mszoo.inference.maximum import OnClimb
    from mszoo.inference.sampling import OnScale
    from mszoo.samplers import AnySampler, OnStep

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
        # Of every scale, the largest noise variance it was trained at: where drawing begins at most, and where the
        # constant of the coarsest scale's energy is found.
        self.largest_t = [1e3] * (len(detail) + 1)
        self.trained_size: tuple[int, int] | None = None  # largest height and width it was trained on, where known
        self.folder: Path | None = None  # that it was read from
        self._has_said_blind = False
        self.has_doubted: set[str] = set()  # what of a density's limits has been told

    # ---- building, saving ------------------------------------------------------------------------------------

    @classmethod
    def from_config(cls, config: ModelConfig | dict[str, Any]) -> MultiScaleModel:
        """Build from the ``model`` part of a recipe, with fresh weights.

        Raises:
            OptionsError: unknown parts or options, or parts that do not fit; every fault is listed.

        Example:
            >>> part = {"conditioner": {"name": "unet", "width": 4, "halvings": 1}, "head": "anchored"}
            >>> MultiScaleModel.from_config({"channels": 3, "coarse": part}).unit
            2
        """
        if not isinstance(config, ModelConfig):
            config = validate(ModelConfig, config, "model")
        basis, detail, coarse = build_parts(config)
        return cls(config.channels, coarse, basis, detail)

    def config(self) -> dict[str, Any]:
        """What :meth:`from_config` rebuilds the model from. Only for models whose parts came from the registry.

        Example:
            >>> import mszoo
            >>> config = mszoo.load("photographs-haar-rf13").config()
            >>> config["basis"], config["levels"]
            ({'name': 'haar'}, 2)
        """

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
                "or the model with MultiScaleModel.from_config(...), so that it can be saved and built again; "
                "if it was made fast, save the model that fast was given"
            ) from None

    def save_pretrained(self, folder: str | Path, *, beside: dict[str, str] | None = None) -> None:
        """Write a checkpoint folder that :func:`mszoo.load` reads; ``beside``: text of further files, by name.

        Example:
            >>> import tempfile, mszoo
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     mszoo.load("cifar10-grey-energy").save_pretrained(folder)
            ...     mszoo.load(folder).blind
            False
        """
        from mszoo.checkpoint.saving import save_model

        return save_model(self, folder, beside)

    @classmethod
    def from_pretrained(
        cls, name_or_folder: str | Path, device: str | torch.device = "cpu", *, revision: str | None = None
    ) -> MultiScaleModel:
        """Same as :func:`mszoo.load`: a packaged model, a checkpoint folder, or a repository of the Hub.

        Args:
            name_or_folder: a name, a folder, or ``owner/name`` on the Hub.
            device: where to put it; ``auto``: a GPU if there is one.
            revision: branch, tag or commit of a model of the Hub; None: main.

        Example:
            >>> MultiScaleModel.from_pretrained("cifar10-grey-energy").levels
            0
        """
        from mszoo.api import load

        return load(name_or_folder, device, revision=revision)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        revision: str | None = None,
        private: bool = False,
        tag: str | None = None,
        unmeasured: bool = False,
    ) -> str:
        """Publish to the Hugging Face Hub; returns the address. Errors: see ``mszoo.hub.pushing.push_model``.

        Args:
            repo_id: ``owner/name``; it is created if there is none.
            revision: the branch; None: main.
            private: whether a new repository is private.
            tag: to set on the commit; None: none.
            unmeasured: publish a model without measurements too.

        Example:
            >>> import mszoo
            >>> mszoo.load("runs/mine").push_to_hub("owner/name", tag="v1.0")  # doctest: +SKIP
        """
        from mszoo.hub.pushing import push_model

        return push_model(self, repo_id, revision=revision, private=private, tag=tag, unmeasured=unmeasured)

    # ---- structure -------------------------------------------------------------------------------------------

    @property
    def levels(self) -> int:
        """J, how often an image is split: positions of the wavelet grid repeat after 2^J pixels."""
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
        """What both sides of an image must be multiples of: 2^J, or more where a network halves its input too."""
        return math.lcm(*(2 ** min(j + 1, self.levels) * h.conditioner.unit for j, h in enumerate(self.scales)))

    @property
    def grid(self) -> int:
        """What an image may be shifted by for the estimate to move with it: a multiple of :attr:`unit`."""
        strides = (2 ** min(j + 1, self.levels) * h.conditioner.stride for j, h in enumerate(self.scales))
        return math.lcm(self.unit, *strides)

    @property
    def dtype(self) -> torch.dtype:
        """The type in which its networks compute. Images of other floating-point types are converted to it and back."""
        heads = [head for head in self.scales if not getattr(head.conditioner, "converts", False)]
        found = [p.dtype for head in heads for p in head.parameters() if p.is_floating_point()]
        return max(found, key=lambda dtype: torch.finfo(dtype).bits, default=torch.float32)

    @property
    def device(self) -> torch.device:
        """Where it computes, and its images have to be."""
        return next(self.parameters()).device

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
            [13, 13, 97]
        """
        return summarize(self.scales)

    def coarse_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the coarsest image of an image. Raises :class:`ImageSizeError` if it does not fit.

        Example:
            >>> import mszoo
            >>> mszoo.load("photographs-haar-rf13").coarse_size((64, 80))
            (16, 20)
        """
        check_multiple(*size, self.unit)
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

    def prepare(self, x: Tensor, unit: int | None = None) -> Tensor:
        """An image as the networks take it: checked, and in their floating-point type, :attr:`dtype`.

        Args:
            x: image (B, C, H, W).
            unit: what both sides must be multiples of; None: :attr:`unit`.

        Raises:
            ImageSizeError: no batch of images of this model's channels and of such sides.

        Example:
            >>> import torch, mszoo
            >>> mszoo.load("cifar10-grey-energy").prepare(torch.rand(1, 1, 16, 16).double()).dtype
            torch.float32
        """
        check_images(x, self.channels)
        check_multiple(x.shape[-2], x.shape[-1], self.unit if unit is None else unit)
        return x.to(self.dtype)

    def decompose(self, x: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        """Coefficients and condition of every scale, finest first.

        Args:
            x: image (B, C, H, W).

        Returns:
            For j < J the details (B, 3C, h, w) and the coarser image (B, C, h, w); last the coarsest image and None.

        Example:
            >>> import torch, mszoo
            >>> [c.shape[1:] for c, _ in mszoo.load("photographs-haar-rf13").decompose(torch.rand(1, 1, 16, 16))]
            [torch.Size([3, 8, 8]), torch.Size([3, 4, 4]), torch.Size([1, 4, 4])]
        """
        check_images(x, self.channels)
        check_size(x.shape[-2], x.shape[-1], self.levels)
        parts: list[tuple[Tensor, Tensor | None]] = []
        for _ in range(self.levels):
            x, detail = self.basis.analyze(x)  # type: ignore[union-attr]
            parts.append((detail, x))
        return [*parts, (x, None)]

    # ---- questions -------------------------------------------------------------------------------------------

    def denoise(self, y: Tensor, sigma: float | Tensor | None = None, *, pad: bool = False) -> Tensor:
        """Estimate the clean image, coarse to fine (paper A, algorithm 1).

        Args:
            y: noisy image (B, C, H, W), the clean one in [0, 1], in any floating-point type: the networks compute in
                their own (:attr:`dtype`).
            sigma: standard deviation of the noise, a float or (B,), for images in [0, 1]: 25/255 where others write
                25. None: a blind model needs none, and energies find it (:meth:`noise_level`); derivatives hold it.
            pad: mirror an image whose sides are not multiples of :attr:`unit`, and crop the result.

        Returns:
            Denoised image (B, C, H, W), in y's type.

        Raises:
            ImageSizeError: no batch of images of this model's channels, or sides that need ``pad``.
            OptionsError: a sigma that is no noise level.
            UnsupportedError: no sigma, for a model that is not blind and not of energies at every scale.

        Example:
            >>> import torch, mszoo
            >>> model = mszoo.load("cifar10-grey-energy")
            >>> model.denoise(torch.rand(2, 1, 30, 40), sigma=torch.tensor([0.1, 0.2]), pad=True).shape
            torch.Size([2, 1, 30, 40])
        """
        x = self.prepare(y, 1 if pad else None)
        if pad:
            x = pad_to_multiple(x, self.unit)
        height, width = y.shape[-2:]
        x = self._denoise(x, self._variance(x, sigma))
        return x[..., :height, :width].to(y.dtype)

    def denoise_scales(self, y: Tensor, sigma: float | Tensor | None = None) -> list[Tensor]:
        """Every scale's estimate on the way to :meth:`denoise`, finest first.

        Args:
            y: noisy image (B, C, H, W), the clean one in [0, 1].
            sigma: as for :meth:`denoise`.

        Returns:
            Denoised images x_0 ... x_J in orthonormal units: x_j is (B, C, H / 2^j, W / 2^j), 2^j times local means.

        Example:
            >>> import torch, mszoo
            >>> model = mszoo.load("photographs-haar-rf13")
            >>> [x.shape[-1] for x in model.denoise_scales(torch.rand(1, 1, 16, 16))]
            [16, 8, 4]
        """
        x = self.prepare(y)
        return [estimate.to(y.dtype) for estimate in self._estimates(x, self._variance(x, sigma))][::-1]

    def score(self, y: Tensor, t: float | Tensor) -> Tensor:
        """Gradient of log p(y | t) at noise variance t, a float or (B,); the shape of y, in float32 or wider.

        For J > 0 it is (denoise(y) - y) / t, the coarse-to-fine estimate, and not exactly a gradient field. It needs
        t > 0, and so does a head that denoises and has no score of its own.

        Example:
            >>> import torch, mszoo
            >>> model = mszoo.load("cifar10-grey-energy")
            >>> y, t = torch.rand(1, 1, 16, 16), 0.01
            >>> torch.allclose(y + t * model.score(y, t), model.denoise(y, sigma=t**0.5), atol=1e-5)
            True
        """
        x = self.prepare(y)
        divided = self.levels > 0 or type(self.coarse).score is Head.score
        t = noise_levels("t", t, x, positive="the score is (denoise(y) - y) / t" if divided else None)
        score = (self._denoise(x, t) - x) / per_image(t, x) if self.levels else self.coarse.score(x, t)
        return score.to(_wide(y))

    def energy(self, y: Tensor, t: float | Tensor = 0.0) -> Tensor:
        """-log p(y | t) in nats, (B,), for a single scale with an energy head; in float32 or wider.

        Up to a constant for each size of image, which :meth:`log_prob` adds, unless the head is ``anchored``.

        Example:
            >>> import torch, mszoo
            >>> model = mszoo.load("cifar10-grey-energy")
            >>> x = torch.rand(1, 1, 16, 16)
            >>> torch.allclose(-model.energy(x), model.log_prob(x))
            True
        """
        head, x = self._energy_head(), self.prepare(y)
        return head.energy(x, noise_levels("t", t, x)).to(_wide(y))

    def time_score(self, y: Tensor, t: float | Tensor) -> Tensor:
        """Derivative of log p(y | t) in the noise variance t, (B,), for a single scale with an energy head.

        Example:
            >>> import torch, mszoo
            >>> mszoo.load("cifar10-grey-energy").time_score(torch.rand(3, 1, 16, 16), 0.1).shape
            torch.Size([3])
        """
        head, x = self._energy_head(), self.prepare(y)
        return head.time_score(x, noise_levels("t", t, x)).to(_wide(y))

    def noise_level(self, y: Tensor) -> Tensor:
        """The noise variance t at which y is most likely, (B,); see :func:`mszoo.inference.noise_level`.

        Example:
            >>> import torch, mszoo
            >>> mszoo.load("cifar10-grey-energy").noise_level(torch.rand(2, 1, 16, 16)).shape
            torch.Size([2])
        """
        from mszoo.inference import noise_level

        return noise_level(self, y)

    def log_prob(self, x: Tensor, unit: Unit = "nats") -> Tensor:
        """log p(x), (B,); see :func:`mszoo.inference.log_prob`, which also says where not to believe it.

        Example:
            >>> import torch, mszoo
            >>> mszoo.load("cifar10-grey-energy").log_prob(torch.rand(3, 1, 16, 16), unit="dB/dim").shape
            torch.Size([3])
        """
        from mszoo.inference import log_prob

        return log_prob(self, x, unit)

    def log_prob_map(self, x: Tensor) -> list[Tensor]:
        """The share of every place in log p, for each scale; see :func:`mszoo.inference.log_prob_map`.

        Example:
            >>> import torch, mszoo
            >>> [shares.shape for shares in mszoo.load("cifar10-grey-energy").log_prob_map(torch.rand(3, 1, 16, 16))]
            [torch.Size([3, 16, 16])]
        """
        from mszoo.inference import log_prob_map

        return log_prob_map(self, x)

    def nll(self, x: Tensor, dequantize: bool = False, generator: torch.Generator | int | None = None) -> Tensor:
        """Negative log likelihood in bits per dimension, (B,); see :func:`mszoo.inference.nll`.

        Args:
            x: images (B, C, H, W), multiples of 1/255.
            dequantize: add noise uniform in [-1/510, 1/510].
            generator: of that noise: a torch.Generator, a seed, or None: torch's global generator.

        Example:
            >>> import torch, mszoo
            >>> mszoo.load("cifar10-grey-energy").nll(torch.full((2, 1, 16, 16), 128 / 255)).shape
            torch.Size([2])
        """
        from mszoo.inference import nll

        return nll(self, x, dequantize, generator)

    def sample(
        self,
        count: int = 1,
        size: int | tuple[int, int] = 64,
        *,
        sampler: AnySampler | None = None,
        generator: torch.Generator | int | None = None,
        coarse: AnySampler | None = None,
        detail: AnySampler | None = None,
        contrast: tuple[float, float] | None = (0.0, 0.8),
        on_step: OnScale | None = None,
    ) -> Tensor:
        """Draw images; see :func:`mszoo.inference.sample`.

        Args:
            count: how many.
            size: side, or (height, width), in pixels.
            sampler: of every scale: a name, a mapping with its options, or a sampler; None: ``ascent`` where a head is
                blind, ``heun`` where it takes t.
            generator: a torch.Generator, a seed, or None: torch's global generator.
            coarse: another sampler for the coarsest image.
            detail: another one for the details.
            contrast: range to which each coarsest image is stretched; None: leave it.
            on_step: called with the scale, the step, that scale's coefficients and their noise levels.

        Example:
            >>> import mszoo
            >>> from mszoo.inference import Schedule
            >>> model, steps = mszoo.load("photographs-haar-rf13"), Schedule(h0=0.5)
            >>> model.sample(2, 16, generator=0, coarse=steps, detail=steps).shape
            torch.Size([2, 1, 16, 16])
        """
        from mszoo.inference import sample

        return sample(
            self,
            count,
            size,
            sampler=sampler,
            generator=generator,
            coarse=coarse,
            detail=detail,
            contrast=contrast,
            on_step=on_step,
        )

    def super_resolve(
        self,
        low: Tensor,
        factor: int = 4,
        *,
        mean_of: int = 1,
        sampler: AnySampler | None = None,
        generator: torch.Generator | int | None = None,
        on_step: OnScale | None = None,
    ) -> Tensor:
        """Enlarge images; see :func:`mszoo.inference.super_resolve`.

        Args:
            low: images (B, C, h, w) in [0, 1].
            factor: a power of two, 2 to 2^J.
            mean_of: how many samples each result is the mean of.
            sampler: of the details, as for :meth:`sample`.
            generator: a torch.Generator, a seed, or None: torch's global generator.
            on_step: called with the scale, the step, that scale's coefficients and their noise levels.

        Example:
            >>> import torch, mszoo
            >>> from mszoo.inference import Schedule
            >>> model, steps = mszoo.load("photographs-haar-rf13"), Schedule(h0=0.5)
            >>> model.super_resolve(torch.rand(1, 1, 8, 8), factor=2, generator=0, sampler=steps).shape
            torch.Size([1, 1, 16, 16])
        """
        from mszoo.inference import super_resolve

        return super_resolve(self, low, factor, mean_of=mean_of, sampler=sampler, generator=generator, on_step=on_step)

    def solve(
        self,
        measurement: Tensor,
        operator: Operator,
        sigma: float | Tensor | Literal["auto"] | None = None,
        *,
        mean_of: int = 1,
        generator: torch.Generator | int | None = None,
        schedule: Schedule | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Images that have a measurement and are likely; see :func:`mszoo.inference.solve`.

        Args:
            measurement: (B, ...), as ``operator.forward`` gives it.
            operator: the measurement.
            sigma: standard deviation of the measurement's noise, a float or (B,); None: it has none; ``auto``: found.
            mean_of: how many samples each result is the mean of.
            generator: a torch.Generator, a seed, or None: torch's global generator.
            schedule: steps and added noise; None: ``mszoo.inference.inverse.SOLVE``.
            on_step: called with the step, the images and their noise estimates.

        Example:
            >>> import torch, mszoo
            >>> from mszoo.inference import Blur, Schedule
            >>> model, steps = mszoo.load("photographs-haar-rf13"), Schedule(h0=0.5, beta=0.5, annealed=True)
            >>> blur = Blur.gaussian(1.0, size=(16, 16))
            >>> model.solve(blur.forward(torch.rand(1, 1, 16, 16)), blur, generator=0, schedule=steps).shape
            torch.Size([1, 1, 16, 16])
        """
        from mszoo.inference import solve

        return solve(
            self,
            measurement,
            operator,
            sigma,
            mean_of=mean_of,
            generator=generator,
            schedule=schedule,
            on_step=on_step,
        )

    def map(
        self,
        measurement: Tensor,
        operator: Operator,
        sigma: float | Tensor,
        *,
        level: float | None = None,
        steps: int = 20,
        on_step: OnClimb | None = None,
    ) -> Tensor:
        """Images with the largest log p(x) + log p(measurement | x); see :func:`mszoo.inference.map_estimate`.

        Args:
            measurement: (B, ...), as ``operator.forward`` gives it.
            operator: the measurement.
            sigma: standard deviation of the measurement's noise, a float or (B,).
            level: noise level at which log p is taken in the end; 0: the MAP estimate itself; None: sigma.
            steps: at most at each of the noise levels that fall to it.
            on_step: called with the step, the images, their noise levels and what is maximized.

        Example:
            >>> import torch, mszoo
            >>> from mszoo.inference import Blur
            >>> model, blur = mszoo.load("cifar10-grey-energy"), Blur.gaussian(1.0, size=(16, 16))
            >>> model.map(blur.forward(torch.full((1, 1, 16, 16), 0.5)), blur, sigma=0.2, steps=2).shape
            torch.Size([1, 1, 16, 16])
        """
        from mszoo.inference import map_estimate

        return map_estimate(self, measurement, operator, sigma, level=level, steps=steps, on_step=on_step)

    def forward(self, y: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        """Same as :meth:`denoise`."""
        return self.denoise(y, sigma)

    # ---- inside ----------------------------------------------------------------------------------------------

    def _variance(self, y: Tensor, sigma: float | Tensor | None) -> Tensor | None:
        if sigma is not None:
            values = noise_levels("sigma", sigma, y)
            if self.blind and not self._has_said_blind:
                self._has_said_blind = True
                warnings.warn("this model is blind: the sigma that it is given changes nothing", stacklevel=3)
            elif not self.blind:
                doubt(values, y)
            return values.square()
        if self.blind:
            return None
        if not all(isinstance(head, EnergyHead) for head in self.scales):
            raise UnsupportedError(
                "this model is not blind: give the noise's standard deviation, denoise(y, sigma) "
                "(on the command line: --sigma)"
            )
        return self.noise_level(y.detach())

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

    def _energy_head(self) -> EnergyHead:
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
        return self.coarse


def _wide(y: Tensor) -> torch.dtype:
    """float32 or wider: a sum of thousands of terms, or a score at little noise, is more than float16 holds."""
    return torch.promote_types(y.dtype, torch.float32)
