"""Small models and images for the command line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.factories import denoiser


@pytest.fixture(scope="session")
def grey_model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("grey")
    denoiser(levels=2).save_pretrained(folder)
    return folder


def save_image(path: Path, *shape: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)).save(path)
    return path
