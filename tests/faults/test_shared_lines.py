"""Banks that share a line, one sentence a test (H11): who is looked at, and the race of two banks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from smmucore import clients, costs, hardware, policies
from smmucore.policy import Policy
from smmucore.simulate import Lane, Outcome, Requester, Setup, simulate
from smmucore.spaces import linux
from smmucore.steps import LOCK, UNLOCK

MS = 1_000_000


def two_banks(
    policy: Policy, client: str, lanes: tuple[Lane, ...], shared: str = "yes", **ns: int
) -> Outcome:
    """Run faults of two banks whose lines are one."""
    setup = Setup(
        policy,
        clients.find(client),
        hardware.find(f"mmu500,shared_line={shared}"),
        costs.profile().with_values(ns),
        [Requester(1, 0), Requester(2, 1)],
        linux(48) * 2,
        {"irq": 0, "thread": 0, "worker": 1},
        lanes,
    )
    return simulate(setup, [])


def faults(bank: int, count: int, **more: Any) -> Lane:
    return Lane(requester=bank, count=count, iova=1 << 40, **more)


def without_locks(policy: Policy) -> Policy:
    def bare(steps: Any) -> Any:
        return tuple(step for step in steps if step.op not in (LOCK, UNLOCK))

    return replace(policy, handler=bare(policy.handler), client_resume=bare(policy.client_resume))


def test_one_entry_serves_both_banks_of_a_shared_line() -> None:
    both = (faults(0, 1), faults(1, 1))
    for policy in ("P1", "P8"):
        own = two_banks(policies.find(policy), "none", both, shared="no").counters
        one = two_banks(policies.find(policy), "none", both).counters
        assert (own["irq_entries"], own["irq_spurious"]) == (2, 0)
        assert (one["irq_entries"], one["irq_spurious"], one["irq_none"]) == (1, 0, 0)
        assert one["faults_recorded"] == one["terminated"] == 2


def test_a_bank_without_a_fault_costs_a_shared_line_one_read_and_a_check() -> None:
    own = two_banks(policies.find("P1"), "none", (faults(0, 1),), shared="no").counters
    one = two_banks(policies.find("P1"), "none", (faults(0, 1),)).counters
    assert one["mmio_reads"] - own["mmio_reads"] == 1
    cost = costs.profile().costs
    assert one["cpu_irq_ns"] - own["cpu_irq_ns"] == cost["mmio_read"].ns + cost["check"].ns
    assert one["irq_none"] == 0  # the other bank's pass has handled it


def test_p15_reads_every_bank_whether_lines_are_shared_or_not() -> None:
    for shared in ("yes", "no"):
        c = two_banks(policies.find("P15"), "none", (faults(0, 10, gap=MS),), shared).counters
        # FSR of both banks; FSYNR0, FAR and CBFRSYNRA of the one that has a fault.
        assert (c["irq_entries"], c["mmio_reads"], c["mmio_writes"]) == (10, 50, 10)


def test_the_threads_of_a_shared_line_run_one_after_the_other_under_one_entry() -> None:
    # Bank 0's captures a dump for 20 ms; bank 1's comes after it, and finds what has happened at 5 ms.
    c = two_banks(policies.find("P8"), "adreno-inline", (faults(0, 1), faults(1, 1, first=5 * MS))).counters
    assert (c["irq_entries"], c["irq_spurious"], c["terminated"]) == (1, 0, 2)


def test_p6_without_its_lock_leaves_cfie_on_under_a_stall_when_the_line_is_shared() -> None:
    # Bank 1's worker has written RESUME and not yet CFIE when bank 0's fault brings the handler, which sees
    # bank 1's next fault too, and masks it: then the worker lets the interrupt through, under the stall.
    p6 = policies.find("P6")
    spurious = {True: 0, False: 0}
    for first in range(100_000, 130_000, 100):
        lanes = (faults(0, 1, first=first), faults(1, 2, gap=1000))
        for locked in spurious:
            policy = p6 if locked else without_locks(p6)
            c = two_banks(policy, "adreno-worker", lanes, capture=100_000, dump_kept=0).counters
            spurious[locked] += c["irq_spurious"]
    assert spurious[False] > spurious[True]
