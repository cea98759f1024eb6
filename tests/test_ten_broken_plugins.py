"""Ten plugins, each broken in its own way, installed at once: everything else works, and each cause is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

HOOK = """
import mszoo
{top}
@mszoo.hookimpl
def mszoo_components({arguments}):
    yield mszoo.Spec("basis", "{basis}", "{module}_parts:Mine")
"""
PARTS = """
{top}
from mszoo.bases import OrthogonalBasis

class Mine(OrthogonalBasis):
    def __init__(self):
        super().__init__("haar")
{body}
"""
# What stands at the top of the hook's module and of the component's, in the hook's arguments and in the class.
TEN = {
    "import-error": {"hook": "import no_such_module"},
    "leaves": {"hook": "raise SystemExit(3)"},
    "signature": {"arguments": "colour"},
    "clash": {"basis": "haar"},
    "dependency": {"parts": "import a_package_nobody_has"},
    "metadata": {},
    "contract": {"body": "    def synthesize(self, low, detail):\n        return 2 * super().synthesize(low, detail)"},
    "prints": {"hook": 'print("hello from a plugin")'},
    "slow": {"parts": "import time; time.sleep(5)"},
    "dtype": {"parts": "import torch; torch.set_default_dtype(torch.float64)"},
}
EXPECTED = {
    "import-error": "No module named 'no_such_module'",
    "leaves": "SystemExit: 3",
    "signature": "colour",
    "clash": "basis 'haar' is registered twice",
    "dependency": "No module named 'a_package_nobody_has'",
    "metadata": "its entry point is malformed: 'not an entry point'",
    "contract": "synthesize(*analyze(x)) is not x",
    "prints": "printed 'hello from a plugin' on import",
    "slow": "took 5.",
    "dtype": "changed torch's default dtype from float32 to float64; put back",
}
WORKS = """
import warnings, json, time
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import mszoo
    began = time.perf_counter()
    names = mszoo.list_components("basis")
    seconds = time.perf_counter() - began
    messages = [str(w.message) for w in caught]
    for name in ("slow/mine", "dtype/mine", "prints/mine"):
        mszoo.create("basis", name)
    import torch
    model = mszoo.load("photographs-haar-rf13")
    shape = list(model.denoise(torch.rand(1, 1, 16, 16)).shape)
print(json.dumps({"names": names, "messages": messages, "dtype": str(torch.get_default_dtype()), "shape": shape}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that sees the ten."""
    folder = tmp_path_factory.mktemp("installed")
    for name, broken in TEN.items():
        module = name.replace("-", "_") + "_plugin"
        basis = broken.get("basis", f"{name}/mine")
        hook = HOOK.format(
            top=broken.get("hook", ""), arguments=broken.get("arguments", ""), basis=basis, module=module
        )
        (folder / f"{module}.py").write_text(hook)
        (folder / f"{module}_parts.py").write_text(
            PARTS.format(top=broken.get("parts", ""), body=broken.get("body", ""))
        )
        info = folder / f"{module}-0.3.dist-info"
        info.mkdir()
        named = "" if name == "metadata" else f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: 0.3\n"
        (info / "METADATA").write_text(named)
        entry = f"{name} = not an entry point" if name == "metadata" else f"{name} = {module}"
        (info / "entry_points.txt").write_text(f"[mszoo]\n{entry}\n")
    env = {k: v for k, v in os.environ.items() if k != "MSZOO_PLUGINS"}
    path = os.pathsep.join(filter(None, [str(folder), env.get("PYTHONPATH")]))
    return {**env, "PYTHONPATH": path, "COLUMNS": "400"}


def run(env: dict[str, str], *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_everything_else_works(installed: dict[str, str]) -> None:
    found = json.loads(run(installed, "-c", WORKS).stdout)  # nothing that a plugin printed is in the way
    assert {"haar", "db4", "slow/mine", "prints/mine"} <= set(found["names"])
    assert not {"import-error/mine", "leaves/mine", "signature/mine", "metadata/mine"} & set(found["names"])
    assert found["dtype"] == "torch.float32"
    assert found["shape"] == [1, 1, 16, 16]
    disabled = ["import-error", "leaves", "signature", "clash", "metadata"]
    assert len(found["messages"]) == len(disabled)
    for name in disabled:
        (message,) = (m for m in found["messages"] if m.startswith(f"plugin '{name}' of distribution "))
        assert ("metadata_plugin-0.3" if name == "metadata" else f"'{name}-dist' 0.3 is disabled") in message
        assert EXPECTED[name] in message


def test_the_command_line_lists_components(installed: dict[str, str]) -> None:
    listed = run(installed, "-m", "mszoo", "components", "basis").stdout
    assert "prints/mine" in listed
    assert "hello from a plugin" not in listed


def test_each_cause_is_named(installed: dict[str, str]) -> None:
    told = " ".join(run(installed, "-m", "mszoo", "plugins", "--check", code=1).stdout.split())
    for name, cause in EXPECTED.items():
        assert name == "metadata" or f"{name}-dist 0.3" in told, name
        assert cause in told, name


def test_a_file_that_no_library_can_read_does_not_stop_listing(tmp_path, installed: dict[str, str]) -> None:
    """torch itself cannot be imported beside such a distribution; what needs no torch works, and names it."""
    info = tmp_path / "hopeless-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hopeless\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mszoo]\nno equals sign here\n")
    env = {**installed, "PYTHONPATH": str(tmp_path)}
    done = run(env, "-m", "mszoo", "components", "basis")
    assert "haar" in done.stdout
    told = " ".join(done.stderr.split())
    assert "plugin 'hopeless' of distribution 'hopeless' 1.0 is disabled: its entry_points.txt is malformed" in told


def test_strict_mode_raises(installed: dict[str, str]) -> None:
    strict = {**installed, "MSZOO_PLUGINS_STRICT": "1", "MSZOO_PLUGINS": "prints,leaves"}
    done = run(strict, "-m", "mszoo", "components", code=1)
    assert "plugin 'leaves' of distribution 'leaves-dist' 0.3 is disabled: SystemExit: 3" in " ".join(
        done.stderr.split()
    )
    assert "prints/mine" in run({**strict, "MSZOO_PLUGINS": "prints"}, "-m", "mszoo", "components").stdout
