"""The basis starts as Daubechies', is orthonormal at any angle, and learns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import pywt
import torch
from accelerate import Accelerator
from mszoo_learned_basis.lattice import Lattice
from mszoo_learned_basis.likelihood import Likelihood, negative_log_likelihood

import mszoo
import mszoo.testing
from mszoo.randomness import Draw
from mszoo.training.gradients import CompiledGradients
from mszoo.training.step import Step

CNN = {"name": "bias_free_cnn", "receptive_field": 5, "depth": 3, "width": 6, "norm": "none"}


@mszoo.testing.parametrize_with_checks(
    ("basis", "learned/lattice"),
    ("basis", "learned/lattice", {"length": 10}),
    ("objective", "learned/likelihood"),
)
def test_contract(check):
    check()


@pytest.mark.parametrize("length", [2, 4, 6, 8, 12, 16])
def test_it_starts_as_daubechies(length):
    bank = pywt.Wavelet(f"db{length // 2}")
    low, high = (f.detach().double().numpy() for f in Lattice(length=length).double().filters())
    assert min(np.abs(low - bank.rec_lo).max(), np.abs(low - bank.dec_lo).max()) < 1e-5
    size = min(np.abs(np.abs(high) - np.abs(h)).max() for h in (bank.rec_hi, bank.dec_hi))
    assert size < 1e-5


@pytest.mark.parametrize("seed", range(5))
def test_it_is_orthonormal_at_any_angle(seed):
    torch.manual_seed(seed)
    basis = Lattice(length=8).double()
    torch.nn.init.uniform_(basis.angles, -10, 10)
    x = torch.randn(2, 3, 16, 8, dtype=torch.float64)
    low, detail = basis.analyze(x)
    assert torch.allclose(basis.synthesize(low, detail), x)
    assert torch.allclose(low.square().sum() + detail.square().sum(), x.square().sum())


def test_gradients_reach_it_through_clean_and_noisy_coefficients():
    def gradient(detach: str) -> torch.Tensor:
        torch.manual_seed(0)
        part = {"conditioner": CNN, "head": "denoiser"}
        config = {"basis": {"name": "learned/lattice", "length": 4}, "levels": 1, "detail": part, "coarse": part}
        model = mszoo.MultiScaleModel.from_config(config)
        step = Step(model, [Likelihood(share=0.75), Likelihood(share=0.25)])
        corrupted = step.corrupt(torch.rand(4, 1, 16, 16), Draw(0, 0, [0, 1, 2, 3]))
        cut = {
            j: (x.detach() if detach == "clean" else x, y.detach() if detach == "noisy" else y, t, cond)
            for j, (x, y, t, cond) in corrupted.items()
        }
        step.loss(cut)[0].backward()
        return model.basis.angles.grad  # type: ignore[union-attr,return-value]

    whole, without_clean, without_noisy = gradient(""), gradient("clean"), gradient("noisy")
    assert whole.abs().max() > 0
    assert not torch.allclose(whole, without_clean)
    assert not torch.allclose(whole, without_noisy)


def test_the_integral_is_the_entropy_of_a_gaussian_with_its_own_denoiser():
    v = 0.04
    head = {"name": "anchored", "levels": 0}
    network = {**CNN, "activation": "gelu", "noise_embedding": True}
    part = {"conditioner": network, "head": head}
    model = mszoo.MultiScaleModel.from_config({"basis": "learned/lattice", "levels": 1, "detail": part, "coarse": part})
    for scale in model.eval().scales:
        torch.nn.init.zeros_(scale.conditioner.last.weight)
        scale.low_variance.fill_(v)
    x = v**0.5 * torch.randn(64, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    found = negative_log_likelihood(model, [x], min_sigma=1e-3, max_sigma=30.0, levels=60)
    # 1 - L = t / (v + t): next to nothing is lost below t_min
    assert found == pytest.approx(8 + 0.5 * math.log2(2 * math.pi * math.e * v), abs=0.02)


def test_training_moves_the_angles(tmp_path):
    from mszoo.recipe import read_recipe
    from mszoo.training import train

    recipe = f"""
name: learned
model:
  channels: 1
  basis: {{name: learned/lattice, length: 4}}
  levels: 1
  detail: {{conditioner: {CNN}, head: denoiser, objective: {{share: 0.75}}}}
  coarse: {{conditioner: {CNN}, head: denoiser, objective: {{share: 0.25}}}}
objective: {{name: learned/likelihood}}
data: {{train: {{name: photographs, crop: 32}}}}
training: {{steps: 5, batch_size: 4, checkpoint_every: 5, optimizer: {{name: adam, lr: 1e-2}}}}
""".replace("'", "").replace("True", "true")
    (tmp_path / "recipe.yaml").write_text(recipe)
    model = train(read_recipe(str(tmp_path / "recipe.yaml")), tmp_path / "run")
    start = Lattice(length=4).angles
    assert (model.basis.angles - start).abs().min() > 1e-3
    loaded = mszoo.load(tmp_path / "run")
    assert torch.equal(loaded.basis.angles, model.basis.angles.cpu())


def test_a_compiled_step_is_refused_since_it_would_not_train_the_basis():
    part = {"conditioner": CNN, "head": "denoiser"}
    model = mszoo.MultiScaleModel.from_config({"basis": "learned/lattice", "levels": 1, "detail": part, "coarse": part})
    with pytest.raises(mszoo.MszooError, match=r"training\.compile"):
        CompiledGradients(Accelerator(cpu=True), Step(model, [Likelihood(), Likelihood()]))
