"""What the README shows works, and is what the package says of itself."""

import re
from pathlib import Path

from mszoo.cli.guide import guides

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_it_stays_short():
    assert len(README.splitlines()) <= 130


def test_python_examples_run():
    (example,) = blocks("python")
    names: dict = {}
    exec(example, names)
    assert names["x"].shape == names["score"].shape == names["y"].shape
    assert names["bits"].shape == (1,)


def test_pictures_and_commands_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
    from typer.main import get_command

    from mszoo.cli import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    verbs = set(re.findall(r"^(?:.*-m )?mszoo ([\w-]+)", "\n".join(blocks("bash")), re.MULTILINE))
    assert verbs
    assert verbs <= known


def test_the_table_of_models_is_what_the_command_prints(mszoo_command):
    code, printed, _ = mszoo_command("models", "--markdown")
    assert code == 0
    packaged = [line for line in printed.splitlines() if not line.startswith("|") or "| cached |" not in line]
    assert "\n".join(packaged) in README, "put the output of `mszoo models --markdown` into the README"


def test_every_guide_is_named():
    for name, path in guides().items():
        title = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        assert f"| [{name}](mszoo/guides/{name}.md) | {title} |" in README
