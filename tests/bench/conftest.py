"""Tiny traces, and the command run in this process."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from traces.events import EVENT, MAP, PROT_READ, PROT_WRITE, READ, UNMAP, WRITE
from traces.manifest import Manifest, Space, Stream, Tool
from traces.writer import TraceWriter

RW = PROT_READ | PROT_WRITE
PAGES = 8
BASE = 0x10_0000


def manifest(**changes):
    values = {
        "name": "tiny",
        "title": "eight pages, read and written in turn",
        "kind": "synthetic",
        "source": "tests/bench",
        "device": "none",
        "tool": Tool(name="pytest", version="0"),
        "clock": "made up",
        "clock_is_real": False,
        "streams": [Stream(stream=5, name="gpu", space=0), Stream(stream=9, name="dma", space=1)],
        "spaces": [Space(space=0, name="gpu"), Space(space=1, name="dma", ias=32)],
        "licence": "CC0-1.0",
        "invalidation": "with-unmap",
        "direction": "made up",
        "not_contained": ["A device: these events are made up."],
    }
    return Manifest(**{**values, **changes})


def event(t, op, iova, size=4096, stream=0, space=0, pa=0, prot=0):
    return (t, op, stream, space, iova, size, pa, prot)


def tiny_events(rounds=30):
    """Use eight pages in space 0, page 3 most and mapped anew twice, and one page in space 1."""
    made = [event(0, MAP, BASE + k * 4096, pa=(1 << 20) + k * 4096, prot=RW) for k in range(PAGES)]
    made.append(event(0, MAP, 0x4000, space=1, pa=0x9000, prot=RW))
    t = 0
    for turn in range(rounds):
        for k in (*range(PAGES), 3):
            t += 7
            made.append(event(t, WRITE if k % 2 else READ, BASE + k * 4096, 64, stream=5))
        made.append(event(t, READ, 0x4000, 64, stream=9, space=1))
        if turn in (rounds - 8, rounds - 4):
            made.append(event(t, UNMAP, BASE + 3 * 4096))
            made.append(event(t, MAP, BASE + 3 * 4096, pa=1 << 21, prot=RW))
    return np.array(made, EVENT)


def save(path, events, **changes):
    with TraceWriter(path, manifest(**changes)) as writer:
        writer.append(events)
    return Path(path)


@pytest.fixture
def tiny(tmp_path):
    return save(tmp_path / "tiny.parquet", tiny_events())


@pytest.fixture
def spec(tiny, tmp_path):
    """A sweep of 24 cells beside the tiny trace."""
    from tests.bench.sweep_samples import SPEC

    path = tmp_path / "small.toml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run `smmubench` in an empty folder; return (exit status, stdout, stderr)."""
    from bench import cli

    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with CliRunner().isolation() as (out, err, _):
            status = cli.run([str(a) for a in arguments])
        return status, out.getvalue().decode(), err.getvalue().decode()

    return run
