"""Every scheduler draws from the density that the model has: tried on a Gaussian, whose denoiser is exact."""

from __future__ import annotations

import diffusers
import pytest
import torch
from mszoo_diffusers import Scheduled

import mszoo

VARIANCE, MEAN = 0.04, 0.4
KARRAS = {"use_karras_sigmas": True, "sigma_min": 0.002, "sigma_max": 5.0}
SCHEDULERS = {
    "ddpm": lambda: diffusers.DDPMScheduler(clip_sample=False),
    "ddim": lambda: diffusers.DDIMScheduler(clip_sample=False),
    "dpm-solver": lambda: diffusers.DPMSolverMultistepScheduler(),
    "euler": lambda: diffusers.EulerDiscreteScheduler(**KARRAS),
    "euler-ancestral": lambda: diffusers.EulerAncestralDiscreteScheduler(),
    "heun": lambda: diffusers.HeunDiscreteScheduler(use_karras_sigmas=True),
}


@pytest.fixture(scope="module")
def gaussian() -> mszoo.MultiScaleModel:
    conditioner = {"name": "bias_free_cnn", "receptive_field": 5, "depth": 3, "width": 4, "norm": "none"}
    conditioner |= {"activation": "gelu", "noise_embedding": True}
    config = {"coarse": {"conditioner": conditioner, "head": {"name": "anchored", "levels": 0}}}
    model = mszoo.MultiScaleModel.from_config(config).eval()
    torch.nn.init.zeros_(model.coarse.conditioner.last.weight)
    with torch.no_grad():
        model.coarse.mean.fill_(MEAN)
        model.coarse.low_variance.fill_(VARIANCE)
    return model


@pytest.mark.parametrize("name", SCHEDULERS)
def test_samples_have_the_models_mean_and_variance(gaussian, name) -> None:
    steps = 800 if name in ("ddpm", "euler-ancestral") else 100  # random steps of first order need more
    x = gaussian.sample(8, 32, sampler=Scheduled(SCHEDULERS[name](), steps=steps), generator=0)
    assert x.shape == (8, 1, 32, 32)
    assert x.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert x.std().item() == pytest.approx(VARIANCE**0.5, rel=0.08)
    neighbours = ((x[..., 1:] - MEAN) * (x[..., :-1] - MEAN)).mean().item()
    assert abs(neighbours) < 0.1 * VARIANCE


@pytest.mark.parametrize("name", ["ddpm", "dpm-solver", "euler-ancestral", "heun"])
def test_an_image_is_the_same_alone_and_in_any_batch(gaussian, name) -> None:
    many, few = (gaussian.sample(n, 8, sampler=Scheduled(SCHEDULERS[name](), steps=10), generator=3) for n in (3, 1))
    torch.testing.assert_close(few, many[:1], rtol=0, atol=1e-4)


def test_the_names_are_registered() -> None:
    import mszoo_diffusers

    from mszoo.discovery import registry

    for spec in mszoo_diffusers.mszoo_components():
        known = registry().copy()
        if spec.name not in known.names("sampler"):
            known.register(spec)
        sampler = known.create("sampler", spec.name, steps=7)
        assert isinstance(sampler, Scheduled)
        assert sampler.steps == 7


def test_the_same_seed_gives_the_same_images(gaussian) -> None:
    one, same, other = (
        gaussian.sample(1, (8, 12), sampler=Scheduled(SCHEDULERS["ddpm"](), steps=10), generator=g) for g in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_packaged_model_draws_images_smoother_than_noise() -> None:
    model = mszoo.load("photographs-haar-rf13")
    scheduler = diffusers.EulerDiscreteScheduler(use_karras_sigmas=True, sigma_min=0.01, sigma_max=1.0)
    x = model.sample(2, 64, sampler=Scheduled(scheduler, steps=20), generator=0)
    assert x.isfinite().all()
    assert x.diff(dim=-1).std() < 0.8 * x.std()  # of white noise: 1.41


@pytest.mark.parametrize(
    "scheduler",
    [diffusers.EDMEulerScheduler(), diffusers.DDIMScheduler(prediction_type="v_prediction")],
    ids=["edm", "v"],
)
def test_other_conventions_are_refused(gaussian, scheduler) -> None:
    with pytest.raises(mszoo.MszooError, match=r"convention|prediction_type"):
        gaussian.sample(1, 8, sampler=Scheduled(scheduler, steps=2))
