"""The authors' own checkpoints give the authors' own numbers (their code, CPU, float32)."""

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from mszoo.evaluation import psnr
from mszoo.hub.paper_a import convert_flat, convert_multi_scale

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
        model = convert_multi_scale(folder / "low_40x40.pt", details)
    else:
        model = convert_flat(folder / f"flat_rf{field}.pt")
    column = 1 + [5, 9, 13].index(field) + 3 * multi_scale
    clean, noise = crop
    for sigma, row in TABLE.items():
        y = clean + sigma * noise
        assert psnr(y, clean).item() == pytest.approx(row[0], abs=1e-3)
        with torch.inference_mode():
            assert psnr(model.denoise(y), clean).item() == pytest.approx(row[column], abs=1e-3)
