"""What the ``bench/bm_*.py`` scripts have in common: pyperf's runner, told what pyperf cannot know.

A worker of pyperf is a new process with a bare environment.  It must find the kernels compiled: the names
of their cache folder are passed on, the cache is filled before the first worker starts, and a worker that
compiles all the same says so and fails, because what it measured is the compiler.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pyperf

from bench.errors import UsageError
from bench.perf.scripts import NONE_OF_THAT_NAME
from smmucore import kernel

#: What a worker needs of our environment; pyperf passes on PATH, HOME and PYTHONPATH by itself.
INHERITED = (
    "SMMUBENCH_CACHE_DIR",
    "XDG_CACHE_HOME",
    "NUMBA_NUM_THREADS",
    "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES",
)

PACKAGES = ("smmubench", "numba", "llvmlite", "numpy", "pyarrow")

#: Processes and values of each that a benchmark has by default: a process imports numba, which takes longer
#: than most values, and what varies most varies from process to process.
PROCESSES = 12
VALUES = 5


@dataclass(frozen=True)
class Benchmark:
    """One benchmark of a script.

    Attributes
    ----------
    name : str
        A sentence: "translate: TLB hit".
    make : callable
        Prepares, and returns what is timed.  Called in each process that measures, and in no other.
    per : int or callable
        What one turn is divided by: accesses, faults, events.  A callable is asked where it is needed.
    traces : dict
        Name -> SHA-256 of the traces that it replays.
    unit : str
        What one of `per` is: "access", "fault", "line"; kept with its values.
    """

    name: str
    make: Callable[[], Callable[[], object]]
    per: int | Callable[[], int] = 1
    traces: dict[str, str] = field(default_factory=dict)
    unit: str = "turn"


@dataclass(frozen=True)
class Command:
    """A command whose start is timed, in processes of its own."""

    name: str
    words: tuple[str, ...]
    unit: str = "start"


def metadata() -> dict[str, str]:
    """Return what every value of a run was measured with."""
    made = {"clock": "wall", "kernels": kernel.source_hash()}
    for package in PACKAGES:
        try:
            made[f"{package}_version"] = version(package)
        except PackageNotFoundError:
            made[f"{package}_version"] = "unknown"
    return made


def main(what: str, benchmarks: Sequence[Benchmark | Command]) -> None:
    """Run a script's benchmarks; its arguments are pyperf's, and ``--only WORD``.

    Parameters
    ----------
    what : str
        The script's first line, for ``--help``.
    benchmarks : sequence
        In order; a worker is told the number of its own.
    """
    runner = pyperf.Runner(processes=PROCESSES, values=VALUES, metadata=metadata(), add_cmdline_args=_pass_on)
    runner.argparser.description = what
    runner.argparser.add_argument("--only", metavar="WORD", help="only benchmarks with WORD in their names")
    asked = runner.parse_args()
    if kernel.jit_disabled():
        runner.argparser.error("NUMBA_DISABLE_JIT is set: that measures Python")
    asked.inherit_environ = [*(asked.inherit_environ or []), *(n for n in INHERITED if n in os.environ)]
    chosen = [one for one in benchmarks if not asked.only or asked.only in one.name]
    if not chosen:
        print(f"--only: no benchmark here is called anything like {asked.only!r}", file=sys.stderr)
        sys.exit(NONE_OF_THAT_NAME)
    if not asked.worker:
        for one in chosen:
            if isinstance(one, Benchmark):
                one.make()()
    for number, one in enumerate(chosen):
        if isinstance(one, Command):
            runner.bench_command(one.name, list(one.words))
        else:
            hashes = {f"trace_{name.replace('-', '_')}": sha256 for name, sha256 in one.traces.items()}
            # pyperf calls this for every benchmark in every worker, and times one.
            mine = not asked.worker or asked.worker_task in (None, number)
            per = one.per if isinstance(one.per, int) else one.per() if mine else 1
            runner.bench_time_func(
                one.name, _Timed(one), inner_loops=per, metadata={"per": one.unit, **hashes}
            )


def _pass_on(command: list[str], asked: Any) -> None:
    if asked.only:
        command.extend(["--only", asked.only])


class _Timed:
    """A benchmark as pyperf calls it; prepares when it is first called."""

    def __init__(self, benchmark: Benchmark) -> None:
        self.benchmark = benchmark
        self._turn: Callable[[], object] | None = None

    def __call__(self, loops: int) -> float:
        """Take `loops` turns; return their seconds."""
        if self._turn is None:
            self._turn = self.benchmark.make()
            self._turn()
            assert_warm()
        turn = self._turn
        start = time.perf_counter()
        for _ in range(loops):
            turn()
        took = time.perf_counter() - start
        assert_warm()
        return took


def assert_warm() -> None:
    """Raise unless every kernel of this process came from the cache.

    Raises
    ------
    UsageError
    """
    loaded, compiled = kernel.cache_counts()
    if compiled:
        raise UsageError("a worker compiled kernels", str(kernel.CACHE_DIR), "all of them in the cache",
                         f"{compiled} compiled, {loaded} loaded")  # fmt: skip
