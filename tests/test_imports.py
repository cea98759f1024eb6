"""The public face is cheap to import, and whole. (That imports point one way is tested in test_architecture.py.)"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mszoo

PACKAGE = Path(mszoo.__file__).parent
MODULES = sorted(p.relative_to(PACKAGE) for p in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_modules_say_what_they_are(path: Path) -> None:
    assert ast.get_docstring(ast.parse((PACKAGE / path).read_text(encoding="utf-8")))


def test_the_public_face_is_whole() -> None:
    for name in mszoo.__all__:
        assert getattr(mszoo, name).__doc__
        assert name in dir(mszoo)
    with pytest.raises(AttributeError, match="no_such_name"):
        mszoo.no_such_name  # noqa: B018


@pytest.mark.parametrize(
    "code",
    [
        "import mszoo",
        "import mszoo; mszoo.list_components(); mszoo.list_components('basis', 'db*')",
        "import mszoo; mszoo.list_models()",
        "import mszoo; mszoo.hookimpl, mszoo.Spec, mszoo.MszooError",
        "import mszoo.cli",
    ],
)
def test_needs_no_torch(code: str) -> None:
    check = "import sys; heavy = {'torch', 'numpy', 'accelerate', 'timm'} & set(sys.modules); assert not heavy, heavy"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
