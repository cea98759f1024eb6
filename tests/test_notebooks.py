"""The notebooks run from top to bottom, draw what they say, and are kept without their results."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

GUIDES = Path(__file__).parents[1] / "mszoo" / "guides"
NOTEBOOKS = sorted(path.stem for path in GUIDES.glob("*.ipynb"))


@pytest.mark.parametrize("name", ["paper-a", "paper-b"])
def test_a_notebook_runs_and_draws(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(GUIDES / f"{name}.ipynb", as_version=4)
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            kinds = [kind for output in cell.outputs for kind in output.get("data", {})]
            draws = cell.source.splitlines()[-1].startswith(("sheet(", "figure", "maps_figure("))
            assert ("image/png" in kinds) == draws, cell.source
    assert {path.name for path in tmp_path.iterdir()} <= {"ipython"}


def test_those_there_are_tested() -> None:
    assert NOTEBOOKS == ["paper-a", "paper-b"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_kept_without_results(name: str) -> None:
    for cell in nbformat.read(GUIDES / f"{name}.ipynb", as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
