"""Plugins as a user has them: installed distributions, found by a fresh interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

BASIS = """
from mszoo.bases import OrthogonalBasis

class Mine(OrthogonalBasis):
    def __init__(self, *, order: int = 2) -> None:
        super().__init__(f"db{order}")
"""

HOOK = """
import mszoo

@mszoo.hookimpl
def mszoo_components():
"""

REPORT = """
import json, sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import mszoo
    from mszoo.discovery import registry
    names = mszoo.list_components()
    owners = {f"{s.kind}:{s.name}": [s.distribution, s.version] for s in registry()}
heavy = sorted({"torch", "numpy", "pywt"} & set(sys.modules))
print(json.dumps({"names": names, "owners": owners, "heavy": heavy, "warnings": [str(w.message) for w in caught]}))
"""


class Plugins:
    """A folder of installed distributions, and what an interpreter that sees it finds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, hook: str, *, entry: str | None = None, metadata: bool = True) -> None:
        """Install distribution ``name`` with the body of a hook (or a whole module, if it has one)."""
        module = name.replace("-", "_")
        body = hook if "import" in hook else HOOK + textwrap.indent(hook, "    ")
        (self.folder / f"{module}.py").write_text(body)
        (self.folder / "my_basis.py").write_text(BASIS)
        info = self.folder / f"{module}-1.2.dist-info"
        info.mkdir()
        if metadata:
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[mszoo]\n{name} = {entry or module}\n")

    def run(self, code: str, allowed: str | None = None) -> str:
        env = {k: v for k, v in os.environ.items() if k != "MSZOO_PLUGINS"}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(self.folder), env.get("PYTHONPATH")]))
        if allowed is not None:
            env["MSZOO_PLUGINS"] = allowed
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def report(self, allowed: str | None = None) -> dict[str, Any]:
        return json.loads(self.run(REPORT, allowed))


@pytest.fixture
def plugins(tmp_path: Path) -> Plugins:
    return Plugins(tmp_path)


def test_listing_imports_nothing_heavy(plugins: Plugins) -> None:
    plugins.install("good-plugin", 'yield mszoo.Spec("basis", "mine", "my_basis:Mine")')
    found = plugins.report()
    assert "haar" in found["names"]
    assert found["heavy"] == []
    assert found["warnings"] == []


def test_a_plugin_is_found_and_its_parts_are_built_like_any_other(plugins: Plugins) -> None:
    plugins.install("good-plugin", 'return [mszoo.Spec("basis", "good/mine", "my_basis:Mine", "one line")]')
    found = plugins.report()
    assert "good/mine" in found["names"]
    assert found["owners"]["basis:good/mine"] == ["good-plugin", "1.2"]
    assert found["owners"]["basis:haar"][0] == "mszoo"
    code = """
import mszoo
basis = mszoo.create("basis", "good/mine", order=3)
print(basis.taps, basis.part.distribution, basis.part.config())
try:
    mszoo.create("basis", "good/mine", ordr=3)
except mszoo.MszooError as error:
    print(error)
"""
    built, refused = plugins.run(code).splitlines()
    assert built == "6 good-plugin {'name': 'good/mine', 'order': 3}"
    assert refused == "basis 'good/mine': ordr: unknown key; did you mean 'order'?"


def test_a_plugin_may_have_functions_alone(plugins: Plugins) -> None:
    plugins.install("functions", "import math\ndef answer(): return 42")
    assert plugins.report()["warnings"] == []
    code = "from mszoo.discovery import plugins; print(*((p.name, p.fault, p.hooks, p.components) for p in plugins()))"
    assert "('functions', None, (), ())" in plugins.run(code)


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [("", []), ("one", ["one"]), (" two , one ,", ["one", "two"]), ("three", []), (None, ["one", "two"])],
)
def test_the_environment_restricts_plugins(plugins: Plugins, allowed: str | None, expected: list[str]) -> None:
    for name in ("one", "two"):
        plugins.install(name, f'yield mszoo.Spec("basis", "{name}", "my_basis:Mine")')
    found = plugins.report(allowed)
    assert [name for name in ("one", "two") if name in found["names"]] == expected
    assert found["warnings"] == []


BROKEN = {
    "import-error": "import no_such_module",
    "syntax-error": "import (",
    "exit": "import sys; sys.exit(3)",
    "exit-in-hook": HOOK + "    raise SystemExit(3)",
    "error-in-hook": HOOK + '    yield mszoo.Spec("basis", "half", "my_basis:Mine")\n    1 / 0',
    "no-spec": HOOK + '    return ["mine"]',
    "no-list": HOOK + "    return 3",
    "unknown-kind": HOOK + '    yield mszoo.Spec("bases", "mine", "my_basis:Mine")',
    "no-target": HOOK + '    yield mszoo.Spec("basis", "mine", "my_basis.Mine")',
    "unknown-hook": "import mszoo\n@mszoo.hookimpl\ndef mszoo_component(): return []",
    "unknown-argument": "import mszoo\n@mszoo.hookimpl\ndef mszoo_components(registry): return []",
    "no-hook": "import mszoo\ndef mszoo_components(): return []",
}
WRONG_ENTRY_POINTS = {"no-module": "no_such_module", "no-object": "no_object:missing", "no-path": "not an entry point"}


@pytest.fixture(scope="module")
def among_broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is found where every broken plugin is installed, and one good one."""
    plugins = Plugins(tmp_path_factory.mktemp("plugins"))
    for name, module in BROKEN.items():
        plugins.install(name, module)
    for name, entry in WRONG_ENTRY_POINTS.items():
        plugins.install(name, "return []", entry=entry)
    plugins.install("z-good", 'yield mszoo.Spec("basis", "good", "my_basis:Mine")')
    return plugins.report()


@pytest.mark.parametrize("name", [*BROKEN, *WRONG_ENTRY_POINTS])
def test_a_broken_plugin_is_disabled_with_one_warning(among_broken: dict[str, Any], name: str) -> None:
    start = f"plugin {name!r} of distribution {name!r} 1.2 is disabled: "
    assert len([w for w in among_broken["warnings"] if w.startswith(start)]) == 1


def test_broken_plugins_leave_nothing_behind_and_stop_nobody(among_broken: dict[str, Any]) -> None:
    assert {"haar", "good"} <= set(among_broken["names"])
    assert {distribution for distribution, _ in among_broken["owners"].values()} == {"mszoo", "z-good"}


def test_a_half_installed_distribution_does_not_stop_the_others(plugins: Plugins) -> None:
    plugins.install("a-half", 'yield mszoo.Spec("basis", "half", "my_basis:Mine")', metadata=False)
    plugins.install("good-plugin", 'yield mszoo.Spec("basis", "good", "my_basis:Mine")')
    assert {"haar", "good"} <= set(plugins.report()["names"])


def test_a_clash_disables_the_later_plugin_as_a_whole(plugins: Plugins) -> None:
    plugins.install("first", 'yield mszoo.Spec("basis", "mine", "my_basis:Mine")')
    second = [f'yield mszoo.Spec("basis", "{name}", "my_basis:Mine")' for name in ("other", "mine")]
    plugins.install("second", "\n".join(second))
    plugins.install("third", 'yield mszoo.Spec("basis", "haar", "my_basis:Mine")')
    found = plugins.report()
    assert found["owners"]["basis:mine"][0] == "first"
    assert found["owners"]["basis:haar"][0] == "mszoo"
    assert "other" not in found["names"]
    second_warning, third_warning = found["warnings"]
    assert all(text in second_warning for text in ("basis 'mine'", "distribution 'first'", "distribution 'second'"))
    assert all(text in third_warning for text in ("basis 'haar'", "distribution 'mszoo'", "distribution 'third'"))
