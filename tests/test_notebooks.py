"""Each notebook runs, in a fresh kernel, within a minute; it calls the library and defines nothing.

What is kept beside it, for who reads without running, is what comes out.
"""

from __future__ import annotations

import ast
import importlib.util
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.py"))
#: Bytes that a notebook may take with its outputs.
SMALL = 400_000


@pytest.fixture(scope="module")
def runner():
    pytest.importorskip("nbclient", reason="nbclient is not installed")
    spec = importlib.util.spec_from_file_location("notebooks_run", ROOT / "notebooks" / "run.py")
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    return run


def kept(path):
    import nbformat

    return nbformat.read(path.with_suffix(".ipynb"), as_version=4)


def answers(notebook):
    """Return what the cells printed or gave, a list for each, figures by their kind alone.

    Pixels are the drawing library's, and depend on its fonts.
    """
    told = []
    for cell in notebook.cells:
        of_cell = []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                of_cell.append("figure")
            elif data:
                of_cell.append({kind: text for kind, text in data.items() if "Styler" not in text})
            else:
                of_cell.append(output.get("text", ""))
        told.append(of_cell)
    return told


def test_there_are_five():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_holds_no_logic_of_its_own(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.If, ast.Lambda)
    assert [node for node in ast.walk(tree) if isinstance(node, own)] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_kept_is_of_this_source_and_small(path, runner):
    cells = [(cell.cell_type, cell.id, cell.source) for cell in runner.source(path).cells]
    assert [(cell.cell_type, cell.id, cell.source) for cell in kept(path).cells] == cells
    assert path.with_suffix(".ipynb").stat().st_size < SMALL


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_that_ends_in_an_answer_shows_it(path):
    for cell, told in zip(kept(path).cells, answers(kept(path)), strict=True):
        if cell.cell_type == "code" and isinstance(ast.parse(plain(cell.source)).body[-1], ast.Expr):
            assert len(told) == 1, cell.source
            assert "<Figure" not in str(told), cell.source


def plain(source):
    """Leave out what only the notebook's shell understands."""
    return "\n".join(line for line in source.splitlines() if not line.startswith("%"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_within_a_minute_and_answers_what_is_kept(path, runner, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    began = time.monotonic()
    made = runner.run(path)
    assert time.monotonic() - began < runner.LIMIT
    assert answers(made) == answers(kept(path))
