"""Running a command line, and small models and images for it."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mszoo
from mszoo.cli import main


@pytest.fixture
def mszoo_command(monkeypatch, capsys):
    """Run a command line; returns exit code, standard output and standard error."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mszoo", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return run


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
