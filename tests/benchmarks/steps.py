"""Time of one training step of paper B's energy against the authors' code: dual score matching and Adam.

    python tests/benchmarks/steps.py [CODE] [--width 64] [--size 64] [--channels 3] [--batch 4] [--device cpu]

CODE is a checkout of FlorentinGuth/DualScoreMatching (it needs einops, torchvision and tqdm). Theirs, ours (eager) and
ours compiled take turns in one process, on the same batch and noise, with the same network (inner product, linear
embedding); prints the median time of each and the ratio to ours compiled (above 1, that is faster), the largest
difference of the parameters' gradients relative to theirs, and how long compiling took. Without CODE ours alone are
measured, and gradients are compared with those of the eager step. ``table.py`` writes the times as CSV.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from mszoo.importers.paper_b import rename
from mszoo.model import MultiScaleModel
from mszoo.objectives import DualScoreMatching
from mszoo.randomness import Draw
from mszoo.recipe import ModelConfig
from mszoo.training.gradients import CompiledGradients, EagerGradients, Gradients
from mszoo.training.step import Step

Update = Callable[[], None]


class Theirs:
    """Their network, energy and loss, with their default options for the paper.

    Args:
        code: the checkout.
        shape: of the images, (C, H, W), H = W.
        width, halvings: of the U-Net.
    """

    def __init__(self, code: Path, shape: tuple[int, ...], width: int, halvings: int, mean: float, variance: float):
        sys.path.insert(0, str(code))
        from data import DatasetInfo  # type: ignore[import-not-found]
        from networks import EnergyModel, ModelInput, Reparameterization, UNet  # type: ignore[import-not-found]
        from noise import IdentityCovariance, NoiseLevel  # type: ignore[import-not-found]

        info = DatasetInfo(shape[-1], shape[0], mean, variance)
        blocks = {f"num_layers_{name}_block": 3 for name in ("encoder", "mid", "decoder")}
        self.network: nn.Module = UNet(info, num_scales=halvings, base_width=width, group_size=1, **blocks)
        wrapped = Reparameterization(self.network, info, conversion="inner_product")
        self._energy = EnergyModel(wrapped, info, IdentityCovariance())
        self._input = lambda y, t: ModelInput(noisy=y, noise_level=NoiseLevel(info, variance=t))
        self._halvings = halvings

    def loss(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        output = self._energy(self._input(y, t))
        space = (output.denoised - x).square().mean((1, 2, 3)) / t
        target = 1 - (y - x).square().mean((1, 2, 3)) / t
        return (space + (target / 2 - t * output.noise_score / x[0].numel()).square()).mean()

    def ours(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Their tensors by our names."""
        return {rename(name, self._halvings, 3): value for name, value in values.items()}


def ours(gradients: Gradients, optimizer: torch.optim.Optimizer, x: Tensor) -> None:
    """One training step of ours."""
    optimizer.zero_grad()
    gradients(x, Draw(0, 0, list(range(len(x)))))
    optimizer.step()


def clock(update: Update, device: str) -> float:
    began = time.perf_counter()
    update()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def options() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("code", type=Path, nargs="?")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--halvings", type=int, default=3)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    return parser


def measure(given: argparse.Namespace) -> dict[str, float]:
    """Median seconds of a step: of the authors' code, if it is given, and of ours, eager and compiled.

    Says on stderr how long compiling took, and how far the gradients are apart.
    """
    torch.manual_seed(0)
    shape = (given.channels, given.size, given.size)
    x, draw = torch.rand(given.batch, *shape).to(given.device), Draw(0, 0, list(range(given.batch)))
    network = {"name": "unet", "width": given.width, "halvings": given.halvings}
    config = {"channels": given.channels, "coarse": {"conditioner": network, "head": {"name": "inner_product"}}}
    updates: dict[str, Update] = {}
    gradients: dict[str, dict[str, Tensor]] = {}
    weights = None
    if given.code is not None:
        peer = Theirs(given.code, shape, given.width, given.halvings, 0.5, 0.06)
        peer.network.to(given.device)
        y, t = DualScoreMatching().corrupt(x, draw.scale(0))
        optimizer = torch.optim.Adam(peer.network.parameters(), lr=5e-4)

        def theirs() -> None:
            optimizer.zero_grad()
            peer.loss(x, y, t).backward()
            optimizer.step()

        updates["authors"] = theirs
        peer.loss(x, y, t).backward()
        gradients["authors"] = peer.ours(
            {k: p.grad.clone() for k, p in peer.network.named_parameters() if p.grad is not None}
        )
        weights = peer.ours(peer.network.state_dict())
    accelerator = Accelerator(cpu=given.device == "cpu")
    for name in ("eager", "compiled"):
        model = MultiScaleModel.from_config(ModelConfig.model_validate(config)).to(given.device)
        weights = model.coarse.conditioner.state_dict() if weights is None else weights
        model.coarse.conditioner.load_state_dict(weights)
        step = Step(model, [DualScoreMatching()])
        step.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # see mszoo.training.start
        taken: Gradients = (
            EagerGradients(accelerator, step) if name == "eager" else CompiledGradients(accelerator, step)
        )
        taken(x, draw)
        found = model.coarse.conditioner.named_parameters()
        gradients[name] = {k: p.grad.clone() for k, p in found if p.grad is not None}
        updates[name] = partial(ours, taken, torch.optim.Adam(step.parameters(), lr=5e-4), x)
    first, *others = gradients
    for name in others:
        gaps = [float((gradients[name][k] - g).norm() / g.norm().clamp_min(1e-12)) for k, g in gradients[first].items()]
        print(f"{name}: gradients differ from {first} by at most {max(gaps):.1e} (relative)", file=sys.stderr)

    times: dict[str, list[float]] = {name: [] for name in updates}
    for round in range(given.rounds + 1):
        for name, update in updates.items():
            seconds = clock(update, given.device)
            if round:
                times[name].append(seconds)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def main() -> None:
    given = options().parse_args()
    medians = measure(given)
    print(
        f"width {given.width}, {given.channels}x{given.size}x{given.size}, batch {given.batch}, {given.device}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    for name, median in medians.items():
        print(f"{name:9s} {1000 * median:8.0f} ms a step   this / compiled {median / medians['compiled']:.2f}")


if __name__ == "__main__":
    main()
