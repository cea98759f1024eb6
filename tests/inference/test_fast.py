"""The fast copy computes the same."""

import itertools

import pytest
import torch

import mszoo
from mszoo.conditioners import BiasFreeCNN
from mszoo.errors import UnsupportedError
from mszoo.inference import fast


def trained_model(
    norm: str, activation: str, embedding: bool, invariant: bool = False, width: int = 12
) -> mszoo.MultiScaleModel:
    """A model whose running statistics and gains are not the initial ones; an invariant one ends in a U-Net."""
    torch.manual_seed(0)
    part = {
        "conditioner": {"name": "bias_free_cnn", "receptive_field": 9, "depth": 6, "width": width, "norm": norm,
                        "activation": activation, "noise_embedding": embedding, "brightness_invariant": invariant},
        "head": "denoiser",
    }  # fmt: skip
    unet = {"name": "bias_free_unet", "widths": [width, 16], "activation": activation}
    model = mszoo.MultiScaleModel.from_config(
        {"channels": 3, "basis": "db2", "levels": 2, "detail": part,
         "coarse": {"conditioner": unet, "head": "denoiser"} if invariant else part}
    )  # fmt: skip
    for name, tensor in model.state_dict().items():
        if "gain" in name or "running" in name:
            tensor.copy_(torch.rand_like(tensor) + 0.5)
        elif "last.weight" in name:  # a block of the U-Net starts as the identity
            tensor.add_(0.1 * torch.randn_like(tensor))
    return model.eval()


@pytest.mark.parametrize(
    ("norm", "activation", "embedding", "invariant"),
    [
        *itertools.product(["batch", "channel", "none"], ["relu", "gelu", "softplus"], [False, True], [False]),
        ("batch", "relu", False, True),
        ("none", "gelu", False, True),
    ],
)
@pytest.mark.parametrize(("size", "width"), [((8, 8), 12), ((200, 204), 16)])  # several images at a time, and one
def test_equal_up_to_rounding(norm, activation, embedding, invariant, size, width):
    model = trained_model(norm, activation, embedding, invariant, width)
    y, before = torch.rand(3, 3, *size), {k: v.clone() for k, v in model.state_dict().items()}
    quick = fast(model)
    with torch.inference_mode():
        expected = model.denoise(y, 0.2)
        torch.testing.assert_close(quick.denoise(y, 0.2), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert quick.reach == model.reach


def test_the_norms_are_gone():
    assert not any(isinstance(m, BiasFreeCNN) for m in fast(trained_model("batch", "relu", False)).modules())


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_folding_stays_on_the_device_of_the_weights(norm):
    quick = fast(trained_model(norm, "relu", False).to("meta"))
    assert {t.device.type for t in quick.state_dict().values()} == {"meta"}


def test_bfloat16_is_close():
    model = trained_model("batch", "relu", False)
    y = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        exact, rough = model.denoise(y), fast(model, torch.bfloat16).denoise(y)
    assert rough.dtype == torch.float32
    assert (rough - exact).norm() < 0.05 * exact.norm()


def test_a_fast_model_is_not_for_saving(tmp_path):
    unet = {"conditioner": "bias_free_unet", "head": "denoiser"}
    for model in (
        trained_model("batch", "relu", False),
        mszoo.MultiScaleModel.from_config({"channels": 1, "coarse": unet}),
    ):
        with pytest.raises(UnsupportedError, match="built directly"):
            fast(model).save_pretrained(tmp_path / "fast")
        assert not (tmp_path / "fast").exists()
        model.save_pretrained(tmp_path / model.scales[-1].conditioner.part.name)
