"""Where the recordings are that others made: beside the repository, or where SMMUBENCH_SHARED says."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def capture(name):
    """Return the path of one, or skip by its name."""
    named = os.environ.get("SMMUBENCH_SHARED")
    path = (Path(named) if named else REPOSITORY.parent / "shared") / "captures" / name
    if not path.exists():
        pytest.skip(f"{name} is not here")
    return path
