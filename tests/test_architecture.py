"""Imports point one way, and listings stay light."""

import ast
from pathlib import Path

import mszoo

PACKAGE = Path(mszoo.__file__).parent
# From the bottom to the top, each a layer of its own: a module imports from its own room or from those below.
LAYERS = [
    *("errors", "isolation", "shipped", "devices", "processes", "files", "pickles", "options", "randomness", "text"),
    *("registry", "hooks", "components", "discovery", "recipe", "pictures"),
    *("bases", "conditioners", "heads", "objectives", "data", "samplers"),
    *("summary", "arguments", "build", "model", "checkpoint", "importers"),
    *("inference", "evaluation", "hub", "training", "experiments", "report", "web"),
    *("scaffold", "testing"),
    *("api", "cli", "__init__", "__main__"),
]
# The package itself is what users import: the command line calls its public face.
FACE = "mszoo"
# MultiScaleModel's convenience methods import inside their bodies.
DELEGATES = {
    ("model", "inference"): {
        "log_prob",
        "log_prob_map",
        "nll",
        "noise_level",
        "sample",
        "super_resolve",
        "solve",
        "map",
    },
    ("model", "api"): {"from_pretrained"},
    ("model", "checkpoint"): {"save_pretrained"},
    ("model", "hub"): {"push_to_hub"},
}


def modules() -> dict[str, Path]:
    """All but the configuration of the site, which is nobody's to import."""
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "conf.py"]
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in paths}


def imports(tree: ast.AST) -> list[tuple[str, str | None]]:
    """(module of this package, function it is imported in, None at the top)."""
    found = []

    def visit(node: ast.AST, function: str | None) -> None:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == FACE:
            parts = (node.module or "").split(".")[1:]
            found.extend((parts[0] if parts else alias.name, function) for alias in node.names)
        elif isinstance(node, ast.Import):
            found.extend((".".join(a.name.split(".")[1:2]), function) for a in node.names if a.name.startswith(FACE))
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            return
        inner = node.name if isinstance(node, ast.FunctionDef) else function
        for child in ast.iter_child_nodes(node):
            visit(child, inner)

    visit(tree, None)
    return found


def test_imports_point_one_way():
    wrong = []
    for name, path in modules().items():
        top = name.split(".")[0]
        assert top in LAYERS, f"{name} belongs to no layer"
        for target, function in imports(ast.parse(path.read_text(encoding="utf-8"))):
            if target not in LAYERS or function in DELEGATES.get((top, target), ()):
                continue
            if LAYERS.index(target) > LAYERS.index(top):
                wrong.append(f"{name} imports {target}" + (f" in {function}" if function else ""))
    assert not wrong


def test_delegates_are_one_line():
    tree = ast.parse((PACKAGE / "model.py").read_text(encoding="utf-8"))
    functions = {f.name: f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef)}
    for name in set().union(*DELEGATES.values()):
        body = [n for n in functions[name].body if not isinstance(n, ast.Expr)]  # without the docstring
        assert [type(n) for n in body] == [ast.ImportFrom, ast.Return]


def test_there_is_no_utils():
    assert not [name for name in modules() if "util" in name]


def test_benchmarks_call_the_library_and_not_the_command_line():
    for path in (Path(__file__).parent / "benchmarks").glob("*.py"):
        targets = {target for target, _ in imports(ast.parse(path.read_text(encoding="utf-8")))}
        assert "cli" not in targets, path
