"""Runtime PM, deadlines and the hang check in the plain-Python model, with numbers worked out by hand.

Times are in ns; COSTS and the first steps of a fault are as in test_fault_model: it arrives at 116 and is
taken at 316, a hard handler starts at 816, a thread at 3316.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traces import events as ev

from .fault_model import Lane, Machine
from .fault_model_bank import FSR_FAULT_BITS
from .fault_model_dump import Dumps
from .fault_model_policies import Pass
from .test_fault_model import (
    COSTS,
    IDEAL,
    MAPPED,
    MMU500,
    ONE_CPU,
    OWN_CPUS,
    PAGE,
    SMMU_V2,
    WILD,
    conserved,
    counted,
    mapping,
    read,
    run,
    setup_of,
)

NO_STALLS = MMU500 | {"stalls": False}


# --- runtime PM ------------------------------------------------------------------------------------------


def test_a_register_that_is_read_while_the_smmu_sleeps_takes_the_machine_down():
    # Terminated at 116, asleep from 416; the handler's first read ends at 916.
    outcome = run("P1", suspend_after=300)
    counted(outcome, mmio_asleep=1, mmio_reads=0, irq_entries=1, cpu_irq_ns=600)
    assert outcome.verdict == "crash"
    assert not outcome.completed


def test_the_line_of_a_sleeping_smmu_is_down():
    outcome = run("P1", suspend_after=100)
    counted(outcome, irq_entries=0, mmio_asleep=0, faults_recorded=1)
    assert outcome.completed


def test_waking_clears_fsr():
    outcome = run("P1", "none", MMU500, read(0), read(1000), suspend_after=100)
    counted(outcome, irq_entries=0, faults_recorded=1, faults_coalesced=0, faults_lost=1)
    assert outcome.verdict == "lossy"


@pytest.mark.parametrize(("after", "awake"), [(884, 0), (885, 1)])
def test_the_smmu_sleeps_at_the_very_end_of_its_delay(after, awake):
    # Terminated at 116.  At 1000 the fault is still outstanding, with HUPCF clear, or the banks are reset.
    costs = COSTS | {"irq_delivery": 2000}
    outcome = run("P1", "none", MMU500, read(0), read(1000), suspend_after=after, costs=costs)
    counted(outcome, collateral=awake, faults_lost=1 - awake, irq_entries=0)


def test_p11_touches_nothing_while_the_smmu_sleeps():
    # Awake 3316, asleep since 1116: PM_GET 3356, unmask 3656.
    outcome = run("P11", "none", NO_STALLS, suspend_after=1000)
    counted(
        outcome, irq_entries=1, irq_none=1, irq_spurious=1, mmio_reads=0, mmio_asleep=0, cpu_thread_ns=2340
    )


def test_p11_keeps_the_smmu_awake_where_p8_crashes():
    # It would sleep at 4116, while the three lines are printed.
    counted(run("P8", "none", NO_STALLS, suspend_after=4000), mmio_reads=4, mmio_writes=0, mmio_asleep=1)
    outcome = run("P11", "none", NO_STALLS, suspend_after=4000)
    # PM_GET 3356, reads 3756, check, report 3836, lines 6836, FSR 6886, PM_PUT 6896, unmask 7196.
    counted(outcome, mmio_reads=4, mmio_writes=1, mmio_asleep=0, cpu_thread_ns=5880)
    assert outcome.verdict == "safe"


def test_a_stalled_transaction_keeps_the_smmu_awake():
    counted(run("P8", suspend_after=1), resume_written=1, mmio_asleep=0, makespan_ns=6896)


def test_a_worker_does_not_inherit_the_use_of_the_pass_that_queued_it():
    machine = Machine(setup_of("P11", "adreno-worker", suspend_after=1_000_000))
    assert machine.run() == "complete"
    assert machine.power.users == 0


def test_pm_get_wakes_and_resets_the_banks():
    machine = Machine(setup_of("P9", suspend_after=100))
    machine.now = 100
    bank, p = machine.banks[0], Pass()
    bank.fsr = FSR_FAULT_BITS
    assert machine.power.asleep
    machine.power.get(p)
    assert not machine.power.asleep
    assert bank.fsr == 0
    machine.now = 500
    machine.power.put(p)
    machine.now = 599
    assert not machine.power.asleep
    machine.now = 600
    assert machine.power.asleep


# --- deadlines, the hang check, dumps --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "client", "first", "deadline", "missed"),
    [
        ("P8", "adreno-cooldown", 10, 7000, 1),
        ("P8", "gmu-wait", 10, 7000, 0),
        ("P10", "adreno-inline", 10, 7000, 0),
        ("P9", "adreno-inline", 10, 7000, 1),
        ("P8", "gmu-wait", 10, 1500, 1),  # due before the dump
        ("P8", "gmu-wait", 5600, 446, 1),  # due at the first instant of the dump, and then at 106492
        ("P8", "gmu-wait", 5600, 515, 1),
        ("P8", "gmu-wait", 5600, 516, 0),  # due at 106046 + 516
    ],
)
def test_a_deadline_in_a_capture_counts_from_its_end(policy, client, first, deadline, missed):
    # The only slot is free at 106146, after a capture from 6046 to 106046: a walk, ended at 106562.
    beat = Lane(first, 10, 1, 0, ev.READ, PAGE, 0, 0, deadline)
    outcome = run(policy, client, MMU500 | {"slots": 1}, read(0), lanes=[beat], premapped=MAPPED)
    counted(outcome, watchdogs=missed, makespan_ns=106_562)


def test_captures_that_overlap_are_one():
    dumps = Dumps(kept=0)
    for event in ("begin 100", "begin 150", "end 200", "end 300"):
        what, when = event.split()
        getattr(dumps, what)(int(when))
    assert not dumps.missed(0, 120, 420)
    assert dumps.missed(0, 120, 421)
    assert dumps.within(0, 250) == 150


def test_a_deadline_in_a_capture_that_still_runs_is_not_missed():
    dumps = Dumps(kept=0)
    dumps.begin(100)
    assert not dumps.missed(0, 100, 10**9)
    assert dumps.missed(0, 99, 10**9)
    assert dumps.within(50, 130) == 30


def test_deadlines_may_fall_into_one_capture_after_another():
    dumps = Dumps(kept=0)
    dumps.past = [(100, 200), (250, 400)]
    assert not dumps.missed(0, 100, 500)
    assert dumps.missed(0, 100, 501)


def test_a_dump_is_there_from_its_end_until_it_expires():
    dumps = Dumps(kept=10)
    dumps.begin(5)
    assert not dumps.exists(6)
    dumps.end(8)
    assert [dumps.exists(t) for t in (8, 17, 18)] == [True, True, False]


@pytest.mark.parametrize(("client", "lasted"), [("none", 6780), ("adreno-inline", 5880)])
def test_a_stall_that_lasts_too_long_is_a_hangcheck_but_for_its_captures(client, lasted):
    # 116 to 6896; or to 105996, of which 100000 are the capture.
    for limit, hangchecks in ((lasted - 1, 1), (lasted, 0)):
        counted(run("P8", client, costs=COSTS | {"hangcheck": limit}), hangchecks=hangchecks)


def test_a_stall_that_never_ends_is_judged_at_the_end_of_the_run():
    # P4's exit ends at 2596.
    for limit, hangchecks in ((2479, 1), (2480, 0)):
        counted(run("P4", "none", IDEAL, costs=COSTS | {"hangcheck": limit}), hangchecks=hangchecks)


# --- properties --------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    policy=st.sampled_from(["P8", "P9", "P10", "P11", "P14", "P15", "P17", "P13", "P3"]),
    client=st.sampled_from(
        [
            "none",
            "pager",
            "adreno-worker",
            "adreno-inline",
            "adreno-cooldown",
            "gmu-wait",
            "tbu-debug",
            "kgsl",
        ]
    ),
    hw=st.builds(
        lambda base, **more: base | more,
        st.sampled_from([MMU500, IDEAL, SMMU_V2, NO_STALLS]),
        shared_line=st.booleans(),
        sync_waits_for_stall=st.booleans(),
        slots=st.sampled_from([2, 128]),
    ),
    n=st.integers(1, 8),
    gap=st.sampled_from([0, 150, 5000, 60_000]),
    suspend_after=st.sampled_from([0, 0, 1, 2000, 30_000]),
    dump_kept=st.sampled_from([0, 20_000, 10**12]),
    cpus=st.sampled_from([OWN_CPUS, ONE_CPU]),
)
def test_nothing_gets_out_of_the_books(policy, client, hw, n, gap, suspend_after, dump_kept, cpus):
    costs = COSTS | {"capture": 20_000, "dump_kept": dump_kept}
    lanes = [Lane(0, gap, n, k, ev.READ, WILD, 0x1000, 3, deadline_ns=9000) for k in (0, 1)]
    outcome = run(policy, client, hw, mapping(0, PAGE), lanes=lanes, cpus=cpus, livelock_limit=100,
                  costs=costs, requesters=[(7, 0, 0), (8, 1, 0)], suspend_after=suspend_after,
                  retry_limit=50)  # fmt: skip
    conserved(outcome)
    counters = outcome.counters
    assert counters["mmio_asleep"] == (outcome.verdict == "crash")
    assert counters["mmio_asleep"] == 0 or suspend_after
    assert counters["tlb_syncs"] <= counters["tlbi_writes"]
    assert counters["hangchecks"] <= counters["faults_injected"]
    if outcome.completed:
        assert counters["accesses"] == 2 * n
        assert outcome.transactions_pending == 0
