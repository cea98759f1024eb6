"""deepinv's own algorithms run unchanged on mszoo's models, and solve a problem."""

from __future__ import annotations

import deepinv
import pytest
import torch
from deepinv.optim import L2, PGD, PnP, ScorePrior
from deepinv.sampling import ULA, DPSDataFidelity, EulerSolver, PosteriorDiffusion, VarianceExplodingDiffusion
from mszoo_deepinv import Denoiser, EnergyPrior, Operator

import mszoo
from mszoo.experiments.demo import astronaut_face
from mszoo.testing import check_operator

NETWORK = {"name": "bias_free_cnn", "receptive_field": 5, "depth": 3, "width": 4, "norm": "none"}
ENERGY = {**NETWORK, "activation": "gelu", "noise_embedding": True}


def psnr(found: torch.Tensor, x: torch.Tensor) -> float:
    return -10 * torch.log10((found - x).square().mean()).item()


@pytest.fixture(scope="module")
def problem() -> tuple[torch.Tensor, torch.Tensor, deepinv.physics.Physics]:
    """A photograph, half of its pixels with noise of 0.02, and how they were measured."""
    torch.manual_seed(0)
    noise = deepinv.physics.GaussianNoise(0.02, rng=torch.Generator().manual_seed(1))
    physics = deepinv.physics.Inpainting(
        img_size=(1, 160, 160), mask=0.5, noise_model=noise, rng=torch.Generator().manual_seed(0)
    )
    x = astronaut_face()
    return x, physics(x), physics


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    return Denoiser(mszoo.load("photographs-haar-rf13"))


def test_plug_and_play(problem, denoiser) -> None:
    x, y, physics = problem
    algorithm = PGD(data_fidelity=L2(), prior=PnP(denoiser), stepsize=1.0, sigma_denoiser=0.05, max_iter=40)
    filled = y + (1 - physics.mask) * (y.sum() / physics.mask.sum())
    with torch.no_grad():
        found = algorithm(y, physics, init=filled)
    assert psnr(filled, x) < 17
    assert psnr(found, x) > 26


def test_diffusion_posterior_sampling(problem, denoiser) -> None:
    x, y, physics = problem
    solver = EulerSolver(timesteps=torch.linspace(1, 0.001, 80), rng=torch.Generator().manual_seed(0))
    sampler = PosteriorDiffusion(
        data_fidelity=DPSDataFidelity(denoiser=denoiser, guidance="annealed"),
        sde=VarianceExplodingDiffusion(sigma_min=0.005, sigma_max=1.5, alpha=1.0, dtype=torch.float32),
        denoiser=denoiser,
        solver=solver,
        dtype=torch.float32,
    )
    assert psnr(sampler(y, physics), x) > 25


def test_langevin(problem, denoiser) -> None:
    x, y, physics = problem
    torch.manual_seed(0)
    sampler = ULA(ScorePrior(denoiser), L2(sigma=0.05), step_size=1e-3, sigma=0.05, max_iter=200, burnin_ratio=0.5)
    mean, _ = sampler(y, physics)
    assert psnr(mean, x) > 25


def test_sizes_and_noise_levels_of_every_form() -> None:
    torch.manual_seed(0)
    part = {"conditioner": NETWORK, "head": "denoiser"}
    blind = Denoiser(mszoo.MultiScaleModel.from_config({"basis": "haar", "levels": 2, "detail": part, "coarse": part}))
    told = Denoiser(mszoo.MultiScaleModel.from_config({"coarse": {"conditioner": ENERGY, "head": "anchored"}}))
    x = torch.rand(2, 1, 15, 18)
    for sigma in (0.1, torch.tensor(0.1), torch.tensor([0.1, 0.2]), torch.tensor([0.1, 0.2]).reshape(2, 1, 1, 1)):
        for denoiser in (blind, told):
            assert denoiser(x, sigma).shape == x.shape
    assert torch.allclose(told(x, torch.tensor([0.1, 0.2]))[:1], told(x[:1], 0.1), atol=1e-6)
    assert told(x.double(), 0.1).dtype == torch.float64


def test_energy_is_an_explicit_prior() -> None:
    torch.manual_seed(0)
    model = mszoo.MultiScaleModel.from_config({"coarse": {"conditioner": ENERGY, "head": "anchored"}}).double().eval()
    prior = EnergyPrior(model)
    x, along = torch.rand(2, 2, 1, 16, 16, dtype=torch.float64)
    value, gradient = prior(x, 0.1), prior.grad(x, 0.1)
    assert value.shape == (2,)
    h = 1e-6
    difference = (prior(x + h * along, 0.1) - prior(x - h * along, 0.1)) / (2 * h)
    assert torch.allclose(difference, (gradient * along).flatten(1).sum(1), rtol=1e-5)
    assert torch.equal(prior.score(x, 0.1), -gradient)


def test_a_denoiser_is_no_energy() -> None:
    with pytest.raises(mszoo.MszooError, match="energy head"):
        EnergyPrior(mszoo.load("photographs-haar-rf13"))


SHAPE = (1, 32, 32)
LINEAR = {
    "inpainting": lambda: deepinv.physics.Inpainting(SHAPE, mask=0.5, rng=torch.Generator().manual_seed(0)),
    "blur": lambda: deepinv.physics.BlurFFT(SHAPE, filter=deepinv.physics.blur.gaussian_blur(sigma=(0.7, 0.7))),
}


@pytest.mark.parametrize("name", LINEAR)
def test_a_physics_is_a_measurement_that_is_solved(name: str) -> None:
    physics, x = LINEAR[name](), astronaut_face()[..., 64:96, 64:96]
    operator = Operator(physics)
    check_operator(operator, SHAPE)
    y = operator.forward(x) + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    found = mszoo.load("photographs-haar-rf13").solve(y, operator, 0.05, generator=0)
    assert psnr(found, x) > psnr(operator.pseudo_inverse(y), x) + 2


def test_a_measurement_is_linear() -> None:
    class Squared(deepinv.physics.Physics):
        def A(self, x, **kwargs):
            return x.square()

    with pytest.raises(mszoo.MszooError, match="Squared is no LinearPhysics"):
        Operator(Squared())
