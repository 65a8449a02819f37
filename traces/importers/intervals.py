"""Pairs the beginnings and ends of what a kernel trace times: interrupts, work, fences, commands."""

from __future__ import annotations

import re
from array import array
from collections.abc import Hashable

#: Beginnings that wait for their end; where more do, the oldest are forgotten.
_MOST_OPEN = 1 << 14
#: Kinds of interval that are told apart.
_MOST_KINDS = 256

_WORD = re.compile(r"\b([A-Za-z_]\w{0,30})[ =]([^\s:,=]{1,64})(?!=)", re.ASCII)
_STRUCT = re.compile(r"struct[= ]([0-9a-fx]{1,18})\b")
#: A ring of msm's, and the number of its submit.
_RING = re.compile(r"\bring=([0-9]{1,3}):([0-9]{1,10})\b")
_FUNCTION = re.compile(r"function[= ](\S{1,64})")

#: Event -> (what it begins or ends, whether it ends it).
_PAIRS = {
    "irq_handler_entry": ("irq", False),
    "irq_handler_exit": ("irq", True),
    "softirq_entry": ("softirq", False),
    "softirq_exit": ("softirq", True),
    "workqueue_queue_work": ("queued", False),
    "workqueue_execute_start": ("work", False),
    "workqueue_execute_end": ("work", True),
    "dma_fence_emit": ("fence", False),
    "dma_fence_signaled": ("fence", True),
    "dma_fence_wait_start": ("fence wait", False),
    "dma_fence_wait_end": ("fence wait", True),
    "msm_gpu_submit_flush": ("GPU submit", False),
    "msm_gpu_submit_retired": ("GPU submit", True),
}

#: Fields that say which, and do not run up: a label of these is met again.
_STEADY = (
    "irq", "name", "vec", "action", "driver", "timeline", "context", "vdev", "vq", "type", "ring", "ret",
    "new_freq", "freq", "crtc",
)  # fmt: skip

#: Families of events that become marks.
_FAMILIES = (
    "irq_", "softirq_", "workqueue_", "dma_fence_", "msm_gpu_", "msm_gmu_", "msm_gem_", "virtio_gpu_cmd_",
    "drm_vblank_", "drm_sched_",
)  # fmt: skip


def is_timed(event: str) -> bool:
    """Tell whether an event is of a family that is kept for calibration."""
    return event.startswith(_FAMILIES)


def label_of(event: str, rest: str, cpu: int, pid: int) -> str:
    """Name an event by what does not run up: no pointers, sequence numbers or fences' numbers.

    Examples
    --------
    >>> label_of("irq_handler_entry", "irq=16 name=arm-smmu-v3-evtq", 0, 7)
    'irq_handler_entry irq=16 name=arm-smmu-v3-evtq cpu=0'
    """
    parts = [event]
    if function := _FUNCTION.search(rest):
        parts.append(f"function={function[1]}")
    parts += [f"{name}={value}" for name, value in _WORD.findall(rest) if name in _STEADY]
    if cpu >= 0:
        parts.append(f"cpu={cpu}")
    # The worker tells which start belongs to which end.
    if event.startswith("workqueue_execute") and pid >= 0:
        parts.append(f"pid={pid}")
    return " ".join(parts)


class Intervals:
    """The times between beginnings and their ends, by kind."""

    def __init__(self) -> None:
        self._open: dict[Hashable, tuple[str, int]] = {}
        self._times: dict[str, array[int]] = {}
        self._alone = 0

    def add(self, event: str, rest: str, t_ns: int, cpu: int, pid: int) -> None:
        """Note an event."""
        what, ends = _PAIRS.get(event, ("", False))
        if not what or t_ns < 0:
            return
        words = dict(_WORD.findall(rest))
        function, struct = _FUNCTION.search(rest), _STRUCT.search(rest)
        queued = ("queued", struct[1] if struct else "")
        names = (words[word] for word in ("name", "driver", "action") if word in words)
        name: str = function[1] if function else next(names, "")
        if what in ("irq", "softirq"):
            key: Hashable = (what, cpu, words.get("irq", words.get("vec")))
        elif what == "work":
            key = (what, pid)
        elif what == "queued":
            key = queued
        elif what == "GPU submit":
            ring = _RING.search(rest)
            if ring is None:
                return
            key, name = (what, *ring.groups()), f"ring {ring[1]}"
        else:
            key = (what, pid if what == "fence wait" else 0, words.get("driver"), words.get("timeline"),
                   words.get("context"), words.get("seqno"))  # fmt: skip
        if event == "workqueue_execute_start":
            self._end(queued, "", t_ns, quietly=True)
        if ends:
            self._end(key, name, t_ns)
            return
        if len(self._open) >= _MOST_OPEN:
            self._open.pop(next(iter(self._open)))
            self._alone += 1
        # Work may be queued again before it runs; any other beginning ends once.
        self._alone += key in self._open and what != "queued"
        said = " ".join(part for part in (what, words.get("irq", ""), name) if part)
        self._open[key] = (said, t_ns)

    def _end(self, key: Hashable, name: str, t_ns: int, quietly: bool = False) -> None:
        found = self._open.pop(key, None)
        if found is None:
            self._alone += not quietly
            return
        said, began = found
        if said not in self._times and len(self._times) >= _MOST_KINDS:
            said = "others"
        self._times.setdefault(said, array("q")).append(t_ns - began)

    def unpaired(self) -> int:
        """Count the beginnings and ends that have no other half; work that never ran is none of them."""
        return self._alone + sum(not said.startswith("queued") for said, _ in self._open.values())

    def lines(self) -> list[str]:
        """Say how long each kind took: how often, the median, the 99th percentile and the most."""
        said = []
        for name, times in sorted(self._times.items()):
            ordered = sorted(times)
            n = len(ordered)
            at = [ordered[n // 2], ordered[min(n - 1, n * 99 // 100)], ordered[-1]]
            said.append(f"{name}: {n:,}, median {at[0]:,} ns, 99th percentile {at[1]:,}, most {at[2]:,}")
        return said
