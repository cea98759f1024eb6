from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch import Tensor

import mszoo
from mszoo.conditioners import Conditioner
from mszoo.errors import IncompatiblePartsError, OptionsError, UnsupportedError
from mszoo.heads import EnergyHead, Head
from mszoo.objectives import Denoising
from mszoo.randomness import Draw

ENERGIES = ["anchored", "inner_product", "predictive", "squared_norm"]
HEADS = ["denoiser", "score", *ENERGIES]

SMOOTH = {"norm": "channel", "activation": "gelu", "noise_embedding": True}
PAPER = {"norm": "batch", "activation": "relu", "noise_embedding": False}
FLOAT64 = {"rtol": 1e-9, "atol": 1e-12}

every_head = pytest.mark.parametrize("name", HEADS)
every_energy = pytest.mark.parametrize("name", ENERGIES)
no_gradients = pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
flat_and_conditional = pytest.mark.parametrize("cond_channels", [0, 1], ids=["flat", "conditional"])


def build(name: str, channels: int = 1, cond_channels: int = 0, **options: Any) -> Head:
    """A small head, in float64 and eval mode, none of whose parameters is at its initial value."""
    options = {"receptive_field": 7, "width": 8, "depth": 4, **SMOOTH, **options}
    conditioner = mszoo.create("conditioner", "bias_free_cnn", channels, cond_channels, **options)
    head = mszoo.create("head", name, conditioner).double().eval()
    with torch.no_grad():
        for p in head.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return head


def inputs(head: Head, batch: int = 3, size: int = 8) -> tuple[Tensor, Tensor, Tensor | None]:
    network = head.conditioner
    y = torch.randn(batch, network.channels, size, size, dtype=torch.float64)
    cond = torch.randn(batch, network.cond_channels, size, size, dtype=torch.float64)
    return y, torch.linspace(0.05, 2, batch, dtype=torch.float64), cond if network.cond_channels else None


def test_every_registered_head_is_tested_here() -> None:
    assert sorted(HEADS) == mszoo.list_components("head")
    assert {name for name in HEADS if isinstance(build(name), EnergyHead)} == set(ENERGIES)


# ---- every head ----------------------------------------------------------------------------------------------


@every_head
@flat_and_conditional
def test_denoised_is_y_plus_t_score(name: str, cond_channels: int) -> None:
    head = build(name, 3, cond_channels)
    y, t, cond = inputs(head)
    denoised = head.denoise(y, t, cond)
    assert denoised.shape == y.shape
    torch.testing.assert_close(denoised, y + t[:, None, None, None] * head.score(y, t, cond), **FLOAT64)


@every_head
@flat_and_conditional
def test_an_image_alone_gives_what_it_gives_in_a_batch(name: str, cond_channels: int) -> None:
    head = build(name, 3, cond_channels).train()
    y, t, cond = inputs(head)
    questions = [head.denoise, head.score]
    if isinstance(head, EnergyHead):
        questions += [head.energy, head.time_score]
    for question in questions:
        together = question(y, t, cond)
        for i in range(len(y)):
            alone = question(y[i : i + 1], t[i : i + 1], None if cond is None else cond[i : i + 1])
            torch.testing.assert_close(alone, together[i : i + 1], **FLOAT64)


@every_head
@no_gradients
def test_answers_are_the_same_without_gradients(name: str, mode: type[AbstractContextManager[Any]]) -> None:
    head = build(name)
    y, t, _ = inputs(head)
    with mode():
        denoised, score = head.denoise(y, t), head.score(y, t)
        assert not denoised.requires_grad
    torch.testing.assert_close(denoised, head.denoise(y, t), **FLOAT64)
    torch.testing.assert_close(score, head.score(y, t), **FLOAT64)


@every_head
def test_no_noise_means_nothing_to_remove_and_is_finite(name: str) -> None:
    head = build(name)
    y, t, _ = inputs(head)
    assert head.denoise(y, 0 * t).isfinite().all()
    if isinstance(head, EnergyHead):
        assert torch.equal(head.denoise(y, 0 * t), y)
        for value in (head.energy(y, 0 * t), *head.derivatives(y, 0 * t)):
            assert value.isfinite().all()


@every_head
@flat_and_conditional
def test_a_training_step_moves_every_parameter(name: str, cond_channels: int) -> None:
    head = build(name, 2, cond_channels).train()
    y, t, cond = inputs(head)
    loss, logs = Denoising().loss(head, torch.randn_like(y), y, t, cond)
    loss.backward()
    assert loss.isfinite()
    assert not any(value.requires_grad for value in logs.values())
    for key, p in head.named_parameters():
        assert p.grad is not None, key
        assert p.grad.isfinite().all(), key
        assert p.grad.any(), key


@every_head
def test_training_lowers_the_loss(name: str) -> None:
    head, objective = build(name).float().train(), Denoising()
    x = torch.rand(16, 1, 1, 1).expand(16, 1, 8, 8)
    y, t = objective.corrupt(x, Draw(0, 0, list(range(16))))
    optimizer = torch.optim.Adam(head.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss, _ = objective.loss(head, x, y, t, None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


@every_head
def test_blind_as_its_network(name: str) -> None:
    head = build(name)
    assert not head.blind
    with pytest.raises(UnsupportedError, match="noise level"):
        head.denoise(inputs(head)[0])
    if name == "denoiser":
        blind = build(name, noise_embedding=False)
        assert blind.blind
        y, t, _ = inputs(blind)
        assert torch.equal(blind.denoise(y), blind.denoise(y, t))


class Careless(Conditioner):
    """A network that says that it takes t, and does not mind when there is none."""

    takes_t, batch_independent, smooth, receptive_field = True, True, True, 1

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        return y if t is None else y * t[:, None, None, None]


@every_head
def test_a_missing_noise_level_is_refused_whatever_the_network_does(name: str) -> None:
    head, y = mszoo.create("head", name, Careless(1)), torch.rand(2, 1, 8, 8)
    assert not head.blind
    with pytest.raises(UnsupportedError, match="noise level"):
        head.denoise(y)
    if not isinstance(head, EnergyHead):  # a model of energies finds it
        with pytest.raises(UnsupportedError, match="sigma"):
            mszoo.MultiScaleModel(1, head).denoise(y)


def test_an_energy_is_never_blind() -> None:
    class Blunt(EnergyHead):
        needs = ()

        def energy(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
            return self.conditioner(y, None, cond).flatten(1).sum(1)

    class Blind(Careless):
        takes_t = False

    assert not Blunt(Blind(1)).blind
    with pytest.raises(UnsupportedError, match="Blunt is not blind"):
        Blunt(Blind(1)).denoise(torch.rand(1, 1, 4, 4))


NO_LEVELS: dict[str, Any] = {
    "a number": 0.1,
    "a text": "x",
    "a list": [0.1, 0.2],
    "a scalar": torch.tensor(0.1),
    "too many": torch.ones(3),
    "none": torch.ones(0),
    "one each, as images": torch.ones(2, 1, 1, 1),
    "integers": torch.ones(2, dtype=torch.int64),
}


@pytest.mark.parametrize("name", [name for name in HEADS if name != "denoiser"])
@pytest.mark.parametrize("question", ["denoise", "energy", "score", "time_score", "derivatives"])
@pytest.mark.parametrize("levels", NO_LEVELS)
def test_what_are_no_noise_levels_is_refused(name: str, question: str, levels: str) -> None:
    head = build(name)
    if not hasattr(head, question):
        return
    with pytest.raises(OptionsError, match="t: should be a floating-point tensor of variances"):
        getattr(head, question)(torch.zeros(2, 1, 8, 8, dtype=torch.float64), NO_LEVELS[levels])


@pytest.mark.parametrize("name", [name for name in HEADS if name != "denoiser"])
@pytest.mark.parametrize("question", ["denoise", "energy", "score", "time_score", "derivatives"])
def test_no_question_is_answered_without_the_noise_level(name: str, question: str) -> None:
    head = build(name)
    if hasattr(head, question):
        with pytest.raises(UnsupportedError, match="is not blind: give the noise level"):
            getattr(head, question)(inputs(head)[0], None)


# ---- energies ------------------------------------------------------------------------------------------------


@every_energy
@flat_and_conditional
def test_score_and_time_score_are_minus_the_energys_differences(name: str, cond_channels: int) -> None:
    head = build(name, 2, cond_channels)
    assert isinstance(head, EnergyHead)
    y, t, cond = inputs(head)
    h = 1e-5
    score, time_score = head.score(y, t, cond), head.time_score(y, t, cond)
    for _ in range(5):
        v = torch.randn_like(y)
        slope = (head.energy(y + h * v, t, cond) - head.energy(y - h * v, t, cond)) / (2 * h)
        torch.testing.assert_close((score * v).flatten(1).sum(1), -slope, rtol=1e-6, atol=1e-7)
    slope = (head.energy(y, t + h, cond) - head.energy(y, t - h, cond)) / (2 * h)
    torch.testing.assert_close(time_score, -slope, rtol=1e-5, atol=1e-6)


@every_energy
def test_derivatives_are_both_scores_at_once(name: str) -> None:
    head = build(name, 1, 1)
    assert isinstance(head, EnergyHead)
    y, t, cond = inputs(head)
    both = head.derivatives(y, t, cond)
    torch.testing.assert_close(both, (head.score(y, t, cond), head.time_score(y, t, cond)), **FLOAT64)
    assert both[0].shape == y.shape
    assert both[1].shape == t.shape


@every_energy
@no_gradients
def test_derivatives_work_without_gradients(name: str, mode: type[AbstractContextManager[Any]]) -> None:
    head = build(name)
    assert isinstance(head, EnergyHead)
    y, t, _ = inputs(head)
    with mode():
        inside = head.energy(y, t), *head.derivatives(y.clone(), t.clone())
    torch.testing.assert_close(inside, (head.energy(y, t), *head.derivatives(y, t)), **FLOAT64)


@every_energy
def test_energy_is_summed_in_float32_under_autocast(name: str) -> None:
    head = build(name).float()
    assert isinstance(head, EnergyHead)
    y, t = torch.randn(2, 1, 32, 32), torch.tensor([0.1, 1.0])
    exact = head.energy(y, t)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        energy, (score, time_score) = head.energy(y, t), head.derivatives(y, t)
    assert energy.dtype == score.dtype == time_score.dtype == torch.float32
    assert not torch.equal(energy, energy.bfloat16().float())
    torch.testing.assert_close(energy, exact, rtol=0.05, atol=0.05 * exact.abs().max().item())
    assert head.double().energy(y.double(), t.double()).dtype == torch.float64


@pytest.mark.parametrize("name", ["score", "squared_norm"])
def test_what_the_simple_heads_are(name: str) -> None:
    head = build(name, 3)
    y, t, _ = inputs(head)
    f = head.conditioner(y, t)
    if name == "score":
        torch.testing.assert_close(head.score(y, t), -f, **FLOAT64)
    else:
        torch.testing.assert_close(head.energy(y, t), f.square().sum((1, 2, 3)) / 2, **FLOAT64)  # type: ignore[operator]


# ---- parts that do not fit -----------------------------------------------------------------------------------


@every_energy
@pytest.mark.parametrize(
    ("options", "reasons"),
    [
        ({"norm": "batch"}, {"batch_independent": "norm: channel"}),
        ({"activation": "relu"}, {"smooth": "activation: gelu"}),
        ({"noise_embedding": False}, {"takes_t": "noise_embedding: true"}),
        (
            PAPER,
            {
                "batch_independent": "norm: channel",
                "smooth": "activation: gelu",
                "takes_t": "noise_embedding: true",
            },
        ),
    ],
    ids=["norm", "activation", "noise_embedding", "all"],
)
def test_an_energy_names_every_reason_why_a_network_does_not_fit(
    name: str, options: dict[str, Any], reasons: dict[str, str]
) -> None:
    with pytest.raises(IncompatiblePartsError) as caught:
        build(name, **options)
    message = str(caught.value)
    for declaration, remedy in reasons.items():
        assert declaration in message
        assert remedy in message
    assert not any(d in message for d in {"batch_independent", "smooth", "takes_t"} - set(reasons))


class Pooled(Conditioner):
    """A network that returns features instead of an image."""

    takes_t, batch_independent, smooth, receptive_field, features = True, True, True, None, 2

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        return y.flatten(1)[:, :2]


@every_head
def test_a_head_of_images_refuses_features(name: str) -> None:
    with pytest.raises(IncompatiblePartsError, match=r"Pooled.*features"):
        mszoo.create("head", name, Pooled(1))
