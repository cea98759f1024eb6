"""Where an image is improbable: maps of log p, and energies of large images in tiles."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mszoo
from mszoo.errors import UnsupportedError
from mszoo.heads import EnergyHead
from mszoo.inference import log_prob_map, log_prob_scales, tiles
from tests.factories import SMOOTH, chain, denoiser, energy, network


def shaken(model: mszoo.MultiScaleModel) -> mszoo.MultiScaleModel:
    """No network answers nothing."""
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    return model.eval()


def predictive(levels: int, channels: int = 1) -> mszoo.MultiScaleModel:
    config = chain(levels, network(**SMOOTH), "predictive", channels)
    config["coarse"] = {**config["coarse"], "head": {"name": "anchored", "basis": "db4", "levels": 2, "offset": True}}
    return shaken(mszoo.MultiScaleModel.from_config(config))


@given(
    levels=st.integers(0, 3),
    channels=st.sampled_from([1, 3]),
    build=st.sampled_from([energy, predictive, lambda levels, channels: energy(levels, channels, "inner_product")]),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
@settings(max_examples=25, deadline=None)
@pytest.mark.filterwarnings("ignore:the constant of images")
def test_shares_add_up_to_log_p(levels, channels, build, size):
    model, (height, width) = build(levels, channels).double(), (8 * side for side in size)
    x = torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shares = log_prob_map(model, x)
    expected = [(height >> min(j + 1, levels), width >> min(j + 1, levels)) for j in range(levels + 1)]
    assert [share.shape[1:] for share in shares] == expected
    for share, log_p in zip(shares, log_prob_scales(model, x), strict=True):
        torch.testing.assert_close(share.sum((1, 2)), log_p)
    torch.testing.assert_close(sum(share.sum((1, 2)) for share in shares), model.log_prob(x))


def test_a_change_shows_at_its_place_and_no_further_than_the_network_sees():
    model = predictive(1).double()
    x = torch.rand(1, 1, 64, 64, dtype=torch.float64)
    changed = x.clone()
    changed[..., 30:32, 40:42] += 0.5
    details = (log_prob_map(model, changed)[0] != log_prob_map(model, x)[0])[0].nonzero()
    reach = model.scales[0].map_reach
    assert details.min(0).values.tolist() >= [15 - reach, 20 - reach]
    assert details.max(0).values.tolist() <= [15 + reach, 20 + reach]


@pytest.mark.parametrize("size", [(2 * tiles.TILE + 90, 70), (70, 4 * tiles.TILE + 130)])
@pytest.mark.parametrize("build", [energy, predictive])
def test_a_large_image_is_measured_in_tiles_that_do_not_show(build, size, monkeypatch):
    model = shaken(build(1)).double()
    x = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    cut = log_prob_map(model, x), model.log_prob(x)
    seen: list[torch.Size] = []
    ask = type(model.scales[0]).energy_map
    monkeypatch.setattr(
        type(model.scales[0]), "energy_map", lambda self, y, *rest: (seen.append(y.shape), ask(self, y, *rest))[1]
    )
    assert torch.equal(log_prob_map(model, x)[0], cut[0][0])
    assert max(side for shape in seen for side in shape[-2:]) <= tiles.TILE + 2 * model.scales[0].map_reach
    monkeypatch.setattr(tiles, "TILE", 10**6)
    for whole, part in zip(log_prob_map(model, x), cut[0], strict=True):
        torch.testing.assert_close(part, whole)
    torch.testing.assert_close(model.log_prob(x), cut[1])


class Other(EnergyHead):
    """Somebody's head, without a map."""

    normalized = True

    def energy(self, y, t, cond=None):
        return y.square().flatten(1).sum(1) / 2 + 0 * self.conditioner(y, t, cond).sum()


def test_what_has_no_map_says_so():
    conditioner = mszoo.create("conditioner", "bias_free_cnn", 1, receptive_field=5, depth=3, width=4, **SMOOTH)
    model = mszoo.MultiScaleModel(1, Other(conditioner)).eval()
    assert model.log_prob(torch.rand(1, 1, 1200, 8)).isfinite().all()  # whole, for it cannot be cut
    with pytest.raises(UnsupportedError, match="Other has no map: the head defines no energy_map"):
        model.log_prob_map(torch.rand(1, 1, 8, 8))
    with pytest.raises(UnsupportedError, match="scale 0 has no density"):
        denoiser().log_prob_map(torch.rand(1, 1, 8, 8))
