"""pyperf's files: read, and refused in one line where they cannot be."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import pyperf

from bench.errors import UsageError


def load(path: Path) -> Any:
    """Read a pyperf file of any version that pyperf reads.

    Returns
    -------
    pyperf.BenchmarkSuite

    Raises
    ------
    UsageError
        It cannot be read, or is of a newer pyperf.
    """
    try:
        return pyperf.BenchmarkSuite.load(str(path))
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "a file that is cut short"
        raise UsageError("cannot be read", path, "a pyperf file", reason) from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, AssertionError) as error:
        found = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise UsageError("not a pyperf file", path, "JSON that pyperf wrote", found) from None


def samples(suite: Any) -> dict[str, list[float]]:
    """Return the median of each process, by benchmark; calibration runs have no values and do not count."""
    made: dict[str, list[float]] = {}
    for benchmark in suite:
        runs = [median(run.values) for run in benchmark.get_runs() if run.values]
        if runs:
            made[benchmark.get_name()] = runs
    return made


def difference(before: Any, after: Any) -> list[str]:
    """Return what the two were not measured with alike, in words: a comparison across it says little."""
    told = []
    for key in ("hostname", "cpu_model_name", "cpu_config", "python_version", "numba_version",
                "llvmlite_version", "numpy_version"):  # fmt: skip
        values = [suite.get_metadata().get(key) for suite in (before, after)]
        if values[0] != values[1]:
            told.append(f"{key}: {values[0]} and {values[1]}")
    for name in before.get_benchmark_names():
        if name in after.get_benchmark_names():
            both = [suite.get_benchmark(name).get_metadata() for suite in (before, after)]
            for key in both[0]:
                if key.startswith("trace_") and both[0][key] != both[1].get(key):
                    told.append(f"{name}: another trace")
    return told


def interleaved(before: Any, after: Any) -> bool:
    """Tell whether runs of the two took turns: whether their dates overlap."""
    dates = []
    for suite in (before, after):
        told = [bench.get_dates() for bench in suite if bench.get_dates()]
        if not told:
            return False
        dates.append((min(first for first, _ in told), max(last for _, last in told)))
    return bool(dates[0][0] < dates[1][1] and dates[1][0] < dates[0][1])
