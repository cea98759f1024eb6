"""The training state is read as tensors only, and a state that is not whole is told of."""

import contextlib
import itertools
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from mszoo.errors import TrainingError
from mszoo.recipe import read_recipe
from mszoo.training import train
from tests.factories import small_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    torch.use_deterministic_algorithms(False)
    train(read_recipe("smoke-denoiser", small_run()), tmp_path / "run")
    return tmp_path / "run"


def resume(run: Path) -> None:
    train(read_recipe("smoke-denoiser", small_run(steps=3)), run, resume=True)


class Payload:
    """Unpickling it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.mark),)


def test_nothing_in_a_state_is_run(run, tmp_path):
    files = sorted((run / "state" / "step-00000002").iterdir())
    assert any(f.name == "average.safetensors" for f in files)
    pickled = [f for f in files if f.suffix != ".safetensors"]
    assert pickled
    writers = (lambda f, p: torch.save({"payload": p}, f), lambda f, p: f.write_bytes(pickle.dumps(p, 2)))
    for i, (file, write) in enumerate(itertools.product(pickled, writers)):
        spoilt, mark = tmp_path / str(i), tmp_path / "mark"
        shutil.copytree(run, spoilt)
        write(spoilt / file.relative_to(run), Payload(mark))
        with contextlib.suppress(TrainingError):  # refused, or (random states, which a run does not use) passed over
            resume(spoilt)
        assert not mark.exists(), f"{file.name} ran code"


def test_a_state_without_its_average(run):
    (run / "state" / "step-00000002" / "average.safetensors").unlink()
    with pytest.raises(TrainingError, match=r"cannot resume from .*average\.safetensors"):
        resume(run)


def test_a_flipped_byte_of_a_state_is_noticed(run):
    state = run / "state" / "step-00000002"
    for file in sorted(state.iterdir()):
        data = file.read_bytes()
        file.write_bytes(data[:-5] + bytes([data[-5] ^ 8]) + data[-4:])
        # a wrong checksum says that the file it is of is damaged
        name = "" if file.suffix == ".json" else file.name
        with pytest.raises(TrainingError, match=rf"cannot resume from .*{name}.* is damaged; remove that folder"):
            resume(run)
        file.write_bytes(data)
    (state / "sha256.json").unlink()  # as earlier versions wrote it
    resume(run)
