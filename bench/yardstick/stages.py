"""``python -m bench.yardstick.stages``: where a block's time goes, stage by stage.

A stage's time is the difference that it makes to those before it, the best of several turns each:
differences of noisy times, so a small one means nothing.
"""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from typing import Any

from bench.yardstick import ours, traces
from smmucore.blocks import use_all
from smmucore.kernel import kernel
from smmucore.mmu import ONLY
from smmucore.staged import keep, settle
from smmucore.stages import BLOCK, is_alike, split_alike
from smmucore.walks import find_tables, read_leaves

STAGES = ("alike", "split", "save", "micro-TLB", "TLB", "tables", "leaves", "values")
ACCESSES = 1 << 18
TURNS = 7


@kernel
def run_to(last: Any, st: Any, mmu: Any, mem: Any, regimes: Any, banks: Any, kinds: Any, ev: Any) -> Any:
    """Carry out the first `last` stages of every block, as `translate_block` does where nothing faults."""
    made = st.made
    alike = 0
    for number in range(ev.t.size // BLOCK):
        at = number * BLOCK
        end = at + BLOCK
        if last >= 1:
            alike += is_alike(ev.requester[at:end]) & is_alike(ev.op[at:end]) & is_alike(ev.prot[at:end])
        if last >= 2:
            made.runs, _ = split_alike(st.key, st.start, ev.iova[at:end], kinds[0])
        if last >= 3:
            keep(mmu, ONLY)
        if last >= 4:
            made.misses = use_all(mmu.utlb, ONLY, st.key, made.runs, st.slot, st.missed_key, st.missed)
        if last >= 5:
            made.walks = use_all(
                mmu.tlb, ONLY, st.missed_key, made.misses, st.main_slot, st.walked_key, st.walked
            )
        if last >= 6 and made.walks != 0:
            find_tables(st, mmu, mem, regimes, banks, ONLY)
        if last >= 7 and made.walks != 0:
            read_leaves(st, mmu, mem)
        if last >= 8:
            settle(st, mmu, ONLY)
    return alike


def measure(machine: Any, name: str) -> list[float]:
    """Return the ns per access up to each stage, from none to all."""
    events = ours.block(ours.READ, traces.iovas(name, ACCESSES))
    best = [float("inf")] * (len(STAGES) + 1)
    for _ in range(TURNS):
        for last in range(len(best)):
            machine.restart(ours.HARDWARE.caches)
            state = (machine._stages, machine.mmu, machine.mem, machine.regimes)
            start = time.perf_counter_ns()
            run_to(last, *state, machine.banks, machine._kinds, events)
            best[last] = min(best[last], (time.perf_counter_ns() - start) / ACCESSES)
    return best


def main() -> int:
    """Measure and print."""
    machine = ours.translator(traces.output_addresses())
    print(f"ns per access, best of {TURNS} over {ACCESSES:,} accesses, each beyond the stages before it")
    print("".join(f"{head:>11}" for head in ("trace", *STAGES, "all")))
    for name in traces.NAMES:
        best = measure(machine, name)
        steps = [after - before for before, after in pairwise(best)]
        print(f"{name:>11}" + "".join(f"{ns:>11.2f}" for ns in (*steps, best[-1])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
