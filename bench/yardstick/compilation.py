"""``python -m bench.yardstick.compilation``: seconds to compile every kernel, and to load them again.

Two processes, one after the other, with a cache folder of their own.  Each makes a timed replay, a
translate-only one, a reach curve and a proof: between them they call every kernel but those that only tests
call.  A comparison, the commonest use, needs the replay's alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

TASK = """
import json, time
from bench import ask
from bench.prove.cells import prove_one
from bench.reach import reach
from bench.yardstick import ours, traces
from smmucore.clients import find as client
from smmucore.explored import Question
from smmucore.kernel import cache_counts
from traces.catalogue import find
from traces.reader import open_trace

def turn(what):
    before = time.perf_counter()
    what()
    return time.perf_counter() - before

cpu = time.process_time()
iova, pages = traces.iovas("seq64", 4096), traces.output_addresses(256)
near = iova % (256 * traces.PAGE)
took = {
    "timed replay": turn(lambda: ours.timed(near, pages, 10)),
    "translate-only": turn(lambda: ours.counts(ours.translator(pages), near)),
    "reach": turn(lambda: reach(open_trace(find("qemu-virtio-gpu")), ("4K", "mapped"))),
    "proof": turn(lambda: prove_one(Question(ask.policy("P8"), client("none"), ask.preset("mmu500")))),
}
print(json.dumps([took, time.process_time() - cpu, *cache_counts()]))
"""


def measure(folder: str) -> tuple[dict[str, float], float, int, int]:
    """Return (seconds by what was done, CPU seconds, entries loaded, entries compiled) of one process."""
    done = subprocess.run(
        [sys.executable, "-c", TASK],
        env={**os.environ, "SMMUBENCH_CACHE_DIR": folder},
        capture_output=True,
        text=True,
        check=True,
    )
    took, cpu, loaded, compiled = json.loads(done.stdout)
    return took, cpu, loaded, compiled


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="smmubench-kernels-") as folder:
        for what in ("from cold", "from cache"):
            took, cpu, loaded, compiled = measure(folder)
            parts = ", ".join(f"{name} {wall:.1f}" for name, wall in took.items())
            print(
                f"{what:<11}{sum(took.values()):6.1f} s ({parts}), {cpu:.1f} s of CPU; "
                f"kernels: {compiled} compiled, {loaded} loaded"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
