"""No file that somebody else wrote is run: every way to do so is looked for; each place that is left has a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mszoo

PACKAGE = Path(mszoo.__file__).parent
PLUGINS = PACKAGE.parent / "plugins"

WAYS = {
    "pickle": r"\b(pickle|cPickle|cloudpickle|dill|joblib|marshal|shelve)\.(load|loads|Unpickler|open)\b",
    "an imported unpickler": r"from (pickle|cloudpickle|dill|joblib|marshal|shelve) import",
    "torch.load": r"\btorch\.load\b|from torch import .*\bload\b",
    "weights_only": r"weights_only\s*=\s*False|pickle_module",
    "torch.jit": r"torch\.jit\.load|jit\.load\b|torch\.package|torch\.export\.load|torch\.hub\.load",
    "numpy": r"allow_pickle\s*=\s*True|np\.load\(|numpy\.load\(",
    "pandas": r"read_pickle",
    "eval": r"(?<![\w.])eval\(",
    "exec": r"(?<![\w.])exec\(",
    "compile": r"(?<![\w.])compile\(",
    "__import__": r"__import__\(",
    "runpy": r"\brunpy\b|exec_module|spec_from_file_location",
    "yaml": r"yaml\.(load|load_all|unsafe_load|full_load|UnsafeLoader|FullLoader|Loader)\b",
    "shell": r"shell\s*=\s*True|os\.system|os\.popen|subprocess\.getoutput",
    "processes": r"\bsubprocess\.|os\.exec|os\.spawn|multiprocessing\.",
    "remote code": r"trust_remote_code\s*=\s*True",
    "libraries": r"\bctypes\.C?DLL|load_library|cpp_extension",
    "imports by name": r"import_module\(",
}

# Which module does what, and why it may.
ALLOWED = {
    ("mszoo/__init__.py", "imports by name"): "names in this file",
    ("mszoo/registry.py", "imports by name"): "what an installed distribution registered",
    ("mszoo/evaluation/tables.py", "imports by name"): "pyarrow",
    ("mszoo/data/row_groups.py", "imports by name"): "pyarrow",
    ("mszoo/evaluation/baselines.py", "imports by name"): "bm3d",
    ("mszoo/web/page.py", "imports by name"): "gradio",
    (
        "mszoo/evaluation/denoisers.py",
        "processes",
    ): "this Python, on our own functions, for the memory of each denoiser",
    ("mszoo/testing/datasets.py", "pickle"): "of what was pickled in the same line",
    ("mszoo/testing/parallel.py", "processes"): "this Python, on a component of an installed distribution",
    ("mszoo/inference/fast/library.py", "processes"): "the compiler, on our own source",
    ("mszoo/inference/fast/library.py", "libraries"): "compiled from our own source",
}


def found() -> set[tuple[str, str]]:
    files = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.template")]
    files += [p for p in PLUGINS.rglob("*.py") if "tests" not in p.parts]
    hits = set()
    for path in files:
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(PACKAGE.parent).as_posix()
        hits |= {(name, way) for way, pattern in WAYS.items() if re.search(pattern, text)}
    return hits


def test_nothing_runs_code_from_data() -> None:
    assert found() - set(ALLOWED) == set()


@pytest.mark.parametrize(
    ("line", "way"),
    [
        ("torch.load(path, weights_only=False)", "weights_only"),
        ("pickle.load(file)", "pickle"),
        ("class R(pickle.Unpickler):", "pickle"),
        ("np.load(path, allow_pickle=True)", "numpy"),
        ("yaml.load(text)", "yaml"),
        ("eval(text)", "eval"),
        ("torch.jit.load(path)", "torch.jit"),
        ("subprocess.run(words, shell=True)", "shell"),
    ],
)
def test_each_way_is_seen(line: str, way: str) -> None:
    assert re.search(WAYS[way], line)
