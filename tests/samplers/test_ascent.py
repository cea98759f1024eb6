"""The ascent finds what the denoiser knows, image by image."""

import pytest
import torch

from mszoo.randomness import child_generators, normal
from mszoo.samplers import Schedule, ascend

SHAPE = (1, 12, 10)


def onto_flat_images(y: torch.Tensor, which: torch.Tensor, left: torch.Tensor, step: int) -> torch.Tensor:
    """Residual of the exact denoiser of constant images: the projection onto their mean."""
    return y.mean((1, 2, 3), keepdim=True) - y


def start(count: int, seed: int = 0) -> torch.Tensor:
    return 0.5 + normal(torch.zeros(count, *SHAPE), child_generators(seed, count))


@pytest.mark.parametrize("beta", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("growing", [True, False])
def test_it_ends_on_the_prior(beta, growing):
    schedule = Schedule(h0=0.05, beta=beta, growing=growing, floor=1e-3)
    x = ascend(onto_flat_images, start(4), schedule, child_generators(1, 4))
    torch.testing.assert_close(x, x.mean((1, 2, 3), keepdim=True).expand_as(x), rtol=0, atol=1e-6)
    assert x.mean((1, 2, 3)).std() > 0.01  # the images differ


def test_without_added_noise_it_is_a_projection():
    y = start(3)
    x = ascend(onto_flat_images, y, Schedule(h0=0.1, beta=1.0), child_generators(1, 3))
    torch.testing.assert_close(x, y.mean((1, 2, 3), keepdim=True).expand_as(x))


@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_an_image_is_the_same_alone_and_in_any_batch(beta):
    schedule = Schedule(h0=0.05, beta=beta)
    together = ascend(onto_flat_images, start(5), schedule, child_generators(7, 5))
    for i in range(5):
        alone = ascend(onto_flat_images, start(5)[i : i + 1], schedule, child_generators(7, 5)[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-6)


def test_child_generators_do_not_depend_on_how_many():
    few, many = child_generators(3, 2), child_generators(3, 9)
    assert [g.initial_seed() for g in few] == [g.initial_seed() for g in many[:2]]
    parent = torch.Generator().manual_seed(3)
    assert [g.initial_seed() for g in child_generators(parent, 2)] == [g.initial_seed() for g in few]
    again = [g.initial_seed() for g in child_generators(parent, 2)]  # the parent moves on
    assert again != [g.initial_seed() for g in few]


def test_noise_estimates_fall_as_the_schedule_says():
    """With beta the expected noise falls by (1 - beta h) a step; the estimate of pure noise follows it."""
    seen = []
    schedule = Schedule(h0=0.1, beta=0.5, growing=False, floor=0.05)
    shape = (2, 1, 64, 64)
    y = normal(torch.zeros(shape), child_generators(0, 2))
    ascend(onto_flat_images, y, schedule, child_generators(1, 2), on_step=lambda k, y, s: seen.append(s.clone()))
    ratios = torch.stack(seen[1:]) / torch.stack(seen[:-1])
    active = torch.stack(seen[1:]) != torch.stack(seen[:-1])
    assert ratios[active].mean().item() == pytest.approx(1 - 0.5 * 0.1, abs=2e-3)


def test_a_diverging_image_goes_back_and_leaves_the_others_alone():
    def unstable(y: torch.Tensor, which: torch.Tensor, left: torch.Tensor, step: int) -> torch.Tensor:
        d = onto_flat_images(y, which, left, step)
        return torch.where((which == 1)[:, None, None, None], -5 * d, d)

    with pytest.warns(UserWarning, match=r"image\(s\) 1 diverged"):
        x = ascend(unstable, start(3), Schedule(h0=0.1), child_generators(0, 3))
    assert x.isfinite().all()
    assert x.abs().max() < 100
    torch.testing.assert_close(x[0], x[0].mean().expand_as(x[0]))


def test_a_slow_schedule_warns():
    with pytest.warns(UserWarning, match="had not converged after 3 steps"):
        ascend(onto_flat_images, start(1), Schedule(max_steps=3), child_generators(0, 1))


@pytest.mark.parametrize("options", [{"h0": 0}, {"h0": 2}, {"beta": 0}, {"sigma_end": -1}, {"max_steps": 0}])
def test_impossible_schedules(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Schedule(**options)


def test_annealed_noise_falls_as_beta_says_whatever_the_denoiser_leaves():
    """A denoiser that takes a part of every image for noise: with the estimate from it, going on would never end."""

    def never_content(y: torch.Tensor, which: torch.Tensor, left: torch.Tensor, step: int) -> torch.Tensor:
        return onto_flat_images(y, which, left, step) + 0.1

    seen: list[torch.Tensor] = []
    schedule = Schedule(h0=0.2, beta=0.1, sigma_0=0.8, annealed=True, sigma_end=1e-6, floor=0.01)
    x = ascend(
        never_content, start(2), schedule, child_generators(0, 2), on_step=lambda k, y, s: seen.append(s.clone())
    )
    sigma = torch.stack(seen)
    falling = 1 - 0.1 * torch.tensor([schedule.step_size(k) for k in range(1, len(sigma))])
    torch.testing.assert_close(sigma[0], torch.full((2,), 0.8))
    torch.testing.assert_close(sigma[1:] / sigma[:-1], falling[:, None].expand(-1, 2))
    assert sigma[-2].min() > 0.01 >= sigma[-1].max()
    assert x.isfinite().all()


def test_annealed_the_added_noise_keeps_to_the_schedule():
    """Images of pure noise hold, at every step, as much of it as the schedule says."""
    held: list[float] = []
    schedule = Schedule(h0=0.2, beta=0.2, annealed=True, sigma_end=1e-6, floor=0.05)

    def watch(y: torch.Tensor, which: torch.Tensor, left: torch.Tensor, step: int) -> torch.Tensor:
        held.append(y[0].std().item())
        return onto_flat_images(y, which, left, step)

    told: list[float] = []
    y = normal(torch.zeros(2, 1, 64, 64), child_generators(0, 2))
    ascend(watch, y, schedule, child_generators(1, 2), on_step=lambda k, y, s: told.append(s[0].item()))
    torch.testing.assert_close(torch.tensor(held[:-1]), torch.tensor(told), rtol=0.1, atol=0)
