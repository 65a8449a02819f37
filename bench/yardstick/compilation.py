"""``python -m bench.yardstick.compilation``: seconds to compile every kernel, and to load them again.

Two processes, one after the other, with a cache folder of their own.  Each makes a timed replay, a
translate-only one and a reach curve: between them they call every kernel but those that only tests call.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

TASK = """
import json, time
from bench.reach import reach
from bench.yardstick import ours, traces
from smmucore.kernel import cache_counts
from traces.catalogue import find
from traces.reader import open_trace

start = time.perf_counter(), time.process_time()
iova, pages = traces.iovas("seq64", 4096), traces.output_addresses(256)
ours.counts(ours.translator(pages), iova % (256 * traces.PAGE))
ours.timed(iova % (256 * traces.PAGE), pages, 10)
reach(open_trace(find("qemu-virtio-gpu")), ("4K", "mapped"))
took = time.perf_counter() - start[0], time.process_time() - start[1]
print(json.dumps([*took, *cache_counts()]))
"""


def measure(folder: str) -> tuple[float, float, int, int]:
    """Return (seconds, CPU seconds, entries loaded, entries compiled) of one process."""
    done = subprocess.run(
        [sys.executable, "-c", TASK],
        env={**os.environ, "SMMUBENCH_CACHE_DIR": folder},
        capture_output=True,
        text=True,
        check=True,
    )
    wall, cpu, loaded, compiled = json.loads(done.stdout)
    return wall, cpu, loaded, compiled


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="smmubench-kernels-") as folder:
        for what in ("from cold", "from cache"):
            wall, cpu, loaded, compiled = measure(folder)
            print(
                f"{what:<11}{wall:6.1f} s, {cpu:.1f} s of CPU; kernels: {compiled} compiled, {loaded} loaded"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
