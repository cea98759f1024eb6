"""What a recipe may say: the keys, their types and their defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

__all__ = [
    "SIGMAS",
    "DataConfig",
    "DatasetConfig",
    "EvaluationConfig",
    "ModelConfig",
    "NamedConfig",
    "PublicationConfig",
    "Recipe",
    "ScaleConfig",
    "TrainingConfig",
]

# The noise levels that a model is measured at unless others are asked for: standard deviations for images in [0, 1].
SIGMAS = (0.05, 25 / 255, 50 / 255, 0.4, 0.8)


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        extra="forbid", validate_default=True, protected_namespaces=(), allow_inf_nan=False
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _default_names(cls, value: Any) -> Any:
        """Options of a part that has a default: ``optimizer: {lr: 1e-2}`` changes the default's rate alone."""
        if isinstance(value, dict):
            for key, field in cls.model_fields.items():
                given = value.get(key)
                if isinstance(field.default, NamedConfig) and isinstance(given, dict) and "name" not in given:
                    value = {**value, key: {**field.default.model_dump(), **given}}
        return value


_Zoom = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class NamedConfig(pydantic.BaseModel):
    """A name and its options: ``{name: adam, lr: 1e-3}``, or the name alone.

    Attributes:
        name: the component's; all other keys are its options.
    """

    model_config = pydantic.ConfigDict(extra="allow")

    name: Annotated[str, Field(max_length=200)]

    @pydantic.model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def options(self) -> dict[str, Any]:
        """All keys but the name."""
        return dict(self.model_extra or {})


class ScaleConfig(_Strict):
    """One scale: its network, its head, and what differs from the recipe's objective.

    Attributes:
        conditioner: the network.
        head: what its output is read as.
        objective: what is otherwise at this scale than under the recipe's ``objective``.
    """

    conditioner: NamedConfig
    head: NamedConfig
    objective: dict[str, Any] = {}

    @pydantic.field_validator("objective")
    @classmethod
    def _named_by_a_text(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(value.get("name", ""), str):
            raise ValueError(f"the name of an objective is a text, got {value['name']!r}")
        return value


class ModelConfig(_Strict):
    """Basis x conditioner x head over the scales.

    Attributes:
        channels: of the image; 1 grey, 3 colour.
        basis: a wavelet basis, for levels > 0.
        levels: J, how often the image is split.
        detail: scales 0 (finest) to J - 1; a single mapping means every scale.
        coarse: the scale J: the coarsest low-pass image, or the whole image for J = 0.
    """

    channels: Annotated[int, Field(ge=1, le=4096)] = 1
    basis: NamedConfig | None = None
    levels: Annotated[int, Field(ge=0, le=16)] = 0
    detail: Annotated[list[ScaleConfig], Field(max_length=16)] = []
    coarse: ScaleConfig

    def scales(self) -> list[ScaleConfig]:
        """Scales 0 (finest) to J (coarse)."""
        return [*self.detail, self.coarse]

    @pydantic.model_validator(mode="before")
    @classmethod
    def _every_scale(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("detail"), dict):
            levels = value.get("levels")
            count = levels if isinstance(levels, int) and 0 < levels < 32 else 1
            return {**value, "detail": [value["detail"]] * count}
        return value

    @pydantic.model_validator(mode="after")
    def _whole(self) -> ModelConfig:
        if self.levels and self.basis is None:
            raise ValueError(f"levels: {self.levels} needs a basis, such as haar")
        if self.basis is not None and not self.levels:
            raise ValueError(f"basis: {self.basis.name} needs levels of 1 or more")
        if len(self.detail) != self.levels:
            raise ValueError(
                f"levels: {self.levels} needs as many entries under detail (or one mapping for all), "
                f"got {len(self.detail)}"
            )
        return self


class DatasetConfig(NamedConfig):
    """A data set, which of its images are used, and how they are cut for training (a test set's are not cut).

    Attributes:
        crop: side in pixels of a random square crop; None: whole images, which must then have one size.
        zoom: least and greatest magnification of a crop, drawn log-uniformly (bicubic, with antialiasing): photographs
            look alike at all scales, and a few become many. An image is enlarged more where a crop would not fit.
        flip: mirror left and right at random.
        dequantize: add uniform noise of one step of 8-bit pixels, +-1/510, so that a density of them has no lattice to
            fall onto: an energy trained so gives a bound on the code length (``nll(x, dequantize=True)``).
        part: [k, n] is every n-th image from the k-th (from 0): runs with k = 0 ... n - 1 see disjoint parts.
        limit: at most so many images, evenly spaced over the set, or its part; None: all.
    """

    crop: Annotated[int, Field(gt=0, le=2**14)] | None = None
    zoom: tuple[_Zoom, _Zoom] | None = None
    flip: bool = False
    dequantize: bool = False
    part: tuple[pydantic.NonNegativeInt, PositiveInt] | None = None
    limit: PositiveInt | None = None

    @pydantic.model_validator(mode="after")
    def _one_of_the_parts(self) -> DatasetConfig:
        if self.part is not None and self.part[0] >= self.part[1]:
            raise ValueError(f"part: [{self.part[0]}, {self.part[1]}] has {self.part[1]} parts, counted from 0")
        return self

    @pydantic.model_validator(mode="after")
    def _zoom_of_crops(self) -> DatasetConfig:
        if self.zoom is not None:
            if self.crop is None:
                raise ValueError("zoom magnifies crops: set crop, their side in pixels")
            if self.zoom[0] > self.zoom[1]:
                raise ValueError(f"zoom: [{self.zoom[0]:g}, {self.zoom[1]:g}] has its least value second")
        return self


class DataConfig(_Strict):
    """Training images (by default crops of the photographs that need no download), and those of evaluations.

    Attributes:
        train: what it learns from.
        test: what it is measured on, never cut; None: nothing is measured.
    """

    train: DatasetConfig = DatasetConfig.model_validate({"name": "photographs", "crop": 64, "flip": True})
    test: DatasetConfig | None = None


class TrainingConfig(_Strict):
    """The training loop.

    Attributes:
        steps: optimizer steps.
        batch_size: images per optimizer step, over all processes and accumulated parts.
        optimizer: any of timm's, with its options.
        scheduler: any of timm's (its "epochs" are our steps), with its options; None: a constant rate.
        warmup: steps over which the rate grows linearly to the optimizer's.
        ema: decay of the moving average of the weights, which is then what is saved; None: none.
        precision: of the forward pass.
        compile: compile the whole step, derivatives of energies included, with ``torch.compile``: the same gradients up
            to rounding, faster after a minute or two of compiling. Not with fp16.
        accumulate: number of parts in which a batch is computed, to save memory; the gradient is the same, unless a
            norm takes statistics over the batch.
        clip: largest norm of the gradient; None: no clipping.
        scales: which scales to train, 0 the finest; None: all. Scales are independent: several runs may each train
            some, and ``mszoo assemble`` puts them together.
        init: a checkpoint folder (or a model's name) whose weights to start from; None: fresh ones. It has the same
            parts, and may have fewer channels or residual blocks: the network grows, and computes the same at first.
        seed: of the initial weights, the order of the images, crops, flips and noise.
        workers: processes that read images; 0: the training process itself.
        tracker: what shows the run as it goes, any of Accelerate's by its name (``tensorboard``, ``wandb``, ...), with
            its options; None: ``metrics.jsonl`` alone.
        checkpoint_every: steps between checkpoints; one is always written at the end.
        keep: how many of the newest states to go on from are kept.
        best: keep the best model too, in the run's folder ``best``: ``psnr``, the mean over ``evaluation.sigmas``, or
            that at one of these noise levels, by its number; ``nll``, the bits per dimension of an energy; None: the
            last alone.
        calibration_batches: training batches over which running statistics are averaged anew before saving, and which
            heads that need statistics of the data see before the first step.
    """

    steps: Annotated[int, Field(gt=0, lt=10**8)] = 20000
    batch_size: Annotated[int, Field(gt=0, le=2**20)] = 64
    optimizer: NamedConfig = NamedConfig.model_validate({"name": "adam", "lr": 1e-3})
    scheduler: NamedConfig | None = NamedConfig(name="cosine")
    warmup: NonNegativeInt = 0
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: bool = False
    accumulate: PositiveInt = 1
    clip: PositiveFloat | None = None
    scales: Annotated[list[NonNegativeInt], Field(min_length=1)] | None = None
    init: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    tracker: NamedConfig | None = None
    checkpoint_every: PositiveInt = 1000
    keep: PositiveInt = 2
    best: Literal["psnr", "nll"] | PositiveFloat | None = None
    calibration_batches: PositiveInt = 16

    @pydantic.model_validator(mode="after")
    def _fits(self) -> TrainingConfig:
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate: {self.accumulate} must divide batch_size: {self.batch_size}")
        if self.compile and self.precision == "fp16":
            raise ValueError("compile: a compiled step does not scale its loss as fp16 needs; use bf16 or fp32")
        if self.warmup >= self.steps:
            raise ValueError(f"warmup: {self.warmup} must be less than steps: {self.steps}")
        return self


class EvaluationConfig(_Strict):
    """Evaluation on ``data.test`` during training.

    Attributes:
        every: steps between evaluations during training; None: only at the end.
        sigmas: noise standard deviations, for images in [0, 1]; by default those of :func:`mszoo.evaluation.evaluate`.
    """

    every: PositiveInt | None = None
    sigmas: list[PositiveFloat] = list(SIGMAS)


class PublicationConfig(_Strict):
    """What a model card says besides the measurements; texts are Markdown.

    Attributes:
        license: of the weights, by its SPDX name.
        tags: to be found by on the Hub.
        about: a paragraph on the model and its source.
        training: how it was trained: commands, time, machine.
        data_terms: of the training data: whose they are, and on what terms.
        avoid: what it must not be used for.
        benchmarks: Hub data sets by the names under which they were measured, for the Hub's leaderboards.
    """

    license: str = "mit"
    tags: list[str] = []
    about: str = ""
    training: str = ""
    data_terms: str = ""
    avoid: str = "Do not rely on it for medical or forensic images, or wherever an invented detail does harm."
    benchmarks: dict[str, str] = {}


class Recipe(_Strict):
    """A whole recipe: from data to a published model.

    Attributes:
        name: of the model, and of its run's folder.
        description: a line for lists of models.
        model: what is trained.
        objective: what each scale is trained with, unless it says otherwise.
        data: the images.
        training: the loop.
        evaluation: what is measured during training.
        publication: what a model card says besides the measurements.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=96)]
    description: str = ""
    model: ModelConfig
    objective: NamedConfig = NamedConfig(name="denoising")
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    publication: PublicationConfig = PublicationConfig()

    def objectives(self) -> list[NamedConfig]:
        """One objective per scale, finest first: the recipe's, with the scale's own keys merged into it."""
        default = self.objective.model_dump()
        return [NamedConfig.model_validate(_merge(default, s.objective)) for s in self.model.scales()]


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    if over.get("name", base.get("name")) != base.get("name"):
        return over  # another component: the default's options are not its own
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(merged.get(key), dict) and isinstance(value, dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged
