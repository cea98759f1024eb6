"""The verbs that list and look up: for people and, as JSON, for programs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

import mszoo
from mszoo.cli.output import print_json
from mszoo.discovery import registry
from mszoo.hub.listing import find_models
from mszoo.options import described, options_model
from mszoo.registry import SUPPLIED
from tests.factories import gaussian

_HEADS = "name", "where", "size", "measured", "what", "it", "is", "kind", "provided", "by"


def told(mszoo_command, *words: str):
    code, printed, complaints = mszoo_command(*words)
    assert code == 0, complaints
    return json.loads(printed)


def test_families_are_one_line_unless_asked_for(mszoo_command):
    folded, unfolded = (mszoo_command("components", *words)[1] for words in ((), ("-v",)))
    assert "db1 ... db38" in folded
    assert "db20" not in folded
    assert "db20" in unfolded
    assert "..." not in unfolded
    assert "bias_free_cnn" in folded


def shown(*words: str, **environment: str) -> str:
    """What a process prints, with what it says of errors."""
    given = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    done = subprocess.run(
        [sys.executable, "-m", "mszoo", *words],
        env={**given, "PYTHONIOENCODING": "utf-8", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    return done.stdout


@pytest.mark.parametrize("verb", ["models", "components"])
def test_a_listing_fits_80_columns_and_cuts_nothing(verb):
    narrow, wide = (shown(verb, COLUMNS=columns) for columns in ("80", "400"))
    assert max(map(len, narrow.splitlines())) <= 80
    assert "…" not in narrow
    words = narrow.split()
    names = [*find_models()] if verb == "models" else [s for s in registry() if s.listed and s.kind != "basis"]
    assert names
    assert {one.name for one in names} <= set(words)
    titles = {"receptive", "field", "field,"}  # of a column, or in words
    assert {word.strip(",") for word in wide.split()} - titles - {*_HEADS} <= {word.strip(",") for word in words}


@pytest.mark.parametrize(
    "words", [("models",), ("components", "ascent"), ("evaluate", "nowhere"), ("denoise", "--help")]
)
def test_no_color_is_honoured(words):
    coloured = re.compile(r"\x1b\[(?:[0-9]+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9]+)*m")
    plain, forced = shown(*words, NO_COLOR="1", FORCE_COLOR="1"), shown(*words, FORCE_COLOR="1")
    assert "\x1b[" in forced, "a terminal is spoken to"
    assert not coloured.search(plain)
    assert bool(coloured.search(forced)) == (words[0] in ("evaluate", "denoise"))


@pytest.mark.parametrize("spec", [s for s in registry() if s.listed and s.kind != "basis"], ids=lambda s: s.name)
def test_every_component_says_what_its_options_are(spec, mszoo_command):
    (one,) = told(mszoo_command, "components", spec.name, "--json")
    fields = options_model(spec.load(), len(SUPPLIED[spec.kind]), tuple(spec.options)).model_fields
    assert [option["name"] for option in one["options"]] == list(fields)
    for option in one["options"]:
        assert option["meaning"], f"{spec.name}: the docstring of {one['class']} says nothing of {option['name']}"
        assert "Annotated" not in option["type"]
    printed = mszoo_command("components", spec.name)[1]
    assert all(name in printed for name in fields)


def test_meanings_are_whole_sentences_of_the_docstring():
    class Part:
        """A part.

        Args:
            one, two: two numbers; see :class:`mszoo.heads.Head`
                and more of it.
            three: ``x``.

        Raises:
            ValueError: never.
        """

    both = "two numbers; see Head and more of it."
    assert described(Part) == {"one": both, "two": both, "three": "x."}


def test_a_recipe_is_printed_as_it_is_and_read_again(mszoo_command, tmp_path):
    code, printed, _ = mszoo_command("recipes", "smoke-energy")
    assert code == 0
    assert yaml.safe_load(printed) == told(mszoo_command, "recipes", "smoke-energy", "--json")["smoke-energy"]
    code, _, complaints = mszoo_command("recipes", "smoke-enrgy")
    assert code == 1
    assert "did you mean 'smoke-energy'" in complaints


def test_programs_read_what_people_read(mszoo_command):
    models = told(mszoo_command, "models", "--json")
    assert {"photographs-grey", "cifar10-grey-energy"} <= {one["name"] for one in models}
    about = told(mszoo_command, "info", "cifar10-grey-energy", "--json")
    assert about["parameters"] == sum(p.numel() for p in mszoo.load("cifar10-grey-energy").parameters())
    assert about["nll"][0]["nll"] < 5.1
    assert mszoo.MultiScaleModel.from_config(about["config"]).levels == 0
    assert told(mszoo_command, "plugins", "--json") == []
    assert {"kind": "basis", "name": "db2"}.items() <= told(mszoo_command, "components", "basis", "db2", "--json")[
        0
    ].items()


def test_the_doctor_knows_what_is_here_and_what_is_missing(mszoo_command, monkeypatch):
    found = told(mszoo_command, "doctor", "--json")
    assert found["versions"]["torch"] == __import__("torch").__version__.split("+")[0]
    assert found["devices"][0].startswith("cpu")
    monkeypatch.setenv("CC", "")
    printed = mszoo_command("doctor")[1]
    assert "off: the environment variable CC is empty" in printed
    for missing in found["missing"]:
        assert missing["how"] in printed


def test_the_version_names_what_it_stands_on(mszoo_command):
    printed = mszoo_command("--version")[1]
    assert printed.splitlines()[0] == mszoo.__version__
    assert all(name in printed for name in ("torch", "timm", "accelerate", "huggingface_hub"))


@pytest.mark.parametrize(
    ("typed", "expected"), [("mszoo inf", "info"), ("mszoo info photographs-g", "photographs-grey")]
)
def test_a_shell_completes_verbs_and_models(typed, expected):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1), "_MSZOO_COMPLETE": "complete_bash"}
    script = "import sys; sys.argv = ['mszoo']; from mszoo.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **words}, capture_output=True, text=True, check=False
    )
    assert expected in done.stdout.split()


def test_measurements_are_json_for_programs(mszoo_command, tmp_path):
    gaussian().save_pretrained(tmp_path / "mine")
    Image.fromarray(np.full((16, 24), 128, np.uint8)).save(tmp_path / "grey.png")
    words = (
        "evaluate",
        tmp_path / "mine",
        "--data",
        tmp_path / "grey.png",
        "--sigma",
        "0.1",
        "--sigma",
        "0.2",
        "--json",
    )
    (found,) = told(mszoo_command, *words)
    assert found["model"] == "mine"
    assert [row["sigma"] for row in found["psnr"]["rows"]] == [0.1, 0.2]
    (row,) = told(mszoo_command, "log-prob", tmp_path / "grey.png", "--model", tmp_path / "mine", "--json")
    assert (row["height"], row["width"]) == (16, 24)
    assert row["nll"] == pytest.approx(found["likelihood"]["nll"])


def test_a_number_that_is_not_finite_is_null(capsys):
    print_json({"a": [float("nan"), float("-inf"), 1.5]})
    assert json.loads(capsys.readouterr().out) == {"a": [None, None, 1.5]}
