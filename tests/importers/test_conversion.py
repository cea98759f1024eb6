"""Whose files are these? ``mszoo convert`` finds the importer, or says what it knows and what it found."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import mszoo
from mszoo.discovery import registry
from mszoo.errors import CheckpointError, MszooError
from mszoo.importers import Importer, Source
from tests.pickles.test_reading import Evil, mutated, script


@pytest.fixture
def known() -> Iterator[Callable[[str, str], None]]:
    """Adds importers of this module, as a plugin would."""
    before = registry().copy()

    def add(name: str, cls: str) -> None:
        registry().register(mszoo.Spec("importer", name, f"{__name__}:{cls}"))

    yield add
    registry()._specs = before._specs


class Greedy(Importer):
    """Recognizes everything."""

    license = "research only"

    def recognizes(self, source: Source) -> bool:
        return True

    def convert(self, source: Source) -> mszoo.MultiScaleModel:
        source.read(source.paths[0])
        network = {"name": "bias_free_cnn", "depth": 3, "receptive_field": 5, "width": 2}
        return mszoo.MultiScaleModel.from_config(
            {"channels": 1, "coarse": {"conditioner": network, "head": "denoiser"}}
        )

    def write_example(self, folder: Path) -> list[Path]:
        return []


class Faulty(Greedy):
    """A plugin's with a fault."""

    def recognizes(self, source: Source) -> bool:
        raise IndexError("no files")


def example(name: str, folder: Path) -> list[Path]:
    return registry().create("importer", name).write_example(folder)


@pytest.mark.parametrize("name", ["paper_a", "paper_b"])
def test_the_importer_is_found(tmp_path: Path, mszoo_command: Callable[..., tuple], name: str) -> None:
    files = example(name, tmp_path)
    code, out, _ = mszoo_command("convert", *files, tmp_path / "ours")
    assert (code, f"a checkpoint of {name}" in out) == (0, True)
    model, other = mszoo.load(tmp_path / "ours"), mszoo.convert(*files)
    for one, two in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_paper_b_is_a_folder_too(tmp_path: Path) -> None:
    example("paper_b", tmp_path)
    assert mszoo.convert(tmp_path).channels == 1
    assert mszoo.convert(str(tmp_path / "model.pth.tar")).channels == 1


def test_an_option_of_the_importer(tmp_path: Path, mszoo_command: Callable[..., tuple]) -> None:
    files = example("paper_a", tmp_path)
    assert mszoo_command("convert", *files, tmp_path / "ours", "--as", "paper_a", "--option", "basis=db2")[0] == 0
    assert mszoo.load(tmp_path / "ours").basis.part.name == "db2"
    code, _, err = mszoo_command("convert", *files, tmp_path / "more", "--as", "paper_a", "--option", "base=db2")
    assert (code, "unknown key; did you mean 'basis'" in err) == (1, True)
    code, _, err = mszoo_command("convert", *files, tmp_path / "more", "--option", "basis")
    assert (code, "name=value" in err) == (1, True)


def test_an_unknown_layout_is_described(tmp_path: Path) -> None:
    path = tmp_path / "theirs.pth"
    torch.save(
        {"state_dict": {"module.stem.weight": torch.ones(2, 3), "n": torch.ones(())}, "args": Evil(os.getpid)}, path
    )
    with pytest.raises(CheckpointError) as caught:
        mszoo.convert(path)
    told = str(caught.value)
    assert "known are paper_a, paper_b" in told
    assert f"{path} holds 'stem.weight' (2, 3), 'n' ()" in told
    assert "refused, and not built: posix.getpid" in told
    torch.save({"epoch": 3}, path)
    with pytest.raises(CheckpointError, match=r"no state dict of tensors, but a dict with \['epoch'\]"):
        mszoo.convert(path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").touch()
    with pytest.raises(CheckpointError, match=r"is a folder of notes\.txt"):
        mszoo.convert(tmp_path / "folder")
    with pytest.raises(CheckpointError, match="no such file"):
        mszoo.convert(tmp_path / "none.pth")
    with pytest.raises(MszooError, match="unknown importer 'paper_c'; did you mean 'paper_"):
        mszoo.convert(path, importer="paper_c")


def test_a_plugins_importer(tmp_path: Path, known: Callable, mszoo_command: Callable[..., tuple]) -> None:
    path = tmp_path / "theirs.pth"
    torch.save({"x": torch.ones(2), "evil": Evil(os.getpid)}, path)
    known("mine/faulty", "Faulty")
    with pytest.raises(CheckpointError, match="mine/faulty failed: IndexError: no files"):
        mszoo.convert(path)
    known("mine/greedy", "Greedy")
    assert "mine/greedy" in mszoo_command("components", "importer")[1]
    code, out, _ = mszoo_command("convert", path, tmp_path / "out")
    assert code == 0
    assert "left out, and not run: posix.getpid" in out
    assert "license: research only" in out
    (file, _) = example("paper_a", tmp_path)
    with pytest.raises(MszooError, match="mine/greedy and paper_a recognize it; choose one with --as"):
        mszoo.convert(file)


def test_the_target_is_no_file_that_is_there(tmp_path: Path, mszoo_command: Callable[..., tuple]) -> None:
    one, two = example("paper_a", tmp_path)
    before = two.read_bytes()
    code, _, err = mszoo_command("convert", one, two)  # OUT forgotten
    assert (code, "is there already" in err) == (1, True)
    assert two.read_bytes() == before


@pytest.mark.parametrize("importer", [None, "paper_a", "paper_b"])
def test_a_program_is_never_run(tmp_path: Path, importer: str | None) -> None:
    example("paper_b", tmp_path)
    path = script(tmp_path / "model.pth.tar", tmp_path / "written")
    with pytest.raises(CheckpointError, match="TorchScript archive, a program"):
        mszoo.convert(path, importer=importer)
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("name", ["paper_a", "paper_b"])
def test_damaged_files_give_one_kind_of_error(tmp_path: Path, name: str) -> None:
    files = example(name, tmp_path)
    good, rng, refused = files[0].read_bytes(), random.Random(3), 0
    for _ in range(200):
        files[0].write_bytes(mutated(good, rng))
        try:
            mszoo.convert(*files, importer=name)
        except CheckpointError as error:
            refused += str(tmp_path) in str(error)
    assert refused > 100
