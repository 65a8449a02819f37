"""An SMMUv3 with IOPF, one sentence a test (H13): an event queue, and a RESUME for each stalled access."""

from __future__ import annotations

from smmucore import hardware
from smmucore.policies import POLICIES
from traces import events as ev

from .test_scenarios import burst
from .twin import Case, Lane, run

V3 = "agilex5-mmu600"


def test_one_entry_takes_every_event_that_is_in_the_queue() -> None:
    c = burst("v3-iopf", "none", V3, faults=100, gap=0).counters
    assert c["irq_entries"] < 10
    assert c["faults_recorded"] == c["terminated"] == c["resume_written"] == 100
    assert c["irq_spurious"] == c["faults_lost"] == 0


def test_faults_of_one_bank_are_answered_one_by_one_while_all_stay_stalled() -> None:
    # A hundred stall at once, each with its own event; SMMUv2 tells of the next only after RESUME.
    v3 = burst("v3-iopf", "none", V3, faults=100, gap=0)
    v2 = burst("P16", "none", faults=100, gap=0)
    assert (v3.faults.t_recorded == v3.faults.t_arrived).all()
    assert (v2.faults.t_recorded > v2.faults.t_arrived).sum() == 99
    assert v3.counters["irq_entries"] < v2.counters["irq_entries"] == 100


def test_an_event_queue_that_is_full_drops_no_event_of_a_stalled_transaction() -> None:
    c = burst("v3-iopf", "none", f"{V3},events=4", faults=100, gap=0).counters
    assert (c["faults_recorded"], c["faults_lost"], c["resume_written"]) == (100, 0, 100)


def test_an_event_queue_overflows_where_faults_terminate() -> None:
    c = burst("v3-terminate", "none", f"{V3},events=4", faults=100, gap=0).counters
    assert c["faults_lost"] > 80
    assert c["faults_recorded"] + c["faults_lost"] == c["terminated"] == 100


def test_beyond_stall_max_a_fault_is_terminated() -> None:
    c = burst("v3-iopf", "none", f"{V3},stall_max=8", faults=100, gap=0).counters
    assert (c["resume_written"], c["terminated"]) == (8, 100)


def test_prod_is_read_once_for_all_events_that_it_tells_of() -> None:
    # The second fault comes while the first is handled: a read of PROD for each, and one that finds nothing.
    c = burst("v3-terminate", "none", V3, faults=1).counters
    assert (c["mmio_reads"], c["mmio_writes"], c["irq_entries"]) == (2, 1, 1)
    case = Case("v3-terminate", hardware=hardware.find(V3), lanes=(Lane(requester=0, count=3, iova=1 << 40),))
    c = run(case).counters
    assert (c["mmio_reads"], c["mmio_writes"], c["irq_entries"]) == (2, 3, 1)


def test_the_policies_of_smmuv3_are_about_it_and_no_others_are() -> None:
    v3 = {"v3-iopf", "v3-terminate"}
    for name, chip in hardware.PRESETS.items():
        about = {key for key, row in POLICIES.items() if row.is_about(chip)}
        assert about == v3 if chip.events else not about & v3, name


def test_iopf_pages_in_sooner_on_smmuv3_than_on_smmuv2_and_with_fewer_interrupts() -> None:
    # Forty pages, none of them mapped until it is touched, all touched at once.
    mapped = (0, ev.MAP, 0, 1 << 20, 40 * 4096, 1 << 30, ev.PROT_READ)
    touched = tuple((1000, ev.READ, 0, (1 << 20) + k * 4096, 64, 0, 0) for k in range(40))
    made = {
        policy: run(
            Case(policy, "pager", hardware.find(chip), events=(mapped, *touched), demand=True)
        ).counters
        for policy, chip in (("P16", "mmu500"), ("v3-iopf", V3))
    }
    for c in made.values():
        assert (c["retried"], c["completed"], c["terminated"]) == (40, 40, 0)
    assert made["v3-iopf"]["irq_entries"] < made["P16"]["irq_entries"] == 40
    assert made["v3-iopf"]["makespan_ns"] < made["P16"]["makespan_ns"]
