"""Probabilities and code lengths, against densities that are known exactly."""

import json
import math
import warnings

import pytest
import torch

import mszoo
from mszoo.errors import CheckpointError, ImageSizeError, MszooError, UnsupportedError
from mszoo.heads import EnergyHead
from mszoo.heads.normalization import normalization_constant
from mszoo.inference import log_prob_scales, normalize
from tests.factories import SMOOTH, energy


class WhiteGaussian(EnergyHead):
    """The energy of white pixels of some mean and variance, less a constant that one has to find again."""

    def __init__(self, conditioner, mean=0.5, variance=0.1, missing=0.0):
        super().__init__(conditioner)
        self.mean, self.variance, self.missing = mean, variance, missing

    def energy(self, y, t, cond=None):
        normal = torch.distributions.Normal(self.mean, (self.variance + t).sqrt()[:, None, None, None])
        return -normal.log_prob(y).sum((1, 2, 3)) - self.missing


def network(channels=1, cond=0):
    return mszoo.create("conditioner", "bias_free_cnn", channels, cond, receptive_field=5, depth=3, width=4, **SMOOTH)


def white(missing=0.0, channels=1, **options):
    head = WhiteGaussian(network(channels), missing=missing, **options)
    return mszoo.MultiScaleModel(channels, head).double().eval()


def exact(x, mean=0.5, variance=0.1):
    return torch.distributions.Normal(mean, math.sqrt(variance)).log_prob(x).sum((1, 2, 3))


@pytest.mark.parametrize("missing", [-300.0, 0.0, 12.3])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (4, 20)])
def test_the_constant_is_found_and_with_it_the_density(missing, channels, size):
    model, x = white(missing, channels), torch.rand(5, channels, *size, dtype=torch.float64)
    constant = normalize(model, size)
    d = x[0].numel()
    # Pixels of another mean and variance than uniform ones: of order v / t per dimension, with t = 1000.
    assert abs(constant.value - missing) < 3e-4 * d
    assert constant.size == (channels, *size)
    torch.testing.assert_close(model.log_prob(x), exact(x), rtol=0, atol=3e-4 * d)


def test_the_standard_error_is_that_of_the_draws():
    head = white(5.0).coarse
    values = [normalization_constant(head, (1, 8, 8), draws=16, seed=seed) for seed in range(40)]
    spread = torch.tensor([c.value for c in values]).std().item()
    typical = torch.tensor([c.error for c in values]).mean().item()
    assert 0.5 < spread / typical < 2


def test_units_are_the_same_number():
    model, x = white(), torch.rand(3, 1, 8, 8, dtype=torch.float64)
    nats = model.log_prob(x)
    torch.testing.assert_close(model.log_prob(x, unit="dB/dim"), 10 * torch.log10(nats.exp()) / 64)
    torch.testing.assert_close(model.nll(x), 8 - torch.log2(nats.exp()) / 64)
    with pytest.raises(MszooError, match="dB/dim"):
        model.log_prob(x, unit="bits")


def test_dequantized_nll_bounds_the_code_length_of_a_coarse_density():
    # Pixels of standard deviation 0.1: much wider than a grey level, so the density hardly changes within one.
    model = white(mean=0.5, variance=0.01)
    x = (torch.randn(20, 1, 16, 16, dtype=torch.float64) * 0.1 + 0.5).mul(255).round() / 255
    edges = torch.stack([x - 1 / 510, x + 1 / 510])
    below, above = torch.distributions.Normal(0.5, 0.1).cdf(edges)
    bits = -torch.log2(above - below).mean()
    bound = model.nll(x, dequantize=True, generator=torch.Generator().manual_seed(0)).mean()
    assert abs(bound - bits) < 0.01
    again = model.nll(x, dequantize=True, generator=torch.Generator().manual_seed(0)).mean()
    assert bound == again
    assert abs(model.nll(x).mean() - bits - (8 - math.log2(255))) < 0.01


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_chain_rule_sums_over_scales(levels, channels):
    model, x = energy(levels, channels), torch.rand(4, channels, 16, 24)
    parts = log_prob_scales(model, x)
    assert len(parts) == levels + 1
    torch.testing.assert_close(model.log_prob(x), sum(parts))
    for head, part, (c, cond) in zip(model.scales, parts, model.decompose(x), strict=True):
        torch.testing.assert_close(part, -head.energy(c, torch.zeros(4), cond))
    assert normalize(model, (16, 24)).t == math.inf


@pytest.mark.filterwarnings("ignore:the constant")
def test_a_coarse_scale_without_an_anchor_gets_its_constant():
    model = energy(1, head="inner_product")
    constant = normalize(model, (16, 16))
    assert constant.size == (1, 8, 8)
    assert constant.t == 1e3
    x = torch.rand(2, 1, 16, 16)
    zero = torch.zeros(2)
    torch.testing.assert_close(
        log_prob_scales(model, x)[-1], -model.coarse.energy(model.decompose(x)[-1][0], zero) - constant.value
    )


@pytest.mark.filterwarnings("ignore:the constant")
def test_constants_are_kept_in_the_checkpoint_and_forgotten_in_training(tmp_path):
    model = energy(0, head="inner_product")
    first = normalize(model, (8, 8))
    assert model.constants == {(1, 8, 8): first}
    model.save_pretrained(tmp_path)
    assert mszoo.load(tmp_path).constants == {(1, 8, 8): first}
    model.train()
    assert not model.constants
    normalize(model, (8, 8))
    assert not model.constants


def test_it_works_in_a_users_inference_mode():
    model, x = energy(1), torch.rand(2, 1, 8, 8)
    with torch.inference_mode():
        inside = model.log_prob(x)
    torch.testing.assert_close(inside.clone(), model.log_prob(x))


def test_models_without_a_density_say_why():
    with pytest.raises(UnsupportedError, match="scale 0 has no density: the head Denoiser has no energy"):
        mszoo.load("photographs-haar-rf13").log_prob(torch.rand(1, 1, 8, 8))
    part = {
        "conditioner": {"name": "bias_free_cnn", "receptive_field": 5, "depth": 3, **SMOOTH},
        "head": "inner_product",
    }
    model = mszoo.MultiScaleModel.from_config({"basis": "haar", "levels": 1, "detail": part, "coarse": part})
    with pytest.raises(UnsupportedError, match="`anchored`"):
        model.nll(torch.rand(1, 1, 8, 8))
    with pytest.raises(ImageSizeError, match="nearest sizes"):
        energy(2).log_prob(torch.rand(1, 1, 8, 10))
    with pytest.raises(ImageSizeError, match="takes images"):
        energy(2).log_prob(torch.rand(1, 3, 8, 8))


@pytest.mark.filterwarnings("ignore:the constant")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_network_of_any_precision_gets_its_constant(dtype):
    config = {
        "channels": 1,
        "coarse": {"conditioner": {"name": "unet", "width": 4, "halvings": 1}, "head": "inner_product"},
    }
    model = mszoo.MultiScaleModel.from_config(config).eval()
    x = torch.rand(2, 1, 8, 8)
    expected = model.double().log_prob(x.double())
    model.constants.clear()
    found = model.to(dtype).log_prob(x.to(dtype))
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-4, torch.bfloat16: 0.1}[dtype]
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)


def test_an_untrained_energy_says_that_its_constant_is_uncertain():
    with pytest.warns(UserWarning, match=r"uncertain by .* at t = 7: the energy was trained too little"):
        normalization_constant(energy(0, head="inner_product").coarse, (1, 8, 8), t=7.0)


@pytest.mark.filterwarnings("ignore:the constant")
def test_other_weights_have_another_constant(tmp_path):
    model, other = (energy(head="inner_product", seed=seed) for seed in (0, 1))
    before, after = normalize(model, (8, 8)), normalize(other, (8, 8))
    assert before.value != after.value
    model.load_state_dict(other.state_dict())
    assert normalize(model, (8, 8)).value == after.value
    model.largest_t = [10.0]
    model.save_pretrained(tmp_path)
    assert mszoo.load(tmp_path).largest_t == [10.0]
    config = json.loads((tmp_path / "config.json").read_text())
    for older, read in ((5.0, [5.0]), ([1.0, 2.0], None), ([0.0], None)):  # one number was of all scales
        (tmp_path / "config.json").write_text(json.dumps({**config, "largest_t": older}))
        if read is None:
            with pytest.raises(CheckpointError, match="malformed"):
                mszoo.load(tmp_path)
        else:
            assert mszoo.load(tmp_path).largest_t == read


# ---- where not to believe it ---------------------------------------------------------------------------------


def whole(size):
    """A network that sees the whole image."""
    config = {
        "channels": 1,
        "coarse": {"conditioner": {"name": "unet", "width": 4, "halvings": 1}, "head": "anchored"},
    }
    model = mszoo.MultiScaleModel.from_config(config).eval()
    model.trained_size = size
    return model


def told(model, x):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.log_prob(x)
        model.nll(x)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("size", [(8, 8), (8, 16), (16, 8)])
def test_larger_images_than_those_of_training_are_doubted_once(size):
    model = whole((8, 8))
    doubts = told(model, torch.rand(2, 1, *size))
    assert len(doubts) == (size != (8, 8))
    if doubts:
        assert f"trained on at most 8x8 pixels: do not believe its log p of {size[0]}x{size[1]} pixels" in doubts[0]


def test_local_energies_and_sizes_that_are_not_known_are_not_doubted():
    local = energy(1)
    local.trained_size = (8, 8)
    for model in (local, whole(None)):
        assert not told(model, torch.rand(2, 1, 16, 16))


def test_what_is_more_than_certain_at_eight_bits_is_doubted_once():
    model = white(variance=1e-8)
    x = torch.full((1, 1, 8, 8), 0.5, dtype=torch.float64)
    assert model.nll(x + 0.1) > 0
    assert not model.has_doubted
    (doubt,) = told(model, x)
    assert "fewer than 0 bits a pixel" in doubt
    assert "mszoo guide log-prob" in doubt
    assert not told(model, x)


def test_doubts_do_not_stop_transforms():
    model = white(variance=1e-8)
    x = torch.full((2, 1, 4, 4), 0.5, dtype=torch.float64)
    each = torch.func.vmap(lambda image: model.log_prob(image[None])[0])(x)
    torch.testing.assert_close(each, exact(x, variance=1e-8), rtol=1e-5, atol=0)  # t is in float32


def test_the_size_of_training_travels_with_the_checkpoint(tmp_path):
    model = whole((8, 16))
    model.save_pretrained(tmp_path)
    assert mszoo.load(tmp_path).trained_size == (8, 16)
    config = json.loads((tmp_path / "config.json").read_text())
    for size in ([8], [0, 8], "8"):
        (tmp_path / "config.json").write_text(json.dumps({**config, "trained_size": size}))
        with pytest.raises(CheckpointError, match="malformed"):
            mszoo.load(tmp_path)
    del config["trained_size"]  # an older checkpoint
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert mszoo.load(tmp_path).trained_size is None
