"""The built-in components pass the kit that plugins are held to."""

from __future__ import annotations

import pytest
from PIL import Image

import mszoo
import mszoo.testing

LOCAL = {"receptive_field": 9, "depth": 5, "width": 6}
ENERGY = {**LOCAL, "activation": "gelu", "noise_embedding": True}


@mszoo.testing.parametrize_with_checks(
    *(("basis", name) for name in ("haar", "db4", "db20", "sym7", "coif3")),
    ("conditioner", "bias_free_cnn", LOCAL),
    ("conditioner", "bias_free_cnn", {**LOCAL, "norm": "channel", "brightness_invariant": True}),
    ("conditioner", "bias_free_cnn", {**ENERGY, "norm": "none"}),
    ("conditioner", "bias_free_cnn", {**ENERGY, "norm": "channel", "activation": "softplus"}),
    ("conditioner", "bias_free_unet", {"widths": [4, 6]}),
    ("conditioner", "unet", {"width": 4, "halvings": 2}),
    ("conditioner", "unet", {"width": 4, "halvings": 1, "embedding": "log", "zero_output": True}),
    *(("head", name) for name in ("denoiser", "inner_product", "squared_norm", "anchored", "score")),
    *(("objective", name) for name in ("denoising", "score_matching", "dual_score_matching", "contrastive")),
    ("dataset", "photographs"),
    *(("sampler", name) for name in ("ascent", "heun", "langevin")),
    ("sampler", "heun", {"steps": 300, "churn": 10.0}),
    ("sampler", "langevin", {"adjust": True}),
    *(("importer", name) for name in ("paper_a", "paper_b")),
)
def test_contract(check) -> None:
    check()


def test_image_folder(tmp_path) -> None:
    for i in range(3):
        Image.new("RGB", (8 + i, 9), (i * 100, 0, 20)).save(tmp_path / f"{i}.png")
    mszoo.testing.check_dataset("image_folder", path=str(tmp_path))


def test_every_kind_has_checks_with_a_sentence_each() -> None:
    from mszoo.registry import KINDS

    assert set(mszoo.testing.CHECKS) == set(KINDS)
    for checks in mszoo.testing.CHECKS.values():
        assert all((check.__doc__ or "").strip() for check in checks)


def test_an_expected_failure_that_passes_is_told() -> None:
    with pytest.raises(mszoo.testing.ContractError, match="passes, and was expected to fail: pads them"):
        mszoo.testing.check_basis("haar", expected={"refuses_odd_sides": "pads them"})
    with pytest.raises(mszoo.testing.ContractError, match="no such check"):
        mszoo.testing.check_basis("haar", expected={"refuses_even_sides": "typo"})
