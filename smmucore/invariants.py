"""What must hold of the counters of every run, whatever the policy (design 9)."""

from __future__ import annotations

from collections.abc import Mapping


class InvariantError(AssertionError):
    """The counters of a run contradict each other: the model has a defect."""


def check(counters: Mapping[str, int]) -> None:
    """Raise InvariantError unless every invariant holds.

    * every translation was answered exactly once, by a micro-TLB, the TLB or a walk;
    * every injected fault is recorded, coalesced, lost or pending;
    * every access ended exactly once, or is pending;
    * every access bypassed, faulted globally, or belonged to a bank, where it was translated a first time, at
      most once, unless it was collateral;
    * RESUME is ignored, or retries, or terminates.
    """
    c = counters
    sums = {
        "utlb_hits + tlb_hits + walks = translations": (
            c["utlb_hits"] + c["tlb_hits"] + c["walks"],
            c["translations"],
        ),
        "faults_recorded + faults_coalesced + faults_lost + faults_pending = faults_injected": (
            c["faults_recorded"] + c["faults_coalesced"] + c["faults_lost"] + c["faults_pending"],
            c["faults_injected"],
        ),
        "completed + terminated + transactions_pending = accesses": (
            c["completed"] + c["terminated"] + c["transactions_pending"],
            c["accesses"],
        ),
    }
    for name, (left, right) in sums.items():
        if left != right:
            raise InvariantError(f"{name}: found {left} and {right}")
    first = c["translations"] - c["retried"]
    in_banks = c["accesses"] - c["bypassed"] - c["global_faults"]
    if not first <= in_banks <= first + c["collateral"]:
        raise InvariantError(
            "translations - retried <= accesses - bypassed - global_faults <= the same + collateral: "
            f"found {first}, {in_banks} and {c['collateral']}"
        )
    negative = [name for name, value in c.items() if value < 0]
    if negative:
        raise InvariantError(f"counters are never negative: found {', '.join(negative)}")
