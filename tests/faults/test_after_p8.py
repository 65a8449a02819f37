"""What came after P8, one sentence a test: cool-down, waits for a dump, runtime PM; retry once; ATOS."""

from __future__ import annotations

import pytest

from smmucore import clients, policies
from smmucore.program import listing

from .test_scenarios import MS, burst


def test_p9_keeps_the_gmus_deadline_under_100_000_faults_and_p8_does_not() -> None:
    p8, p9 = (burst(policy, faults=100_000, gap=1000, beats=1000).counters for policy in ("P8", "P9"))
    # P8 serves the faults one by one, and all the while the stalled ones hold the TBU's slots.
    assert (p8["resume_written"], p8["faults_recorded"]) == (100_000, 100_000)
    assert p8["watchdogs"] > 900
    # P9 turns stall off at the first: the queue behind it drains by termination at the one RESUME.
    assert (p9["resume_written"], p9["watchdogs"]) == (1, 0)
    assert p9["terminated"] == 100_000


def test_p9_stalls_again_at_the_first_submit_after_the_cool_down() -> None:
    # Faults 600 ms apart: the cool-down of 500 ms is over, and a frame has been submitted, before each.
    c = burst("P9", gap=600 * MS).counters
    assert (c["resume_written"], c["terminated"]) == (10, 10)
    # 400 ms apart: each fault puts the end of the cool-down off, so that only the first stalls.
    c = burst("P9", gap=400 * MS).counters
    assert (c["resume_written"], c["terminated"]) == (1, 10)


def test_a_submit_waits_for_the_crash_dump_to_be_gone() -> None:
    short = burst("P9", "adreno-inline", gap=600 * MS, dump_kept=50 * MS).counters
    kept = burst("P9", "adreno-inline", gap=600 * MS).counters
    assert (short["resume_written"], kept["resume_written"]) == (10, 1)


def test_p9_takes_a_dump_only_of_a_stalled_fault() -> None:
    assert burst("P9", "adreno-inline", faults=1).counters["cpu_thread_ns"] > 20 * MS
    assert burst("P9", "adreno-inline", "thunderx-smmuv2", faults=1).counters["cpu_thread_ns"] < MS
    assert burst("P8", "adreno-inline", "thunderx-smmuv2", faults=1).counters["cpu_thread_ns"] > 20 * MS


def test_the_client_with_a_cool_down_makes_p8_into_p9() -> None:
    for preset in ("mmu500", "qcom-smmu-v2", "ideal"):
        ours = burst("P8", "adreno-cooldown", preset, gap=600 * MS)
        theirs = burst("P9", "adreno-inline", preset, gap=600 * MS)
        assert ours.counters == theirs.counters


def test_the_gmu_waits_for_the_dump_under_p10_and_with_its_client() -> None:
    # Faults that fill the TBU's slots before stall is off: they stay until the dump is captured.
    starved = {"faults": 2000, "gap": 1, "beats": 100, "capture": 30 * MS}
    late = burst("P9", "adreno-inline", **starved).counters["watchdogs"]
    assert late > 0
    assert burst("P10", "adreno-inline", **starved).counters["watchdogs"] < late
    assert (
        burst("P8", "gmu-wait", **starved).counters["watchdogs"]
        == (burst("P10", "adreno-inline", **starved).counters["watchdogs"])
    )


def test_a_thread_that_prints_for_longer_than_the_smmu_stays_awake_brings_the_machine_down() -> None:
    # Three lines at 115200 baud take 25.9 ms; the fault was terminated, and the SMMU sleeps after 20 ms.
    asleep = {"preset": "thunderx-smmuv2", "faults": 1, "console": "serial-115200", "sleeps_after": 20 * MS}
    outcome = burst("P8", "none", **asleep)
    assert (outcome.verdict, outcome.counters["mmio_asleep"]) == ("crash", 1)
    assert burst("P11", "none", **asleep).verdict == "safe"
    assert burst("P8", "none", **{**asleep, "sleeps_after": 40 * MS}).verdict == "safe"
    assert burst("P8", "none", **{**asleep, "preset": "mmu500"}).verdict == "safe"  # a stall keeps it awake


def test_p11_touches_no_register_of_an_smmu_that_sleeps_and_loses_the_fault() -> None:
    # Asleep after 1 us, before the thread runs; the next access wakes it, and the driver's resume clears FSR.
    outcome = burst("P11", "none", "thunderx-smmuv2", faults=2, sleeps_after=1000)
    c = outcome.counters
    assert (c["mmio_asleep"], c["irq_none"], c["mmio_reads"]) == (0, 2, 0)
    assert (c["faults_lost"], c["faults_recorded"], outcome.verdict) == (1, 1, "lossy")
    assert burst("P9", "none", "thunderx-smmuv2", faults=2, sleeps_after=1000).verdict == "crash"


def test_p14_retries_a_fault_once_and_the_second_time_goes_the_vendors_way() -> None:
    c = burst("P14", "none", "mmu500,sync_waits_for_stall=no").counters
    assert (c["faults_injected"], c["retried"], c["terminated"]) == (20, 10, 10)
    assert (c["tlbi_writes"], c["tlb_syncs"], c["tlb_sync_reads"], c["tlb_sync_timeouts"]) == (10, 10, 10, 0)


def test_a_tlbsync_that_waits_for_the_stalled_transaction_gives_up_after_a_second() -> None:
    outcome = burst("P14", "none", faults=1)
    c = outcome.counters
    # Twenty rounds of ten reads, and delays of 1 us to 2^19 us between them.
    assert (c["tlb_syncs"], c["tlb_sync_reads"], c["tlb_sync_timeouts"]) == (1, 200, 1)
    assert 2**20 * 1000 < c["stalled_ns"] < 2**20 * 1000 + MS


def test_p14_never_ends_with_two_faults_that_wait_for_one_another() -> None:
    # The retried one goes behind the other, so that the address is new each time.
    together = {"faults": 2, "gap": 0, "client": "none"}
    assert burst("P14", preset="mmu500,sync_waits_for_stall=no", **together).verdict == "livelock"
    assert burst("P14", preset="qcom-smmu-v2,sync_waits_for_stall=no", **together).verdict != "livelock"


def test_a_stall_of_more_than_two_seconds_is_seen_by_the_hang_check_unless_a_dump_is_captured() -> None:
    assert burst("P14", "none", faults=1, hangcheck=1000 * MS).counters["hangchecks"] == 1
    assert burst("P14", "none", faults=1).counters["hangchecks"] == 0
    assert burst("P8", "adreno-inline", faults=1, capture=3000 * MS).counters["hangchecks"] == 0


def test_p17_frees_the_tbu_itself_and_its_own_resume_comes_too_late() -> None:
    c = burst("P17", "einval", faults=1).counters
    # The halt terminates what has stalled; the RESUME at the end goes by the copy of FSR, and finds nothing.
    assert (c["resume_written"], c["resume_ignored"], c["irq_none"], c["terminated"]) == (2, 1, 1, 1)
    assert burst("P17", "adreno-inline").counters["resume_written"] == 10


def test_the_tbu_debug_client_keeps_both_registers_for_itself_where_the_core_lets_it() -> None:
    for policy, written in (("P13", 1), ("P17", 1), ("P8", 2)):
        c = burst(policy, "tbu-debug", faults=1).counters
        assert (c["resume_written"], c["terminated"], c["irq_entries"]) == (written, 1, 1), policy


@pytest.mark.parametrize("client", clients.CLIENTS)
def test_only_what_cools_down_submits(client: str) -> None:
    cools = client in ("adreno-cooldown", "gmu-wait")
    assert bool(listing(policies.find("P8"), clients.find(client)).submit) is cools
    assert listing(policies.find("P9"), clients.find(client)).submit
