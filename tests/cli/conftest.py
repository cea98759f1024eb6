"""Small models and images for the command line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mszoo


@pytest.fixture(scope="session")
def grey_model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("grey")
    save_model(folder, 1)
    return folder


def save_model(folder: Path, channels: int) -> None:
    torch.manual_seed(0)
    part = {
        "conditioner": {"name": "bias_free_cnn", "receptive_field": 5, "depth": 3, "width": 4},
        "head": "denoiser",
    }
    config = {"channels": channels, "basis": "haar", "levels": 2, "detail": part, "coarse": part}
    mszoo.MultiScaleModel.from_config(config).save_pretrained(folder)


def save_image(path: Path, *shape: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)).save(path)
    return path
