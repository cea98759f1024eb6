"""What the README shows works."""

import re
from pathlib import Path

import yaml

from mszoo.recipe import Source
from mszoo.training import check

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_python_examples_run():
    (example,) = blocks("python")
    names: dict = {}
    exec(example, names)
    assert names["x"].shape == names["score"].shape == names["y"].shape


def test_the_recipe_is_whole():
    (recipe,) = blocks("yaml")
    checked, _ = check(Source(recipe, "README.md"))
    assert checked.name == yaml.safe_load(recipe)["name"]


def test_pictures_and_commands_exist():
    root = Path(__file__).parents[1]
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (root / picture).is_file(), picture
    from typer.main import get_command

    from mszoo.cli import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    verbs = set(re.findall(r"^(?:.*-m )?mszoo ([\w-]+)", "\n".join(blocks("bash")), re.MULTILINE))
    assert verbs
    assert verbs <= known
