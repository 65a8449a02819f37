"""One word for what a policy did."""

from __future__ import annotations

from collections.abc import Mapping

#: From worst to best; the first that holds is the verdict.
VERDICTS = {
    "crash": "a register was accessed while the SMMU slept",
    "line-disabled": "the spurious-interrupt detector turned the line off",
    "livelock": "interrupts go on and nothing resolves",
    "hang": "a stall remains and nobody is left to resolve it",
    "stray": "a RESUME hit another fault than the one meant",
    "lossy": "a fault's record was lost",
    "storm": "entries went on for as long as a fault was pending",
    "spurious": "extra entries, bounded for each fault",
    "safe": "one entry for each recorded fault, all resolved",
}


def verdict(counters: Mapping[str, int], *, hang: bool, livelock: bool, disabled: bool, stormed: bool) -> str:
    """Return the verdict of a run.

    >>> from collections import Counter
    >>> verdict(Counter(irq_spurious=3), hang=False, livelock=False, disabled=False, stormed=False)
    'spurious'
    """
    holds = {
        "crash": counters["mmio_asleep"] > 0,
        "line-disabled": disabled,
        "livelock": livelock,
        "hang": hang,
        "stray": counters["resume_stray"] > 0,
        "lossy": counters["faults_lost"] > 0,
        "storm": stormed,
        "spurious": counters["irq_spurious"] > 0,
        "safe": True,
    }
    return next(name for name in VERDICTS if holds[name])
