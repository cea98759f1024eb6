"""A plugin of components that each break one sentence of their contract: the tests of the tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mszoo
from mszoo.bases import OrthogonalBasis
from mszoo.conditioners import Conditioner
from mszoo.data import Blocks, ImageDataset
from mszoo.errors import CheckpointError
from mszoo.heads import AnchoredEnergy, EnergyHead, Head, InnerProductEnergy
from mszoo.importers import Importer, Source
from mszoo.model import MultiScaleModel
from mszoo.objectives import Denoising, DualScoreMatching
from mszoo.randomness import Draw
from mszoo.samplers import Heun, OnStep, Target

# ---- bases ---------------------------------------------------------------------------------------------------


class Haar(OrthogonalBasis):
    def __init__(self) -> None:
        super().__init__("haar")


class SinglePrecision(Haar):
    def analyze(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low, detail = super().analyze(x)
        return low.float(), detail.float()


class Lossy(Haar):
    def synthesize(self, low: Tensor, detail: Tensor) -> Tensor:
        return 1.001 * super().synthesize(low, detail)


class Scaled(Haar):
    def analyze(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low, detail = super().analyze(x)
        return low / 2, detail

    def synthesize(self, low: Tensor, detail: Tensor) -> Tensor:
        return super().synthesize(2 * low, detail)


class Affine(Haar):
    def analyze(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low, detail = super().analyze(x)
        return low + 0.1, detail

    def synthesize(self, low: Tensor, detail: Tensor) -> Tensor:
        return super().synthesize(low - 0.1, detail)


class ChannelMajor(Haar):
    def analyze(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low, detail = super().analyze(x)
        return low, detail.unflatten(1, (3, -1)).transpose(1, 2).flatten(1, 2)

    def synthesize(self, low: Tensor, detail: Tensor) -> Tensor:
        return super().synthesize(low, detail.unflatten(1, (-1, 3)).transpose(1, 2).flatten(1, 2))


class FarReaching(OrthogonalBasis):
    def __init__(self) -> None:
        super().__init__("db4")

    @property
    def taps(self) -> int:
        return 2


class Padding(Haar):
    def analyze(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return super().analyze(F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2)))


class Detached(Haar):
    def analyze(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low, detail = super().analyze(x)
        return low.detach(), detail


class Jittery(Haar):
    def analyze(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low, detail = super().analyze(x)
        return low + 1e-7 * torch.rand_like(low), detail


class Forgetful(Haar):
    def __init__(self) -> None:
        super().__init__()
        self.sign = 1 if torch.rand(()) < 0.5 else -1  # seeds 0 and 1 differ

    def analyze(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low, detail = super().analyze(x)
        return low, self.sign * detail

    def synthesize(self, low: Tensor, detail: Tensor) -> Tensor:
        return super().synthesize(low, self.sign * detail)


class Stranded(Haar):
    def __init__(self) -> None:
        super().__init__()
        self.zeros = torch.zeros(4, 4)  # no buffer: it stays where it was made

    def analyze(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low, detail = super().analyze(x)
        return low + self.zeros, detail


# ---- conditioners --------------------------------------------------------------------------------------------


class Small(Conditioner):
    batch_independent = True
    smooth = True

    def __init__(self, channels: int, cond_channels: int = 0) -> None:
        super().__init__(channels, cond_channels)
        self.first = nn.Conv2d(channels + cond_channels, 4, 3, padding=1)
        self.last = nn.Conv2d(4, channels, 3, padding=1)

    @property
    def receptive_field(self) -> int | None:
        return 5

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        return self.last(F.gelu(self.first(self.join(y, cond))))


class Doubled(Small):
    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        return super().forward(y, t, cond).repeat(1, 2, 1, 1)


class SecretlyNoisy(Small):
    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        return super().forward(y, t, cond) + (0 if t is None else t.mean())


class Centring(Small):
    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        return super().forward(y - y.mean(0, keepdim=True), t, cond)


class Kinked(Small):
    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        return self.last(F.relu(self.first(self.join(y, cond))))


class ShortSighted(Small):
    @property
    def receptive_field(self) -> int | None:
        return 3


class HalfDetached(Small):
    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        return super().forward(y, t, cond) + y.detach()


class Dropping(Small):
    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        return F.dropout(super().forward(y, t, cond), 0.5, self.training)


class InPlace(Small):
    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        return super().forward(y.add_(0.01) if not y.requires_grad else y, t, cond)


class UnsavedGain(Small):
    def __init__(self, channels: int, cond_channels: int = 0) -> None:
        super().__init__(channels, cond_channels)
        self.gain = torch.rand(()).item()

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        return self.gain * super().forward(y, t, cond)


class StrandedNetwork(Small):
    def __init__(self, channels: int, cond_channels: int = 0) -> None:
        super().__init__(channels, cond_channels)
        self.zeros = torch.zeros(16, 16)

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        return super().forward(y, t, cond) + self.zeros


# ---- heads ---------------------------------------------------------------------------------------------------


class Rounding(Head):
    def estimate(self, y: Tensor, t: Tensor | None, cond: Tensor | None) -> Tensor:
        return (y - self.conditioner(y, t, cond)).float()


class DoubledScore(Rounding):
    def estimate(self, y: Tensor, t: Tensor | None, cond: Tensor | None) -> Tensor:
        return y - self.conditioner(y, t, cond)

    def score(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        return 2 * super().score(y, t, cond)


class WrongTime(InnerProductEnergy):
    def time_score(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        return 1.1 * super().time_score(y, t, cond)


class SingularEnergy(EnergyHead):
    def energy(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        return (y * self.conditioner(y, t, cond)).flatten(1).sum(1) / t


class LostShares(InnerProductEnergy):
    def energy(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        return super().energy_map(y, t, cond).flatten(1).sum(1)

    def energy_map(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        return F.pad(super().energy_map(y, t, cond)[..., 1:-1, 1:-1], (1, 1, 1, 1))


class HalfPrecisionSum(EnergyHead):
    def energy(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        return torch.einsum("bchw,bchw->b", y, self.conditioner(y, t, cond))


class ModeBound(InnerProductEnergy):
    def score(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        y = y.detach().requires_grad_()
        return -torch.autograd.grad(self.energy(y, t, cond).sum(), y, create_graph=True)[0]


class CentringHead(DoubledScore):
    def estimate(self, y: Tensor, t: Tensor | None, cond: Tensor | None) -> Tensor:
        return super().estimate(y, t, cond) + 0.1 * y.mean(0, keepdim=True)


class FalselyNormalized(InnerProductEnergy):
    normalized = True


class Untrainable(DoubledScore):
    def __init__(self, conditioner: Conditioner) -> None:
        super().__init__(conditioner)
        self.idle = nn.Parameter(torch.zeros(()))


class MoodyFit(AnchoredEnergy):
    def fit(self, batches: Iterable[tuple[Tensor, Tensor | None]]) -> None:
        super().fit(batches)
        self.mean.add_(0.01 * torch.randn(self.mean.shape))


class UnsavedFit(DoubledScore):
    shift = 0.0

    def fit(self, batches: Iterable[tuple[Tensor, Tensor | None]]) -> None:
        self.shift = float(torch.cat([x for x, _ in batches]).mean())

    def estimate(self, y: Tensor, t: Tensor | None, cond: Tensor | None) -> Tensor:
        return super().estimate(y, t, cond) + self.shift


class StrandedHead(DoubledScore):
    def __init__(self, conditioner: Conditioner) -> None:
        super().__init__(conditioner)
        self.zeros = torch.zeros(16, 16)

    def estimate(self, y: Tensor, t: Tensor | None, cond: Tensor | None) -> Tensor:
        return super().estimate(y, t, cond) + self.zeros


# ---- objectives ----------------------------------------------------------------------------------------------


class WrongVariance(Denoising):
    def corrupt(self, x: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        y, t = super().corrupt(x, draw)
        return y, 2 * t


class OwnNoise(Denoising):
    def corrupt(self, x: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        return x + torch.randn(x.shape), torch.ones(len(x))


class OwnFlips(Denoising):
    def augment(self, x: Tensor, draw: Draw) -> Tensor:
        return x * torch.rand(())


class PerImage(Denoising):
    def loss(
        self, head: Head, x: Tensor, y: Tensor, t: Tensor, cond: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return (head.denoise(y, t, cond) - x).square().flatten(1).sum(1), {}


class Summed(PerImage):
    def loss(
        self, head: Head, x: Tensor, y: Tensor, t: Tensor, cond: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return super().loss(head, x, y, t, cond)[0].sum(), {}


class RandomLoss(PerImage):
    def loss(
        self, head: Head, x: Tensor, y: Tensor, t: Tensor, cond: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return super().loss(head, x, y + 0.1 * torch.randn(y.shape), t, cond)[0].mean(), {}


class Weighted(Denoising):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))


class Undemanding(DualScoreMatching):
    def loss(
        self, head: Head, x: Tensor, y: Tensor, t: Tensor, cond: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return (head.denoise(y, t, cond) - x).square().flatten(1).sum(1).mean(), {}


# ---- data sets -----------------------------------------------------------------------------------------------


class Ramps(ImageDataset):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, i: int) -> Tensor:
        if not 0 <= i < 3:
            raise IndexError(i)
        return torch.linspace(0, 1, 40).reshape(1, 5, 8).repeat(self.channels, 1, 1) * (i + 1) / 3


class Torn(Ramps):
    @property
    def blocks(self) -> Blocks:
        return Blocks(np.array([1, 2]), 1)


class Bytes(Ramps):
    def __getitem__(self, i: int) -> Tensor:
        return 255 * super().__getitem__(i)


class Shimmering(Ramps):
    def __getitem__(self, i: int) -> Tensor:
        return super().__getitem__(i) * torch.rand(())


class Endless(Ramps):
    def __getitem__(self, i: int) -> Tensor:
        return super().__getitem__(i % 3)


class Sideways(Ramps):
    def size(self, i: int) -> tuple[int, int]:
        return 8, 5


class Nameless(Ramps):
    def label(self, i: int) -> str:
        return "image"


class Homebound(Ramps):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.read = lambda i: i


# ---- importers -----------------------------------------------------------------------------------------------


class PlainLayers(Importer):
    """Its files hold ``layers.N.weight``, the convolutions of a plain stack."""

    def recognizes(self, source: Source) -> bool:
        return all(any(name.startswith("layers.") for name in names) for names in source.names)

    def convert(self, source: Source) -> MultiScaleModel:
        (path,) = source.paths
        model = self.model()
        try:
            model.load_state_dict(self.renamed(source.state(path)))
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"{path}: {error}") from None
        return model.eval()

    def write_example(self, folder: Path) -> list[Path]:
        state = self.model().state_dict()
        torch.save({f"layers.{i}.weight": state[name] for i, name in enumerate(self.names)}, folder / "plain.pt")
        return [folder / "plain.pt"]

    names = tuple(f"coarse.conditioner.{name}.weight" for name in ("first", "inner.0", "last"))

    def model(self) -> MultiScaleModel:
        network = {"name": "bias_free_cnn", "receptive_field": 7, "depth": 3, "width": 4, "norm": "none"}
        return MultiScaleModel.from_config({"channels": 1, "coarse": {"conditioner": network, "head": "denoiser"}})

    def renamed(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        return {self.names[i]: state[f"layers.{i}.weight"] for i in range(3)}


class Reluctant(PlainLayers):
    def recognizes(self, source: Source) -> bool:
        return False


class Greedy(PlainLayers):
    def recognizes(self, source: Source) -> bool:
        return True


class StillTraining(PlainLayers):
    def convert(self, source: Source) -> MultiScaleModel:
        return super().convert(source).train()


class HalfLoaded(PlainLayers):
    def convert(self, source: Source) -> MultiScaleModel:
        model = super().convert(source)
        torch.nn.init.normal_(model.state_dict()[self.names[0]])
        return model


class Patched(PlainLayers):
    def convert(self, source: Source) -> MultiScaleModel:
        model = super().convert(source)
        denoise = model.coarse.denoise
        model.coarse.denoise = lambda y, t=None, cond=None: 2 * denoise(y, t, cond)  # no part of a configuration
        return model


class Careless(PlainLayers):
    def convert(self, source: Source) -> MultiScaleModel:
        (path,) = source.paths
        model = self.model()
        model.load_state_dict(self.renamed(source.state(path)))
        return model.eval()


# ---- samplers ------------------------------------------------------------------------------------------------


class Hasty(Heun):
    def __init__(self) -> None:
        super().__init__(steps=5)


class OwnNumbers(Hasty):
    def draw(self, target: Target, generators: Sequence[torch.Generator], on_step: OnStep | None = None) -> Tensor:
        return super().draw(target, generators, on_step) + 1e-3 * torch.randn(target.mean.shape)


class Mixing(Hasty):
    def draw(self, target: Target, generators: Sequence[torch.Generator], on_step: OnStep | None = None) -> Tensor:
        x = super().draw(target, generators, on_step)
        return x + 0.1 * x.mean(0, keepdim=True)


class Unconditional(Hasty):
    def draw(self, target: Target, generators: Sequence[torch.Generator], on_step: OnStep | None = None) -> Tensor:
        cond = None if target.cond is None else torch.zeros_like(target.cond)
        return super().draw(replace(target, cond=cond), generators, on_step)


class Gainless(Hasty):
    def draw(self, target: Target, generators: Sequence[torch.Generator], on_step: OnStep | None = None) -> Tensor:
        return super().draw(replace(target, largest=0.1 / target.gain), generators, on_step)


class Silent(Hasty):
    def draw(self, target: Target, generators: Sequence[torch.Generator], on_step: OnStep | None = None) -> Tensor:
        return super().draw(target, generators)


class Drifting(Hasty):
    def draw(self, target: Target, generators: Sequence[torch.Generator], on_step: OnStep | None = None) -> Tensor:
        x = super().draw(target, generators, on_step)
        target.mean.add_(0.1)
        return x


# Kind and check: what breaks it.
BROKEN: dict[tuple[str, str], type] = {
    ("basis", "has_the_stated_shapes"): SinglePrecision,
    ("basis", "reconstructs"): Lossy,
    ("basis", "is_orthonormal"): Scaled,
    ("basis", "is_linear"): Affine,
    ("basis", "treats_images_and_channels_apart"): ChannelMajor,
    ("basis", "reaches_as_far_as_it_says"): FarReaching,
    ("basis", "refuses_odd_sides"): Padding,
    ("basis", "has_right_gradients"): Detached,
    ("basis", "follows_its_device"): Stranded,
    ("basis", "is_deterministic"): Jittery,
    ("basis", "can_be_saved"): Forgetful,
    ("conditioner", "returns_the_stated_shape"): Doubled,
    ("conditioner", "reads_t_as_it_says"): SecretlyNoisy,
    ("conditioner", "keeps_images_apart_as_it_says"): Centring,
    ("conditioner", "is_as_smooth_as_it_says"): Kinked,
    ("conditioner", "sees_as_far_as_it_says"): ShortSighted,
    ("conditioner", "has_right_gradients"): HalfDetached,
    ("conditioner", "follows_its_device"): StrandedNetwork,
    ("conditioner", "is_deterministic"): Dropping,
    ("conditioner", "leaves_its_input_alone"): InPlace,
    ("conditioner", "can_be_saved"): UnsavedGain,
    ("conditioner", "same_on_two_processes"): Centring,
    ("head", "denoises"): Rounding,
    ("head", "score_is_miyasawas"): DoubledScore,
    ("head", "derivatives_are_those_of_its_energy"): WrongTime,
    ("head", "is_finite_without_noise"): SingularEnergy,
    ("head", "sums_in_float32_or_wider"): HalfPrecisionSum,
    ("head", "map_sums_to_its_energy"): LostShares,
    ("head", "works_where_gradients_are_off"): ModeBound,
    ("head", "keeps_images_apart"): CentringHead,
    ("head", "follows_its_device"): StrandedHead,
    ("head", "is_normalized_as_it_says"): FalselyNormalized,
    ("head", "can_be_trained"): Untrainable,
    ("head", "fits_alike_every_time"): MoodyFit,
    ("head", "can_be_saved"): UnsavedFit,
    ("head", "same_on_two_processes"): CentringHead,
    ("objective", "corrupts_as_it_says"): WrongVariance,
    ("objective", "draws_for_each_sample_alone"): OwnNoise,
    ("objective", "augments_alike"): OwnFlips,
    ("objective", "has_a_loss_that_trains"): PerImage,
    ("objective", "is_a_mean_over_images"): Summed,
    ("objective", "has_nothing_random_in_its_loss"): RandomLoss,
    ("objective", "has_no_parameters"): Weighted,
    ("objective", "refuses_what_it_cannot_train"): Undemanding,
    ("objective", "same_on_two_processes"): Summed,
    ("dataset", "gives_images"): Bytes,
    ("dataset", "gives_the_same_again"): Shimmering,
    ("dataset", "ends"): Endless,
    ("dataset", "knows_sizes"): Sideways,
    ("dataset", "has_labels"): Nameless,
    ("dataset", "has_blocks_that_cover_it"): Torn,
    ("dataset", "travels_to_workers"): Homebound,
    ("sampler", "draws_the_density"): Hasty,
    ("sampler", "draws_from_the_generators_alone"): OwnNumbers,
    ("sampler", "draws_each_image_alone"): Mixing,
    ("sampler", "looks_at_the_condition"): Unconditional,
    ("sampler", "keeps_to_the_gain"): Gainless,
    ("sampler", "tells_its_steps"): Silent,
    ("sampler", "leaves_its_target"): Drifting,
    ("importer", "knows_its_own_files"): Reluctant,
    ("importer", "leaves_others_alone"): Greedy,
    ("importer", "gives_a_model"): StillTraining,
    ("importer", "loads_every_weight"): HalfLoaded,
    ("importer", "can_be_saved"): Patched,
    ("importer", "names_what_is_damaged"): Careless,
}


@mszoo.hookimpl
def mszoo_components() -> Iterator[mszoo.Spec]:
    """Each under its class's name."""
    for kind, name in sorted({(kind, cls.__name__) for (kind, _), cls in BROKEN.items()}):
        yield mszoo.Spec(kind, f"broken/{name}", f"tests.testing.broken:{name}")
