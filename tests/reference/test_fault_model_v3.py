"""An SMMUv3's event queue in the plain-Python model, with numbers worked out by hand (docs/decisions/0009).

Times are in ns; COSTS and the first steps of a fault are as in test_fault_model: it arrives at 116, is taken
at 316, and its thread is awake at 3316.  NEXT_EVENT costs 120, and 100 more where PROD is read.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traces import events as ev

from .fault_model import Lane, Machine, Outcome, simulate
from .fault_model_queue import FaultEvent
from .test_fault_model import (
    COSTS,
    MAPPED,
    MMU500,
    ONE_CPU,
    OWN_CPUS,
    PAGE,
    RW,
    WILD,
    conserved,
    counted,
    mapping,
    read,
    setup_of,
)

V3 = MMU500 | {"events": 8, "stall_max": 8, "tbus": 2}
V3_COSTS = COSTS | {"event_read": 120, "cmd_issue": 300}
TWO_BANKS = [(7, 0, 0), (8, 1, 1)]
THREE = (read(0), read(10), read(20))


def run(policy: str, client: str, hw: dict[str, Any], *events: Any, **more: Any) -> Outcome:
    more = {"costs": V3_COSTS} | more
    return simulate(setup_of(policy, client, V3 | hw, *events, **more))


def times(outcome: Outcome, column: str) -> list[int | None]:
    return [row[column] for row in outcome.faults]


# --- the queue -------------------------------------------------------------------------------------------


def test_an_entry_drains_several_events_with_one_read_of_prod():
    # NEXT_EVENT 3536, lines 6536, 6656, 9656, 9776, 12776; the last look 12996 finds nothing; unmask 13296.
    outcome = run("v3-terminate", "none", {}, *THREE)
    counted(outcome, irq_entries=1, irq_spurious=0, irq_none=0, faults_recorded=3, mmio_reads=2,
            mmio_writes=3, log_lines=9, terminated=3, resume_written=0, stalled_ns=0, makespan_ns=136,
            cpu_irq_ns=1400, cpu_thread_ns=11_980, cpu_work_ns=0)  # fmt: skip
    assert times(outcome, "t_irq") == [316, 316, 316]
    assert outcome.verdict == "safe"


def test_the_last_look_finds_what_has_arrived_by_its_end():
    # NEXT_EVENT 3536, lines 6536, NEXT_EVENT 6756 (a fault arrives just then), lines 9756, 9976, 10276.
    outcome = run("v3-terminate", "none", {}, read(0), read(6640))
    counted(outcome, irq_entries=1, mmio_reads=3, mmio_writes=2, cpu_thread_ns=8960)
    assert times(outcome, "t_irq") == [316, 316]


def test_what_arrives_after_the_last_look_is_taken_when_the_line_opens():
    # Nothing at 6756, unmask 7056, taken at once; the second thread needs as long as the first.
    outcome = run("v3-terminate", "none", {}, read(0), read(6641))
    counted(outcome, irq_entries=2, irq_spurious=0, mmio_reads=4, mmio_writes=2, cpu_thread_ns=11_480)
    assert times(outcome, "t_irq") == [316, 7056]
    assert times(outcome, "t_recorded") == [116, 6757]


def test_held_events_enter_in_order_as_room_comes():
    # NEXT_EVENT 3536, queued 4236, 4456, 5156, 5376, 6076, last look 6296: PROD is read each time.  The
    # worker is awake at 7236: report 7296, lines 10296, CMD_RESUME 10596, then 3360 for each.
    outcome = run("v3-iopf", "none", {"events": 1}, *THREE)
    counted(outcome, irq_entries=1, faults_recorded=3, faults_lost=0, faults_pending=0, mmio_reads=4,
            mmio_writes=3, resume_written=3, resume_ignored=0, resume_stray=0, terminated=3, log_lines=9,
            stalled_ns=17_200, cpu_thread_ns=5280, cpu_work_ns=13_080)  # fmt: skip
    assert times(outcome, "t_recorded") == [116, 3536, 4456]
    assert times(outcome, "t_resumed") == [10_596, 13_956, 17_316]
    assert outcome.verdict == "safe"


def test_held_events_are_pending_while_there_is_no_room():
    outcome = run("v3-iopf", "none", {"events": 1}, *THREE, livelock_limit=1)
    counted(outcome, faults_injected=3, faults_recorded=1, faults_pending=2, stalled_ns=3316 - 116)
    assert outcome.verdict == "livelock"


def test_an_overflow_loses_what_was_terminated():
    outcome = run("v3-terminate", "none", {"events": 1}, *THREE)
    counted(outcome, faults_recorded=1, faults_lost=2, terminated=3, log_lines=3, mmio_writes=1)
    assert outcome.verdict == "lossy"


def test_an_overflow_holds_what_stalls_and_loses_what_does_not():
    outcome = run("v3-iopf", "none", {"events": 1, "stall_max": 2}, *THREE)
    counted(outcome, faults_recorded=2, faults_lost=1, resume_written=2, terminated=3)
    assert [row["record"] for row in outcome.faults] == ["recorded", "recorded", "lost"]
    assert times(outcome, "t_retired") == [10_596, 13_956, 136]


def test_no_more_than_stall_max_transactions_stall():
    # The second event has no SS: NEXT_EVENT 3536, queued 4236, 4356, lines 7356, last look 7576, unmask 7876.
    outcome = run("v3-iopf", "none", {"stall_max": 1}, read(0), read(10))
    counted(outcome, faults_recorded=2, faults_lost=0, mmio_reads=2, resume_written=1, log_lines=6,
            stalled_ns=10_480, cpu_thread_ns=6560)  # fmt: skip
    assert times(outcome, "t_retired") == [10_596, 126]


@pytest.mark.parametrize(("t", "stalls"), [(10_480, False), (10_481, True)])
def test_a_resume_makes_room_for_another_stall(t, stalls):
    # CMD_RESUME ends at 10596; what arrives at that instant comes first.
    outcome = run("v3-iopf", "none", {"stall_max": 1}, read(0), read(t))
    counted(outcome, resume_written=1 + stalls)
    assert (outcome.faults[1]["t_resumed"] is not None) == stalls


def test_nothing_stalls_where_stall_max_is_0():
    counted(run("v3-iopf", "none", {"stall_max": 0}), resume_written=0, terminated=1, cpu_work_ns=0)


# --- the worker and its clients --------------------------------------------------------------------------


def test_cmd_resume_retries_what_the_pager_has_mapped():
    # Queued 4236; awake 7236, report 7296, mapped 9796, CMD_RESUME 10096, and a walk of 416.
    outcome = run("v3-iopf", "pager", {}, mapping(0, PAGE), read(0, PAGE), demand=True)
    counted(outcome, retried=1, terminated=0, resume_written=1, log_lines=0, mmio_reads=2, mmio_writes=1,
            stalled_ns=9980, makespan_ns=10_512, cpu_thread_ns=3440, cpu_work_ns=5860)  # fmt: skip
    assert outcome.verdict == "safe"


@pytest.mark.parametrize(
    ("client", "resumed", "lines"),
    [("none", 10_596, 3), ("pager", 10_096, 0), ("einval", 7596, 0), ("adreno-nodump", 8996, 1)],
)
def test_cmd_resume_terminates_otherwise(client, resumed, lines):
    # Report 7296; then three lines, a page that is not there, nothing, or four reads and a line.
    outcome = run("v3-iopf", client, {}, read(0))
    counted(outcome, retried=0, terminated=1, makespan_ns=resumed, log_lines=lines)


def test_an_adreno_client_dumps_in_the_worker():
    counted(run("v3-iopf", "adreno-worker", {}), makespan_ns=108_996, cpu_work_ns=104_760)


def test_tbu_debug_writes_a_resume_that_is_ignored():
    # Soft walk 8096, SCTLR 8246, FSR 8296, RESUME 8346, SCTLR 8396, halt and ATOS 18396, line 19396.
    outcome = run("v3-iopf", "tbu-debug", {})
    counted(outcome, resume_written=2, resume_ignored=1, makespan_ns=19_696, mmio_reads=3, mmio_writes=5)


def test_a_cool_down_turns_stalls_off_in_the_bank_of_the_event():
    # Four reads 7696, SCTLR 7846, line 8846, capture 108846, CMD_RESUME 109146.
    events = (read(0, WILD, 1), read(20_000, WILD, 1), read(30_000))
    outcome = run("v3-iopf", "adreno-cooldown", {}, *events, requesters=TWO_BANKS)
    assert times(outcome, "t_resumed")[:2] == [109_146, None]
    assert outcome.faults[2]["t_resumed"] is not None


def test_a_cmd_resume_of_what_is_not_stalled_is_ignored():
    machine = Machine(setup_of("v3-iopf", "none", V3, read(0), costs=V3_COSTS))
    assert machine.run() == "complete"
    assert machine.queue is not None
    machine.queue.resume(FaultEvent(machine.faults[0], ss=True), retry=False)
    assert machine.counters["resume_ignored"] == 1
    assert machine.counters["terminated"] == 1


# --- banks, and what of them plays no part ---------------------------------------------------------------


@pytest.mark.parametrize("shared_line", [False, True])
def test_two_banks_share_one_queue_one_line_and_one_worker(shared_line):
    # NEXT_EVENT 3536, queued 4236, 4356, 5056, last look 5276, unmask 5576.
    events = (read(0), read(0, WILD, 1))
    outcome = run("v3-iopf", "none", {"shared_line": shared_line}, *events, requesters=TWO_BANKS)
    counted(outcome, irq_entries=1, mmio_reads=2, mmio_writes=2, resume_written=2, resume_stray=0,
            stalled_ns=13_840, cpu_irq_ns=1400, cpu_thread_ns=4260, cpu_work_ns=9720)  # fmt: skip
    assert times(outcome, "t_resumed") == [10_596, 13_956]


@pytest.mark.parametrize(("limit", "hangchecks"), [(13_839, 1), (13_840, 0)])
def test_the_hang_check_looks_at_the_time_in_which_anything_was_stalled(limit, hangchecks):
    costs = V3_COSTS | {"hangcheck": limit}
    outcome = run("v3-iopf", "none", {}, read(0), read(0, WILD, 1), requesters=TWO_BANKS, costs=costs)
    counted(outcome, hangchecks=hangchecks)


def test_the_pager_maps_in_the_space_of_the_event():
    page = (0, ev.MAP, 0, 1, PAGE, 0x1000, 0x8000_0000, RW)
    outcome = run("v3-iopf", "pager", {}, page, read(0, PAGE, 1), demand=True, requesters=TWO_BANKS)
    counted(outcome, retried=1, terminated=0)


def test_kgsl_ends_the_stalls_of_the_bank_of_the_event():
    # SCTLR 7446, line 8446, capture 108446, seven registers 108896, CMD_RESUME 109196.  Then bank 0 stalls.
    events = (read(0, WILD, 1), read(200_000), read(200_000, WILD, 1))
    outcome = run("v3-iopf", "kgsl", {}, *events, requesters=TWO_BANKS)
    counted(outcome, resume_written=4, resume_ignored=2, terminated=3)
    assert times(outcome, "t_resumed") == [109_196, 209_196, None]


def test_rules_of_context_banks_play_no_part():
    events = (*THREE, read(50, WILD, 1))
    expected = run("v3-iopf", "tbu-debug", {}, *events, requesters=TWO_BANKS)
    other: dict[str, Any] = {name: not value for name, value in MMU500.items() if isinstance(value, bool)}
    other["second_fault"] = "terminate"
    assert run("v3-iopf", "tbu-debug", other, *events, requesters=TWO_BANKS) == expected


# --- runtime PM ------------------------------------------------------------------------------------------


def test_waking_empties_the_queue():
    # Terminated at 116, asleep from 216, with its line down.
    outcome = run("v3-terminate", "none", {}, read(0), read(1000), suspend_after=100)
    counted(outcome, irq_entries=0, faults_recorded=1, faults_lost=1)
    assert outcome.verdict == "lossy"


def test_an_entry_that_took_nothing_is_spurious():
    # Taken 316, asleep from 1616, woken at 3000; the only look ends at 3536, unmask 3836.
    outcome = run("v3-terminate", "none", {}, read(0), read(3000, PAGE), premapped=MAPPED, suspend_after=1500)
    counted(outcome, irq_entries=1, irq_spurious=1, irq_none=0, faults_lost=1, mmio_reads=1, mmio_writes=0,
            log_lines=0, cpu_thread_ns=2520)  # fmt: skip


def test_waking_makes_the_driver_forget_what_it_knew_of():
    # NEXT_EVENT 3536, asleep from 4126, woken at 5000; lines 6536, PROD again 6756.
    events = (read(0), read(10), read(5000, PAGE))
    outcome = run("v3-terminate", "none", {}, *events, premapped=MAPPED, suspend_after=4000)
    counted(outcome, irq_entries=1, faults_recorded=1, faults_lost=1, mmio_reads=2, mmio_writes=1,
            irq_spurious=0, cpu_thread_ns=5740)  # fmt: skip


def test_next_event_needs_an_smmu_that_is_awake():
    outcome = run("v3-terminate", "none", {}, suspend_after=1500)
    counted(outcome, mmio_asleep=1, mmio_reads=0, irq_entries=1)
    assert outcome.verdict == "crash"


# --- properties ------------------------------------------------------------------------------------------

CLIENTS = ["none", "pager", "adreno-worker", "adreno-cooldown", "gmu-wait", "tbu-debug", "kgsl", "einval"]


@settings(max_examples=150, deadline=None)
@given(
    policy=st.sampled_from(["v3-iopf", "v3-terminate"]),
    client=st.sampled_from(CLIENTS),
    hw=st.builds(
        dict,
        events=st.sampled_from([1, 2, 16]),
        stall_max=st.sampled_from([0, 1, 3, 16]),
        slots=st.sampled_from([2, 128]),
    ),
    n=st.integers(1, 8),
    gap=st.sampled_from([0, 150, 5000, 60_000]),
    suspend_after=st.sampled_from([0, 0, 1, 2000, 30_000]),
    dump_kept=st.sampled_from([0, 20_000, 10**12]),
    cpus=st.sampled_from([OWN_CPUS, ONE_CPU]),
)
def test_nothing_gets_out_of_the_books(policy, client, hw, n, gap, suspend_after, dump_kept, cpus):
    costs = V3_COSTS | {"capture": 20_000, "dump_kept": dump_kept}
    lanes = [Lane(0, gap, n, k, ev.READ, WILD, 0x1000, 3, deadline_ns=9000) for k in (0, 1)]
    outcome = run(policy, client, hw, mapping(0, PAGE), lanes=lanes, cpus=cpus, livelock_limit=100,
                  costs=costs, requesters=TWO_BANKS, suspend_after=suspend_after, retry_limit=50)  # fmt: skip
    conserved(outcome)
    counters = outcome.counters
    assert counters["resume_stray"] == counters["faults_coalesced"] == counters["collateral"] == 0
    assert counters["irq_none"] == 0
    assert counters["mmio_asleep"] == 0 or suspend_after
    if policy == "v3-terminate":
        assert counters["stalled_ns"] == counters["resume_written"] == counters["cpu_work_ns"] == 0
    for row in outcome.faults:
        assert row["record"] != "lost" or row["t_resumed"] is None
    if outcome.completed:
        assert counters["accesses"] == 2 * n
        assert counters["faults_pending"] == outcome.transactions_pending == 0
