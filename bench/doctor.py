"""What this machine and this installation are, and what would make timings taken here unreliable.

Simulated times are the same everywhere; what is looked at here is for `make perf-...`, and for the question
why something does not work.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from bench.units import three_digits

GOOD, NOTE, BAD = "ok", "note", "wrong"

#: Share of a CPU's time that a hypervisor may take before it is mentioned.
_STOLEN = 0.5
#: Free space that the compiled model and a few runs want, bytes.
_ROOM = 200 << 20

#: Optional tools: program -> what it is for.
TOOLS = {
    "g++": "make perf-yardstick",
    "qemu-system-aarch64": "smmubench capture qemu",
    "chromium": "the tests of the report",
    "git": "the commit in a report's provenance",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    about : str
        software, kernels, timing or tools.
    name, found : str
    state : str
        `GOOD`; `NOTE`: timings may suffer, or something optional is missing; `BAD`: smmubench will not work.
    hint : str
        What to do about it.
    """

    about: str
    name: str
    found: str
    state: str = GOOD
    hint: str = ""


def examine(root: Path = Path("/")) -> list[Finding]:
    """Look at everything.

    Parameters
    ----------
    root : Path
        Where ``sys`` and ``proc`` are.
    """
    return [*_software(), *_kernels(), *_timing(root), *_tools()]


def _software() -> Iterator[Finding]:
    yield Finding("software", "smmubench", metadata.version("smmubench"))
    yield Finding("software", "Python", f"{platform.python_version()} ({platform.python_implementation()})")
    from packaging.requirements import Requirement  # noqa: PLC0415  (matplotlib needs it too)

    for line in metadata.requires("smmubench") or ():
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            yield Finding("software", wanted.name, "missing", BAD, f"pip install '{wanted}'")
            continue
        fits = wanted.specifier.contains(found, prereleases=True)
        hint = "" if fits else f"wants {wanted.specifier}: make setup, or pip install '{wanted}'"
        yield Finding("software", wanted.name, found, GOOD if fits else BAD, hint)


def _kernels() -> Iterator[Finding]:
    from smmucore import kernel  # noqa: PLC0415  (it imports numba)

    folder = kernel.CACHE_DIR
    near = folder
    while not near.exists():
        near = near.parent
    writable = os.access(near, os.W_OK | os.X_OK)
    yield Finding(
        "kernels",
        "cache folder",
        str(folder),
        GOOD if writable else BAD,
        "" if writable else "cannot be written: set SMMUBENCH_CACHE_DIR",
    )
    if kernel.jit_disabled():
        yield Finding("kernels", "compiler", "off", NOTE, "NUMBA_DISABLE_JIT is set: a hundred times slower")
    elif kernel.is_warm():
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        yield Finding("kernels", "compiled", f"yes, {three_digits(size / 1e6)} MB")
    else:
        yield Finding("kernels", "compiled", "not yet", NOTE, "the first run takes about 20 s more, once")
    free = shutil.disk_usage(near).free
    yield Finding(
        "kernels",
        "free space there",
        f"{three_digits(free / 1e9)} GB",
        GOOD if free > _ROOM else BAD,
        "" if free > _ROOM else "less than 200 MB: remove old folders beside it",
    )
    from traces.catalogue import list_traces  # noqa: PLC0415

    number = len(list_traces())
    yield Finding(
        "kernels",
        "bundled traces",
        str(number),
        GOOD if number else BAD,
        "" if number else "the installation lacks traces/captured",
    )


def _timing(root: Path) -> Iterator[Finding]:
    mine, all_of_them = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    yield Finding("timing", "CPUs", f"{mine} of {all_of_them} for this process")
    model = _first(root / "proc/cpuinfo", "model name")
    yield Finding("timing", "CPU", model or platform.machine())
    quota = _read(root / "sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0] != "max":
        share = int(quota[0]) / int(quota[1])
        yield Finding(
            "timing",
            "CPU quota",
            f"{three_digits(share)} CPUs",
            NOTE,
            "a container's limit stops runs in mid-air",
        )
    load = _read(root / "proc/loadavg").split()
    if load:
        busy = float(load[0])
        yield Finding(
            "timing",
            "load",
            f"{load[0]} over the last minute",
            GOOD if busy < 0.5 else NOTE,
            "" if busy < 0.5 else "other work runs: interleave what is compared, or wait",
        )
    yield from _frequency(root)
    if " hypervisor" in _first(root / "proc/cpuinfo", "flags"):
        yield Finding(
            "timing", "virtual machine", "yes", NOTE, "neighbours are felt: compare in one run, by ratios"
        )
    ticks = _read(root / "proc/stat").partition("\n")[0].split()[1:]
    total = sum(int(tick) for tick in ticks)
    if len(ticks) >= 8 and total:
        stolen = 100 * int(ticks[7]) / total
        yield Finding(
            "timing",
            "stolen time",
            f"{three_digits(stolen)} % since boot",
            GOOD if stolen < _STOLEN else NOTE,
            "" if stolen < _STOLEN else "the host gives these CPUs to others meanwhile",
        )
    threads = _read(root / "sys/devices/system/cpu/smt/active")
    if threads == "1":
        yield Finding("timing", "hardware threads", "on", NOTE, "two threads share a core: pin a run to one")
    clock = _read(root / "sys/devices/system/clocksource/clocksource0/current_clocksource")
    if clock:
        good = clock in ("tsc", "arch_sys_counter", "kvm-clock")
        yield Finding(
            "timing", "clock source", clock, GOOD if good else NOTE, "" if good else "slow to read, or coarse"
        )


def _frequency(root: Path) -> Iterator[Finding]:
    governors = {_read(path) for path in root.glob("sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")}
    if not governors:
        yield Finding(
            "timing",
            "governor",
            "not shown",
            NOTE,
            "the clock may change unseen: compare in one run, by ratios",
        )
    else:
        good = governors == {"performance"}
        yield Finding(
            "timing",
            "governor",
            ", ".join(sorted(governors)),
            GOOD if good else NOTE,
            "" if good else "the clock follows the load: cpupower frequency-set -g performance",
        )
    turbo = _read(root / "sys/devices/system/cpu/intel_pstate/no_turbo") == "0"
    turbo |= _read(root / "sys/devices/system/cpu/cpufreq/boost") == "1"
    if turbo:
        yield Finding("timing", "turbo", "on", NOTE, "the clock depends on heat and on neighbours")


def _tools() -> Iterator[Finding]:
    for program, why in TOOLS.items():
        found = shutil.which(program)
        yield Finding(
            "tools",
            program,
            "found" if found else "not found",
            GOOD if found else NOTE,
            "" if found else f"only for {why}",
        )
    encoding = getattr(sys.stdout, "encoding", None) or "none"
    yield Finding(
        "tools",
        "terminal",
        f"{shutil.get_terminal_size().columns} columns, {encoding}"
        + (", NO_COLOR" if os.environ.get("NO_COLOR") else ""),
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _first(path: Path, key: str) -> str:
    for line in _read(path).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return f" {value.strip()}" if key == "flags" else value.strip()
    return ""
