"""A grown network computes what the smaller one did, and learns with its new channels; what cannot grow says so."""

from __future__ import annotations

from typing import Any

import pytest
import safetensors.torch
import torch

from mszoo.errors import TrainingError
from mszoo.model import MultiScaleModel
from mszoo.recipe import read_recipe
from mszoo.testing.kit import shake
from mszoo.training import train
from mszoo.training.grow import grow

CNN = {"name": "bias_free_cnn", "receptive_field": 7, "depth": 5, "width": 6}
UNET = {"name": "bias_free_unet", "widths": [4, 6], "blocks": 1}
B = {"name": "unet", "width": 4, "halvings": 1}


def build(conditioner: dict[str, Any], head: str, levels: int = 0, channels: int = 1) -> MultiScaleModel:
    part = {"conditioner": conditioner, "head": head}
    more = {"basis": "haar", "levels": levels, "detail": part} if levels else {}
    return MultiScaleModel.from_config({"channels": channels, "coarse": part, **more})


@pytest.mark.parametrize(
    ("small", "more", "head"),
    [
        ({**CNN, "norm": "none"}, {"width": 9}, "denoiser"),
        ({**CNN, "norm": "batch"}, {"width": 9}, "denoiser"),
        ({**CNN, "norm": "none", "brightness_invariant": True}, {"width": 7}, "denoiser"),
        ({**CNN, "norm": "none", "activation": "gelu", "noise_embedding": True}, {"width": 9}, "anchored"),
        ({**CNN, "norm": "channel"}, {}, "denoiser"),
        (UNET, {"widths": [5, 8]}, "denoiser"),
        (UNET, {"blocks": 3}, "denoiser"),
        (UNET, {"blocks": [2, 1]}, "denoiser"),
        (UNET, {"widths": [4, 9], "blocks": 2}, "denoiser"),
        (B, {}, "inner_product"),
    ],
)
@pytest.mark.parametrize(("levels", "channels"), [(0, 1), (1, 3)])
def test_a_grown_model_computes_the_same(small, more, head, levels, channels):
    narrow, wide = build(small, head, levels, channels), build({**small, **more}, head, levels, channels)
    shake(narrow).eval()
    grow(wide, narrow, "narrow")
    y = torch.rand(2, channels, 24, 16)
    sigma = None if narrow.blind else 0.3
    torch.testing.assert_close(wide.eval().denoise(y, sigma), narrow.denoise(y, sigma), rtol=1e-4, atol=1e-5)
    if more:
        old = narrow.state_dict()
        wide.denoise(y, sigma).square().sum().backward()
        new = [p for name, p in wide.named_parameters() if name not in old or p.shape != old[name].shape]
        assert any(p.grad is not None and bool(p.grad.any()) for p in new), "training moves what is new"


@pytest.mark.parametrize(
    ("small", "more", "head", "message"),
    [
        ({**CNN, "norm": "channel"}, {"width": 9}, "denoiser", "norm mixes new channels with old"),
        ({**CNN, "norm": "none"}, {"depth": 6}, "denoiser", r"inner\.1\.weight .*1, 1\) here"),
        (B, {"width": 6}, "inner_product", "cannot be grown"),
        ({**CNN, "norm": "none"}, {"width": 5}, "denoiser", r"of shape \(6, .*none that has more"),
        ({**CNN, "norm": "none"}, {"depth": 4}, "denoiser", r"inner\.2\.weight .* is missing here"),
        (UNET, {"widths": [4]}, "denoiser", "is missing here"),
    ],
)
def test_what_cannot_grow_says_so(small, more, head, message):
    narrow = build(small, head)
    shake(narrow).eval()
    with pytest.raises(TrainingError, match=message):
        grow(build({**small, **more}, head), narrow, "runs/narrow")


def test_other_parts_do_not_grow_into_each_other():
    narrow = build({**CNN, "norm": "none"}, "denoiser")
    for other in (build(UNET, "denoiser"), build({**CNN, "norm": "none"}, "denoiser", 1)):
        with pytest.raises(TrainingError, match="is another model"):
            grow(other, narrow, "narrow")


def test_a_run_grows_from_a_checkpoint(tmp_path):
    small = (
        *("training.steps=2", "training.warmup=0", "training.batch_size=2", "training.calibration_batches=1"),
        *("data.test=null", "data.train.crop=16", "training.ema=null", "model.coarse.conditioner.norm=none"),
    )
    torch.use_deterministic_algorithms(False)
    first = train(read_recipe("smoke-denoiser", small), tmp_path / "first")
    wider = ("model.coarse.conditioner.width=24", f"training.init={tmp_path / 'first'}", "training.optimizer.lr=0")
    grown = train(read_recipe("smoke-denoiser", [*small, *wider]), tmp_path / "grown")
    y = torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(grown.coarse.denoise(y, None), first.coarse.denoise(y, None))
    weights = safetensors.torch.load_file(tmp_path / "grown" / "model.safetensors")
    assert weights["coarse.conditioner.last.weight"].shape[1] == 24
