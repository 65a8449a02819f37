"""``python -m bench.yardstick.run``: the C++ and our replay side by side, in rounds.

Wall time is noisy: every round runs everything once, one after the other, and the table shows medians.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from bench.yardstick import cpp, ours, traces
from smmucore.translate import Translator

#: What all must count alike; a variant without output addresses has no checksum.
COUNTS = ("accesses", "utlb_hits", "tlb_hits", "walks", "walk_reads", "faults", "checksum")
PACES = (10, 100)
#: Accesses of a timed replay, which is slower.
TIMED_AT_MOST = 2_000_000
OURS = "ours"
ANSWERS = "answers"
#: Variants that only count.
NO_ADDRESSES = ("counting",)


class DisagreementError(Exception):
    """Two programs counted differently."""


def check(name: str, results: dict[str, dict[str, Any]]) -> None:
    """Raise DisagreementError unless all of `results` count the same; `name` is the trace's."""
    first, *others = results
    for other in others:
        for what in COUNTS:
            if what in results[other] and results[first][what] != results[other][what]:
                raise DisagreementError(
                    f"{name}: {what}: {first} counts {results[first][what]}, {other} {results[other][what]}"
                )


def measure(
    name: str, program: Path, machine: Translator, addresses: Any, accesses: int, rounds: int
) -> dict[str, Any]:
    """Measure one trace.

    Returns
    -------
    dict
        `trace`, `counts`, and in `ns_per_access` the rounds of each runner.

    Raises
    ------
    DisagreementError
    """
    iova = traces.iovas(name, accesses)
    counted = {OURS: ours.counts(machine, iova)}
    timed_iova = iova[:TIMED_AT_MOST]
    ours.timed(timed_iova[: ours.BLOCK], addresses, PACES[0])  # loads the kernels
    ns: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="smmubench-yardstick-") as folder:
        file = Path(folder) / "iovas.bin"
        iova.tofile(file)
        for _ in range(rounds):
            for variant, result in cpp.run(program, file).items():
                ns.setdefault(variant, []).extend(result.pop("ns_per_access"))
                counted[variant] = result
            ns.setdefault(OURS, []).append(ours.translate_only(machine, iova))
            ns.setdefault(ANSWERS, []).append(ours.answering(machine, iova))
            for pace in PACES:
                ns.setdefault(f"timed-{pace}ns", []).append(ours.timed(timed_iova, addresses, pace))
    check(name, counted)
    return {"trace": name, "kind": traces.KIND, "counts": counted[OURS], "ns_per_access": ns}


def table(results: list[dict[str, Any]]) -> str:
    """Return two tables of medians: ns per access beside C++, and the replay with time."""
    timed_names = {f"timed-{pace}ns" for pace in PACES}
    variants = [v for v in results[0]["ns_per_access"] if v not in {OURS, ANSWERS, *timed_names}]
    rows = [["trace", *variants, OURS, "/best C++", ANSWERS, "/best with addresses"]]
    timed = [["trace", *(head for p in PACES for head in (f"{p} ns pace", "M/s", f"/{OURS}"))]]
    for result in results:
        middle = {runner: median(ns) for runner, ns in result["ns_per_access"].items()}
        best = min(middle[variant] for variant in variants)
        with_addresses = min(middle[variant] for variant in variants if variant not in NO_ADDRESSES)
        rows.append(
            [
                result["trace"],
                *(f"{middle[runner]:.2f}" for runner in (*variants, OURS)),
                f"{middle[OURS] / best:.2f}",
                f"{middle[ANSWERS]:.2f}",
                f"{middle[ANSWERS] / with_addresses:.2f}",
            ]
        )
        cells = [result["trace"]]
        for pace in PACES:
            ns = middle[f"timed-{pace}ns"]
            cells += [f"{ns:.2f}", f"{1000 / ns:.1f}", f"{ns / middle[OURS]:.2f}"]
        timed.append(cells)
    return "\n".join("".join(f"{cell:>13}" for cell in row).rstrip() for row in (*rows, [""], *timed))


def main(arguments: list[str] | None = None) -> int:
    """Run the yardstick; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench.yardstick.run", description=__doc__)
    parser.add_argument("--accesses", type=int, default=traces.ACCESSES, help="of each trace")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trace", choices=traces.NAMES, action="append", help="may be repeated; else all")
    parser.add_argument("--json", action="store_true", help="every round, and the counts")
    asked = parser.parse_args(arguments)
    if asked.accesses < 1 or asked.rounds < 1:
        parser.error("--accesses and --rounds: expected a positive number")
    if cpp.compiler() is None:
        print(f"perf-yardstick: no {cpp.COMPILER} here, so nothing to compare with: not run")
        return 0
    addresses = traces.output_addresses()
    machine = ours.translator(addresses)
    results = []
    with tempfile.TemporaryDirectory(prefix="smmubench-yardstick-") as folder:
        program = cpp.compiled(Path(folder))
        for name in asked.trace or traces.NAMES:
            print(
                f"perf-yardstick: {name}, {asked.accesses} accesses, {asked.rounds} rounds", file=sys.stderr
            )
            results.append(measure(name, program, machine, addresses, asked.accesses, asked.rounds))
    if asked.json:
        print(json.dumps(results, indent=1))
    else:
        print("ns per access, medians; all count the same hits, walks and reads")
        print(f"{OURS} counts, {ANSWERS} also gives every access its address; below, the replay with time")
        print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
