"""The command line as people use and misuse it: one clear message, the right exit code, no traceback."""

import csv
import errno
import json
import os
import subprocess
import sys

import pytest

import mszoo
from mszoo.cli.evaluate import keep
from mszoo.data.images import read_image
from mszoo.evaluation import evaluate
from mszoo.experiments import filters
from tests.cli.conftest import save_image
from tests.factories import denoiser


def test_listings(mszoo_command):
    for words, expected in [
        (["components"], "bias_free_cnn"),
        (["components", "basis", "db1?"], "db19"),
        (["recipes"], "smoke-denoiser"),
        (["models"], "name"),
        (["--version"], mszoo.__version__),
    ]:
        code, out, _ = mszoo_command(*words)
        assert code == 0
        assert expected in out
    assert "db2 " not in mszoo_command("components", "basis", "db1?")[1]


def test_listing_components_imports_no_torch():
    script = (
        "import sys; sys.argv = ['mszoo', 'components']\n"
        "from mszoo.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], "train"),
        (["components", "basys"], "'basis'"),
        (["train", "smoke-denoizer"], "'smoke-denoiser'"),
        (["train", "smoke-denoiser", "training.stepz=3"], "'steps'"),
        (["train", "smoke-denoiser", "steps"], "key.path=value"),
        (
            ["train", "smoke-denoiser", "data.train.name=image_folder", "data.train.path=nowhere"],
            "crop|split|nowhere",
        ),
        (["info", "photographs-haar-rf14"], "no packaged model and no folder 'photographs-haar-rf14'"),
        (["denoise", "only-one.png"], "IN... OUT"),
        (["evaluate", "nothing-like-it"], "no packaged model and no folder"),
        (["denoise", "--sgima", "0.1", "a", "b"], "--sigma"),
    ],
)
def test_mistyped_words(mszoo_command, tmp_path, monkeypatch, words, expected):
    monkeypatch.chdir(tmp_path)
    code, out, err = mszoo_command(*words)
    assert code in (1, 2)
    assert any(e in out + err for e in expected.split("|"))
    assert not list(tmp_path.iterdir()), "a refused command leaves nothing behind"


@pytest.mark.parametrize("number", ["abc", "1/0", "-1", "nan", "inf", "25"])
def test_bad_noise_levels(mszoo_command, grey_model, tmp_path, number):
    image = save_image(tmp_path / "a.png", 8, 8)
    code, _, err = mszoo_command("denoise", image, tmp_path / "b.png", "--model", grey_model, f"--sigma={number}")
    assert code == 1
    assert "--sigma" in err


def test_dry_run_prints_the_recipe_and_sizes(mszoo_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = mszoo_command("train", "smoke-denoiser", "training.steps=1e1", "training.warmup=0", "--dry-run")
    assert code == 0
    assert "steps: 10" in out
    assert "parameters" in out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(1, 1), (7, 13), (64, 48), (33, 20, 3), (16, 16, 4)])
def test_denoise_keeps_size_and_channels(mszoo_command, grey_model, tmp_path, shape):
    image, target = save_image(tmp_path / "in.png", *shape), tmp_path / "deep" / "out.png"
    code, out, err = mszoo_command("denoise", image, target, "--model", grey_model, "--sigma", "25/255")
    assert code == 0, err
    assert "out.png" in out
    assert read_image(target, "out").shape == read_image(image, "in").shape


def test_denoise_folders_goes_on_after_a_bad_file(mszoo_command, grey_model, tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    save_image(source / "a.png", 12, 12)
    save_image(source / "sub" / "b.jpg", 12, 10, 3)
    (source / "text.png").write_text("not a picture")
    code, out, err = mszoo_command("denoise", source, target, "--model", grey_model, "--add-noise", "0.1")
    assert code == 1
    assert "text.png cannot be read as an image" in err.replace("\n", " ")
    assert "dB" in out
    assert sorted(p.relative_to(target).as_posix() for p in target.rglob("*.*")) == ["a.png", "sub/b.jpg"]


def test_denoise_refusals(mszoo_command, grey_model, tmp_path):
    a, b = save_image(tmp_path / "x" / "a.png", 8, 8), save_image(tmp_path / "y" / "a.png", 8, 8)
    (tmp_path / "empty").mkdir()
    for words, expected in [
        ([a, b, tmp_path / "out"], "two images would be written to"),
        ([a, b, tmp_path / "out.png"], "several images need a folder"),
        ([tmp_path / "none.png", tmp_path / "out.png"], "no such file"),
        ([tmp_path / "empty", tmp_path / "out"], "no image files in folder"),
    ]:
        code, _, err = mszoo_command("denoise", *words, "--model", grey_model)
        assert code == 1
        assert expected in err.replace("\n", " ")
    code, _, err = mszoo_command("denoise", a, tmp_path / "o.png", "--model", tmp_path / "empty")
    assert (code, "has no config.json" in err) == (1, True)


def test_evaluate_keeps_results_with_the_checkpoint(mszoo_command, tmp_path):
    model, images = tmp_path / "model", tmp_path / "images"
    denoiser(levels=2, channels=3).save_pretrained(model)
    save_image(images / "a.png", 20, 24)
    save_image(images / "b.png", 17, 16, 3)
    for seed in (0, 0, 1):
        code, out, _ = mszoo_command(
            "evaluate", model, "--data", images, "--sigma", "0.1", "--sigma", "50/255", "--seed", seed
        )
        assert code == 0
        assert "mean of per-image values" in out
    assert mszoo_command("evaluate", model, "--data", images, "--sigma", "0.1", "--views", "4")[0] == 0
    result, of_views = json.loads((model / "evaluation.json").read_text())["psnr"]
    assert (result["data"], result["seed"], result["views"], len(result["rows"])) == ("images", 1, 1, 2)
    assert result["rows"][0]["noisy"] == pytest.approx(20, abs=0.3)
    assert (of_views["data"], of_views["views"], len(of_views["rows"])) == ("images", 4, 1)
    code, out, _ = mszoo_command("info", model)
    assert code == 0
    assert "receptive field" in out
    assert "images: PSNR" in out
    assert "4 views of each" in out
    (model / "evaluation.json").write_text("{}")
    assert mszoo_command("info", model)[0] == 1


def test_interrupted_training_says_how_to_go_on(mszoo_command, tmp_path, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mszoo.training.train", interrupted)
    code, _, err = mszoo_command("train", "smoke-energy", "training.steps=7", "--out", tmp_path / "run")
    assert code == 130
    assert "--resume" in err
    assert "training.steps=7" in err, "the overrides are part of the run"


def test_originals_are_never_overwritten(mszoo_command, grey_model, tmp_path):
    folder = tmp_path / "photos"
    image = save_image(folder / "a.png", 8, 8)
    before = image.read_bytes()
    for words in ((folder, folder), (image, image), (image, folder)):
        code, _, err = mszoo_command("denoise", *words, "--model", grey_model)
        assert (code, "overwritten by its own result" in err.replace("\n", " ")) == (1, True)
    code, _, err = mszoo_command("denoise", image, tmp_path / "b.pngg", "--model", grey_model)
    assert (code, "no image format .pngg" in err) == (1, True)
    assert image.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [folder]


def test_places_that_cannot_be_written(mszoo_command, grey_model, tmp_path):
    file = save_image(tmp_path / "a.png", 8, 8)
    for words in (
        ("denoise", file, file / "b.png", "--model", grey_model),
        ("train", "smoke-denoiser", "--out", file),
        ("train", "smoke-denoiser", "--out", file / "run"),
        ("sample", file, "--model", grey_model, "--size", 16),
        ("evaluate", grey_model, "--data", file, "--out", file),
        ("demo", "--model", grey_model, "--out", file / "demo.png"),
        ("demo", "--model", grey_model, "--out", tmp_path / "demo.abc"),
    ):
        code, _, err = mszoo_command(*words)
        assert code == 1, words
        assert "a.png" in err or "demo.abc" in err


@pytest.mark.parametrize("device", ["gpu", "cuda:77", "mps"])
def test_devices_that_are_not_there(mszoo_command, grey_model, tmp_path, device):
    image = save_image(tmp_path / "a.png", 8, 8)
    code, _, err = mszoo_command("denoise", image, tmp_path / "b.png", "--model", grey_model, "--device", device)
    assert (code, f"device '{device}' cannot be used here" in err.replace("\n", " ")) == (1, True)


@pytest.mark.parametrize(
    "words", [("--seed", "-1"), ("--seed", "99999999999999999999"), ("--tile", "0"), ("--tile", "-5")]
)
def test_numbers_out_of_range(mszoo_command, grey_model, tmp_path, words):
    image = save_image(tmp_path / "a.png", 8, 8)
    code, _, err = mszoo_command("denoise", image, tmp_path / "b.png", "--model", grey_model, *words)
    assert (code, words[0] in err) == (2, True)


def test_what_a_stranger_wrote_does_not_steer_the_terminal(mszoo_command, tmp_path):
    denoiser(levels=2, channels=3).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["model"]["coarse"]["head"] = {"name": "denoiser", "\x1b[2Jwiped": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    code, _, err = mszoo_command("info", tmp_path)
    assert code == 1
    assert "wiped" in err
    assert "\x1b" not in err


def test_what_was_measured_before_a_fault_is_kept(mszoo_command, tmp_path, monkeypatch):
    image, out = save_image(tmp_path / "x.png", 16, 16), tmp_path / "out"
    models = [tmp_path / name for name in "abc"]
    for model in models:
        denoiser().save_pretrained(model)
    draw = filters.draw

    def full(*given):  # a disk that is full when the second model's picture is drawn
        if given[4].name == "filters-b.png":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(given[4]))
        draw(*given)

    monkeypatch.setattr(filters, "draw", full)
    words = ("--data", image, "--sigma", "0.1", "--out", out, "--pixel", "8,8")
    code, _, err = mszoo_command("evaluate", *models, *words)
    assert code == 1
    assert "filters-b.png" in err
    assert [(model / "evaluation.json").exists() for model in models] == [True, True, False]
    with (out / "psnr.csv").open() as file:
        assert [row["model"] for row in csv.DictReader(file)] == ["a", "b"]
    assert {p.name for p in out.iterdir() if p.is_file()} == {
        *("psnr.csv", "filters-a.png")  # of one noise level and one receptive field there is no plot
    }


@pytest.mark.parametrize("fault", ["results", "pixel", "model"])
def test_what_will_not_fit_is_found_before_the_first_is_measured(mszoo_command, tmp_path, fault):
    image, out = save_image(tmp_path / "x.png", 15, 16), tmp_path / "out"
    denoiser().save_pretrained(tmp_path / "a")
    denoiser(levels=2).save_pretrained(tmp_path / "b")  # cuts the image to 12x16 for its filters
    denoiser(channels=2 if fault == "model" else 3).save_pretrained(tmp_path / "c")
    if fault == "results":
        (tmp_path / "c" / "evaluation.json").write_text("{}")
    words = ("--pixel", "14,3") if fault == "pixel" else ()
    code, said, _ = mszoo_command(
        *("evaluate", *(tmp_path / name for name in "abc"), "--data", image, "--sigma", "0.1", "--out", out), *words
    )
    assert (code, said) == (1, "")
    assert not out.exists()
    assert not (tmp_path / "a" / "evaluation.json").exists()


def test_results_that_cannot_be_kept_are_told_all_the_same(tmp_path, capsys):
    found = evaluate(denoiser(), mszoo.create("dataset", "photographs", 1, split="test"), sigmas=[0.1])
    keep(found.results, tmp_path / "gone")
    assert "are not kept in" in capsys.readouterr().err


RESULTS = {
    "card": (["card", "MODEL", "--out", "OUT/config.json"], "config.json"),
    "demo": (["demo", "--model", "MODEL", "--out", "OUT/demo.png"], "demo.png"),
    "evaluate": (["evaluate", "MODEL", "--data", "OUT", "--out", "OUT"], "psnr-noise.png"),
    "filters": (
        ["evaluate", "MODEL", "--data", "OUT", "--out", "OUT", "--pixel", "1,1"],
        "filters-model.png",
    ),
    "report": (["report", "MODEL", "--out", "OUT/report.html"], "report.html"),
    "compare": (["compare", "MODEL", "tv", "--out", "OUT"], "compare.md"),
    "maps": (["log-prob", "OUT", "--model", "MODEL", "--out", "OUT", "--maps"], "maps"),
    "log-prob": (["log-prob", "OUT", "--model", "MODEL", "--out", "OUT"], "log-prob.csv"),
    **{
        name: (["experiment", name, *given, "--out", "OUT"], f"{name}.png")
        for name, given in {
            "scale-mixture": [],
            "known-densities": [],
            "generalization": ["MODEL", "MODEL", "--data", "OUT"],
            "transformations": ["MODEL", "--data", "OUT"],
            "dimensionality": ["MODEL", "--data", "OUT"],
            "denoisers": ["MODEL", "MODEL", "--data", "OUT"],
            "histogram": ["MODEL", "--data", "OUT"],
        }.items()
    },
}


@pytest.mark.parametrize("verb", RESULTS)
def test_no_table_plot_or_card_replaces_a_file_unasked(mszoo_command, tmp_path, verb):
    words, name = RESULTS[verb]
    model = tmp_path / "model"
    denoiser().save_pretrained(model)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    words = [word.replace("MODEL", str(model)).replace("OUT", str(tmp_path / "out")) for word in words]
    code, _, err = mszoo_command(*words)
    assert code == 1
    assert "--overwrite" in err
    assert name in err
    assert (tmp_path / "out" / name).read_text() == "mine"
    assert [p.name for p in (tmp_path / "out").iterdir()] == [name]


def test_a_card_replaces_a_file_when_told(mszoo_command, tmp_path):
    (tmp_path / "card.md").write_text("mine")
    assert mszoo_command("card", "photographs-haar-rf13", "--out", tmp_path / "card.md", "--overwrite")[0] == 0
    assert (tmp_path / "card.md").read_text().startswith("---")
