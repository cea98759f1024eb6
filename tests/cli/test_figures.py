"""Plots in the format and size that are asked for; none of one point."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mszoo.cli.figures import Figures, Format
from mszoo.errors import MszooError
from tests.factories import denoiser, energy

STARTS = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "dense"
    energy(head={"name": "anchored", "basis": "haar", "levels": 1}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (16, 18), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


VERBS = {
    "evaluate": (
        ["evaluate", "MODEL", "--data", "DATA", "--sigma", "0.1", "--sigma", "0.4", "--pixel", "1,1"],
        {"psnr-noise", "filters-dense"},
    ),
    "log-prob": (
        ["log-prob", "DATA", "--model", "MODEL", "--maps", "--show", "1"],
        {"log-prob", "most-and-least", *(f"maps/{name}" for name in ("001-*", "002-*"))},
    ),
    "compare": (["compare", "wavelet", "tv", "--data", "DATA", "--sigma", "0.1"], {"compare"}),
    "histogram": (["experiment", "histogram", "MODEL", "--data", "DATA"], {"histogram", "histogram-images"}),
    "denoisers": (["experiment", "denoisers", "MODEL", "--data", "DATA"], {"denoisers"}),
    "transformations": (["experiment", "transformations", "MODEL", "--data", "DATA"], {"transformations"}),
}


@pytest.mark.parametrize("format", STARTS)
@pytest.mark.parametrize("verb", VERBS)
def test_every_plot_has_the_format(
    mszoo_command, model: Path, data: Path, tmp_path: Path, verb: str, format: str
) -> None:
    words, stems = VERBS[verb]
    words = [word.replace("MODEL", str(model)).replace("DATA", str(data)) for word in words]
    code, printed, complaints = mszoo_command(*words, "--out", tmp_path, "--figure-format", format)
    assert code == 0, complaints
    found = [path for stem in stems for path in tmp_path.glob(f"{stem}.{format}")]
    assert len(found) == len(stems), printed
    assert all(path.read_bytes().startswith(STARTS[format]) for path in found)
    pictures = {path for path in tmp_path.rglob("*") if path.suffix[1:] in STARTS}
    assert pictures == set(found), "and there is no other"


def test_the_size_of_a_plot_is_in_inches(mszoo_command, model: Path, data: Path, tmp_path: Path) -> None:
    words = ("evaluate", model, "--data", data, "--sigma", "0.1", "--sigma", "0.4", "--out", tmp_path)
    assert mszoo_command(*words, "--figure-size", "3.5x2")[0] == 0
    assert Image.open(tmp_path / "psnr-noise.png").size == (1050, 600)
    code, _, complaints = mszoo_command(*words, "--format", "png")
    assert (code, "psnr.csv exists" in complaints) == (1, True)


@pytest.mark.parametrize("size", ["6", "6x", "0x4", "6x4x2", "-6x4", "1000x4", "51x4", "axb", "nanx1", "1e9x2"])
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(MszooError, match="--figure-size"):
        Figures.of(Format.png, size)


@pytest.mark.parametrize("size", ["6x4", "6.5X4.25", "1x50"])
def test_sizes(size: str) -> None:
    width, height = (float(side) for side in size.lower().split("x"))
    assert Figures.of(Format.pdf, size) == Figures("pdf", (width, height))


@pytest.mark.parametrize("sigmas", [["0.1"], ["0.1", "0.4"]])
@pytest.mark.parametrize("models", [["a"], ["a", "b"], ["a", "c"]])
def test_a_plot_of_one_point_is_none_and_it_is_said(
    mszoo_command, data: Path, tmp_path: Path, models: list[str], sigmas: list[str]
) -> None:
    for name, field in (("a", 5), ("b", 5), ("c", 9)):
        denoiser(receptive_field=field, depth=6).save_pretrained(tmp_path / name)
    out = tmp_path / "out"
    out.mkdir()
    (out / "psnr-noise.png").write_text("of an earlier time")
    given = [word for sigma in sigmas for word in ("--sigma", sigma)]
    chosen = [tmp_path / name for name in models]
    code, printed, complaints = mszoo_command("evaluate", *chosen, "--data", data, *given, "--out", out, "--overwrite")
    assert code == 0, complaints
    for stem, there in {"psnr-noise": len(sigmas) > 1, "psnr-receptive-field": "c" in models}.items():
        assert (out / f"{stem}.png").exists() == there
        assert (f"no {stem}.png" in printed) != there
    with (out / "psnr.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(models) * len(sigmas)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["log-prob", "DATA/0.png", "--model", "MODEL"], "log-prob.png"),
        (["experiment", "generalization", "MODEL", "MODEL", "--data", "DATA/0.png"], "generalization.png"),
    ],
)
def test_one_image_is_no_plot(
    mszoo_command, model: Path, data: Path, tmp_path: Path, words: list[str], name: str
) -> None:
    given = [word.replace("MODEL", str(model)).replace("DATA", str(data)) for word in words]
    code, printed, complaints = mszoo_command(*given, "--out", tmp_path)
    assert code == 0, complaints
    assert f"no {name}" in printed
    assert not (tmp_path / name).exists()


def test_models_are_named_in_plots_and_tables_never_their_paths(
    mszoo_command, model: Path, data: Path, tmp_path: Path
) -> None:
    words = ("experiment", "denoisers", model, "--data", data, "--out", tmp_path, "--format", "svg")
    assert mszoo_command(*words)[0] == 0
    with (tmp_path / "denoisers.csv").open() as file:
        assert {row["model"] for row in csv.DictReader(file)} == {"dense"}
