"""Starts of the command, each in a process of its own: what one waits for before anything is computed."""

from __future__ import annotations

import sys

from bench.perf.suite import Command

RUN = "import sys; from bench.cli import main; sys.argv[0] = 'smmubench'; main()"


def benchmarks() -> list[Command]:
    """Return the commands."""
    words = {
        "start: smmubench --version": ("--version",),
        "start: smmubench policies list": ("policies", "list"),
        "start: smmubench traces list": ("traces", "list"),
        "start: one cell": ("replay", "qemu-dma-tiles", "--json"),
    }
    return [Command(name, (sys.executable, "-c", RUN, *asked)) for name, asked in words.items()]
