"""``python -m bench.yardstick.instructions``: how many instructions an access takes, ours and C++'s.

Each program runs a million accesses of a trace, the last 2,048 of them one instruction at a time (steps.cpp):
that needs no counter of the processor's, and two runs say the same.  Of ours it also says in which kernels
they are; a kernel that LLVM has put where it is called counts there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
from bisect import bisect
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from bench.yardstick import cpp, ours, traces
from traces.events import READ

ACCESSES = 1_000_000
#: Two of our blocks, one of C++'s.
LAST = 2048
VARIANTS = ("plain", "staged", "counting")
#: The kernel that counts.
ENTRY = "smmucore.translate.run"
FEWEST = 0.5

Counts = Counter[int]


def name_of(symbol: str) -> str:
    """Return the kernel that a symbol of the compiled code is, or the symbol itself.

    >>> name_of("_ZN8smmucore6blocks7use_allB3v12Cache")
    'blocks.use_all'
    """
    rest = symbol.removeprefix("_ZN8smmucore")
    words: list[str] = []
    while len(words) < 2 and (length := re.match(r"\d+", rest)):
        start, stop = length.end(), length.end() + int(length[0])
        words.append(rest[start:stop])
        rest = rest[stop:]
    return ".".join(words) if len(words) == 2 else symbol


def symbols(compiled: bytes, folder: Path) -> list[tuple[int, int, str]]:
    """Return (where it begins, bytes, symbol) of each function of an object file."""
    file = folder / "kernel.o"
    file.write_bytes(compiled)
    told = subprocess.run(["nm", "-S", "--defined-only", file], check=True, capture_output=True, text=True)
    split = [line.split() for line in told.stdout.splitlines()]
    return [(int(row[0], 16), int(row[1], 16), row[3]) for row in split if len(row) == 4 and row[2] in "tTwW"]


def marked(iovas: Path, folder: Path) -> None:
    """Translate a file of IOVAs, the last between two SIGUSR1; leave in `folder` where the code is."""
    from smmucore.kernel import KERNELS  # noqa: PLC0415  (its cache folder is named in the environment)

    iova = np.fromfile(iovas, np.uint64)
    warm = iova.size - LAST - (iova.size - LAST) % LAST
    machine = ours.translator(traces.output_addresses())
    machine.restart(ours.HARDWARE.caches)
    machine.count(ours.block(READ, iova[:warm]))
    last = ours.block(READ, iova[warm : warm + LAST])
    (compiled,) = KERNELS[ENTRY].entry.overloads.values()
    library, entry = compiled.library, compiled.fndesc.llvm_func_name
    known = folder / "symbols.json"
    if not known.exists():  # freshly compiled: what comes from the cache is without its object
        known.write_text(json.dumps(symbols(library._get_compiled_object(), folder)))
        return
    begins = next(at for at, _, symbol in json.loads(known.read_text()) if symbol == entry)
    address = library._codegen._engine._ee.get_function_address(entry)
    (folder / "base").write_text(str(address - begins))
    os.kill(os.getpid(), signal.SIGUSR1)
    machine.count(last)
    os.kill(os.getpid(), signal.SIGUSR1)


def stepped(steps: Path, out: Path, command: list[Any], env: dict[str, str] | None = None) -> Counts:
    """Run a program by single steps between its two signals; return how often each address was run."""
    subprocess.run([steps, out, *command], check=True, stdout=subprocess.DEVNULL, env=env)
    pairs = (line.split() for line in out.read_text().splitlines())
    return Counter({int(where, 16): int(times) for where, times in pairs})


def by_kernel(counts: Counts, folder: Path) -> Counter[str]:
    """Return the instructions run in each kernel; Python's are left out."""
    base = int((folder / "base").read_text())
    known = sorted(json.loads((folder / "symbols.json").read_text()))
    starts = [base + at for at, _, _ in known]
    found: Counter[str] = Counter()
    for address, times in counts.items():
        at = bisect(starts, address) - 1
        if at >= 0 and address < starts[at] + known[at][1]:
            found[name_of(known[at][2])] += times
    return found


def measure(names: list[str], folder: Path) -> None:
    """Print a line for each trace, and then where our instructions are."""
    program, steps = cpp.compiled(folder), folder / "steps"
    subprocess.run([cpp.COMPILER, "-std=c++17", "-O2", cpp.HERE / "steps.cpp", "-o", steps], check=True)
    env = {**os.environ, "SMMUBENCH_CACHE_DIR": str(folder / "kernels")}
    heads = ("trace", *VARIANTS, "ours", "/best C++")
    print(f"instructions per access, of {LAST} behind {ACCESSES - LAST}")
    print("".join(f"{head:>12}" for head in heads), flush=True)
    where: dict[str, Counter[str]] = {}
    for name in names:
        print(f"perf-instructions: {name}", file=sys.stderr, flush=True)
        iovas = folder / "iovas"
        traces.iovas(name, ACCESSES).tofile(iovas)
        found = [stepped(steps, folder / "counts", [program, iovas, v, str(LAST)]).total() for v in VARIANTS]
        again: list[Any] = [sys.executable, "-m", "bench.yardstick.instructions", "--marked", iovas, folder]
        if not (folder / "symbols.json").exists():
            subprocess.run(again, check=True, env=env)
        where[name] = by_kernel(stepped(steps, folder / "counts", again, env), folder)
        mine = where[name].total()
        cells = [*(count / LAST for count in (*found, mine)), mine / min(found)]
        print(f"{name:>12}" + "".join(f"{cell:>12.1f}" for cell in cells), flush=True)
    kernels = [name for name, _ in sum(where.values(), Counter()).most_common()]
    print("\nours, by kernel\n" + " " * 24 + "".join(f"{name:>12}" for name in names))
    for kernel in kernels:
        cells = [where[name][kernel] / LAST for name in names]
        if max(cells) >= FEWEST:
            print(f"{kernel:<24}" + "".join(f"{cell:>12.1f}" for cell in cells))


def main(arguments: list[str] | None = None) -> int:
    """Count and print."""
    parser = argparse.ArgumentParser(prog="bench.yardstick.instructions", description=__doc__)
    parser.add_argument("--trace", choices=traces.NAMES, action="append", help="may be repeated; else all")
    parser.add_argument("--marked", nargs=2, type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.marked:
        marked(*asked.marked)
        return 0
    if cpp.compiler() is None or (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        print("perf-instructions: it needs g++ on Linux on x86-64: not run")
        return 0
    with tempfile.TemporaryDirectory(prefix="smmubench-instructions-") as folder:
        measure(asked.trace or list(traces.NAMES), Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
