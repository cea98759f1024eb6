"""The authors' own checkpoints give the authors' own numbers (their code, CPU, float32)."""

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

import mszoo
from mszoo.conditioners.bias_free_cnn import wide_layers
from mszoo.errors import CheckpointError
from mszoo.evaluation import psnr

# sigma -> noisy, flat RF 5, 9, 13, multi-scale RF 5, 9, 13: PSNR in dB
TABLE = {
    0.05: (26.0577, 30.2864, 30.4724, 30.9590, 31.3607, 32.0701, 31.9598),
    0.1: (20.0371, 27.5212, 27.9879, 28.4103, 28.6384, 28.8937, 28.8095),
    0.2: (14.0165, 24.4407, 25.3408, 25.7007, 26.0521, 26.1747, 26.1391),
    0.4: (7.9959, 20.4431, 22.2458, 22.6862, 23.6458, 23.6455, 23.6647),
    0.8: (1.9753, 16.1172, 18.7500, 19.4054, 21.4641, 21.4932, 21.4916),
}


@pytest.fixture(scope="module")
def crop() -> tuple[torch.Tensor, torch.Tensor]:
    grey = Image.fromarray(skimage.data.astronaut()).convert("L").crop((140, 0, 300, 160))
    noise = np.random.default_rng(0).standard_normal((1, 1, 160, 160)).astype(np.float32)
    return torch.from_numpy(np.array(grey, dtype=np.float32) / 255)[None, None], torch.from_numpy(noise)


@pytest.mark.parametrize("field", [5, 9, 13])
@pytest.mark.parametrize("multi_scale", [False, True])
def test_cross_check(shared, crop, field, multi_scale):
    folder = shared / "reference"
    if multi_scale:
        details = [folder / f"rf{field}_scale{j}.pt" for j in (0, 1)]
        model = mszoo.convert(*details, folder / "low_40x40.pt")
    else:
        model = mszoo.convert(folder / f"flat_rf{field}.pt")
    column = 1 + [5, 9, 13].index(field) + 3 * multi_scale
    clean, noise = crop
    for sigma, row in TABLE.items():
        y = clean + sigma * noise
        assert psnr(y, clean).item() == pytest.approx(row[0], abs=1e-3)
        with torch.inference_mode():
            assert psnr(model.denoise(y), clean).item() == pytest.approx(row[column], abs=1e-3)


@pytest.mark.parametrize(
    ("low", "details", "message"),
    [
        ("rf9_scale0.pt", ["rf9_scale0.pt", "rf9_scale1.pt"], r"one .* low-pass model is needed.*takes 4 .* gives 3"),
        ("low_40x40.pt", ["low_40x40.pt"], r"one .* low-pass model is needed.*takes 1 .* gives 1"),
        ("low_40x40.pt", ["none.pt"], "no such file"),
        ("low_40x40.pt", ["README.md"], r"README.md is no PyTorch state dict"),
    ],
)
def test_files_of_another_shape(shared, low, details, message):
    folder = shared / "reference"
    with pytest.raises(CheckpointError, match=message):
        mszoo.convert(*(folder / d for d in details), folder / low)


def authors_state(field: int, depth: int = 21, inputs: int = 1, outputs: int = 1, width: int = 8) -> dict:
    """Random weights under the authors' names, as DataParallel saves them."""
    wide = wide_layers(field, depth) | {0, depth - 1}
    state = {}
    for i in range(depth):
        size = 3 if i in wide else 1
        shape = (outputs if i == depth - 1 else width, inputs if i == 0 else width, size, size)
        state[f"module.conv_layers.{i}.weight"] = torch.randn(shape) / (shape[1] * size**2) ** 0.5
    for i in range(depth - 2):
        state[f"module.BN_layers.{i}.running_sd"] = torch.rand(1, width, 1, 1) + 0.5
        state[f"module.BN_layers.{i}.gammas"] = torch.randn(1, width, 1, 1)
    return state


@pytest.mark.parametrize("prefix", ["module.", ""])
@pytest.mark.parametrize("field", [5, 7, 9, 13, 23, 43])
def test_shapes_say_what_the_network_is(tmp_path, prefix, field):
    def save(name: str, state: dict):
        torch.save({k.replace("module.", prefix): v for k, v in state.items()}, tmp_path / name)
        return tmp_path / name

    details = [save(f"{j}.pt", authors_state(field, inputs=12, outputs=9)) for j in range(3)]
    model = mszoo.convert(save("low.pt", authors_state(41, 20, 3, 3)), *details)  # in any place
    assert (model.channels, model.levels) == (3, 3)
    assert [h.conditioner.receptive_field for h in model.scales] == [field] * 3 + [41]
    model.save_pretrained(tmp_path / "out")
    y = torch.rand(1, 3, 16, 16)
    assert torch.equal(mszoo.load(tmp_path / "out").denoise(y), model.denoise(y))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("module.BN_layers.3.gammas"), r"BN_layers\.3\.gammas is missing"),
        (lambda s: s.update({"module.conv_layers.5.weight": torch.zeros(8, 7, 1, 1)}), r"conv_layers\.5\.weight is of"),
        (
            lambda s: s.update({"module.conv_layers.5.weight": torch.zeros(8, 8, 3, 3)}),
            r"\.weight is of",
        ),
        (lambda s: s.update({"module.fc.weight": torch.zeros(2)}), r"'fc\.weight' is not one of paper A's"),
        (lambda s: s.pop("module.conv_layers.0.weight"), "not numbered"),
    ],
)
def test_damaged_state_dicts(tmp_path, change, message):
    state = authors_state(13)
    change(state)
    torch.save(state, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match=message):
        mszoo.convert(tmp_path / "bad.pt", importer="paper_a")
