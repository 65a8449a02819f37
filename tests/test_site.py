"""The documentation as a site: it builds without a warning, and its printed pages are the code's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import reference
from bench.answers import QUESTIONS
from bench.cli import COMMANDS

ROOT = Path(__file__).parents[1]


def test_the_site_builds_with_warnings_as_errors(tmp_path):
    pytest.importorskip("mkdocs", reason="MkDocs is not installed")
    run = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        str(tmp_path / "site"),
    ]
    done = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "fifteen" in (tmp_path / "site" / "questions.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", list(reference.PAGES))
def test_a_printed_page_is_what_the_code_says(name):
    made = reference.PAGES[name]()
    assert (reference.DOCS / name).read_text(encoding="utf-8") == made, "run python -m bench.reference"


def test_the_pages_name_every_command_and_every_question():
    commands, questions = (
        (reference.DOCS / name).read_text(encoding="utf-8") for name in ("commands.md", "questions.md")
    )
    assert all(f"\n## {name}\n" in commands for name in COMMANDS)
    assert all(
        q.text in questions and f"`smmubench answer {q.number}" in questions for q in QUESTIONS.values()
    )


def test_every_test_that_the_validation_page_names_is_there():
    text = (reference.DOCS / "validation.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    files = set(re.findall(r"`(tests/[\w/]+\.py)`", text))
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        if "reference" not in path.relative_to(ROOT / "tests").parts  # of the second models alone
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.M)
    }
    assert len(named) > 15 and named <= there
    assert files and all((ROOT / path).is_file() for path in files)
