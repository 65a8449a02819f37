"""Schedules saved in files."""

import json

import pytest

from bench.prove import schedules
from tests.prove.schedule_samples import schedule_of


@pytest.fixture
def saved(tmp_path):
    """Save a cell's schedule in a file."""

    def save(cell, spoil=None):
        file = tmp_path / "schedule.json"
        schedules.write(schedule_of(cell), file)
        if spoil is not None:
            data = json.loads(file.read_text(encoding="utf-8"))
            spoil(data)
            file.write_text(json.dumps(data), encoding="utf-8")
        return str(file)

    return save
