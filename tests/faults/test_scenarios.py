"""What the argument is about, one sentence a test: who clears FSR, who writes RESUME, when, from where.

Every case here injects faults one at a time: the gap is longer than the handling.
"""

from __future__ import annotations

import pytest

from smmucore import clients, costs, hardware, policies
from smmucore.simulate import Lane, Outcome, Premapped, Requester, Setup, simulate
from smmucore.spaces import linux
from traces.events import PROT_READ

MS = 1_000_000
SPLIT = {"irq": 0, "thread": 0, "worker": 1}
SHARED = {"irq": 0, "thread": 0, "worker": 0}


def burst(
    policy: str,
    client: str = "adreno-nodump",
    preset: str = "mmu500",
    *,
    faults: int = 10,
    gap: int = 50 * MS,
    cpus: dict[str, int] = SPLIT,
    console: str = "ring",
    beats: int = 0,
    sleeps_after: int = 0,
    **ns: int,
) -> Outcome:
    """Inject `faults` translation faults, `gap` apart, under the default cost profile.

    With `beats`, another bank's stream reads a mapped page every 100 us, with the GMU's deadline of 10 ms.
    """
    heartbeat = Lane(requester=1, count=beats, gap=100_000, iova=4096, modulo=1, deadline=10 * MS)
    setup = Setup(
        policies.find(policy),
        clients.find(client),
        hardware.find(preset),
        costs.profile(console=console).with_values(ns),
        [Requester(1, 0), Requester(2, 1)],
        linux(48) * 2,
        cpus,
        [Lane(requester=0, count=faults, gap=gap, iova=1 << 40), *([heartbeat] if beats else [])],
        [Premapped(1, 4096, 4096, 4096, PROT_READ)],
        sleeps_after=sleeps_after,
    )
    return simulate(setup, [])


def test_p8_takes_one_entry_for_each_fault_and_no_resume_is_ignored() -> None:
    for client in clients.CLIENTS:
        if client in ("kgsl", "tbu-debug"):
            continue  # they terminate what has stalled themselves, whatever the core does
        # Where the client turns stall off, no fault comes before it is on again, and its dump is gone.
        c = burst("P8", client, gap=600 * MS, dump_kept=50 * MS).counters
        assert (c["irq_entries"], c["irq_spurious"]) == (10, 0)
        assert (c["resume_written"], c["resume_ignored"], c["terminated"]) == (10, 0, 10)


def test_p4_without_a_dump_takes_two_entries_for_each_fault_and_its_first_resume_is_ignored() -> None:
    outcome = burst("P4")
    c = outcome.counters
    assert (c["irq_entries"], c["irq_spurious"]) == (20, 10)
    assert (c["resume_written"], c["resume_ignored"], c["terminated"]) == (20, 10, 10)
    assert outcome.verdict == "spurious"


def test_p4_with_the_dump_in_a_worker_storms_for_as_long_as_the_capture_takes() -> None:
    entries = []
    for capture in (2 * MS, 4 * MS, 8 * MS):
        outcome = burst("P4", "adreno-worker", faults=1, capture=capture)
        assert outcome.verdict == "storm"
        entries.append(outcome.counters["irq_entries"])
    # Twice the capture, twice the entries, but for the few before it begins.
    assert entries[1] / entries[0] == pytest.approx(2, rel=0.02)
    assert entries[2] / entries[1] == pytest.approx(2, rel=0.02)
    # One entry costs: entry and exit from idle, 15 reads, check, report, a suppressed or printed
    # line, a write: about 5 us here, so 8 ms hold 1,000 to 4,000 of them.
    assert 1000 < entries[2] < 4000


def test_p4_with_the_dump_in_a_worker_on_the_same_cpu_is_a_livelock() -> None:
    outcome = burst("P4", "adreno-worker", faults=1, cpus=SHARED)
    assert outcome.verdict == "livelock"
    assert outcome.counters["terminated"] == 0
    assert outcome.counters["cpu_work_ns"] == 0


def test_p2_takes_one_entry_for_each_fault_and_p2b_two() -> None:
    p2, p2b = burst("P2", "none").counters, burst("P2b", "none").counters
    assert (p2["irq_entries"], p2["resume_ignored"]) == (10, 0)
    assert (p2b["irq_entries"], p2b["resume_ignored"]) == (20, 10)


@pytest.mark.parametrize("preset", ["mmu500", "qcom-smmu-v2", "ideal"])
def test_p3_is_entered_until_the_worker_clears_fsr(preset: str) -> None:
    short = burst("P3", "adreno-worker", preset, faults=1, capture=2 * MS).counters["irq_entries"]
    long = burst("P3", "adreno-worker", preset, faults=1, capture=4 * MS).counters["irq_entries"]
    assert short > 100
    assert long / short == pytest.approx(2, rel=0.03)


def test_p1_terminates_in_hardware_with_one_entry_for_each_fault_and_no_resume() -> None:
    c = burst("P1", "none").counters
    assert (c["irq_entries"], c["resume_written"], c["terminated"], c["stalled_ns"]) == (10, 0, 10, 0)


@pytest.mark.parametrize("policy", ["P4", "P8"])
@pytest.mark.parametrize("cpus", [SPLIT, SHARED])
def test_p4_and_p8_are_calm_where_ss_alone_raises_no_interrupt(policy: str, cpus: dict[str, int]) -> None:
    for client in ("adreno-nodump", "adreno-worker", "adreno-inline"):
        outcome = burst(policy, client, "ideal", cpus=cpus)
        assert outcome.verdict == "safe"
        assert outcome.counters["irq_entries"] == 10


def test_p7_is_safe_although_its_client_resumes_from_a_worker_on_the_same_cpu() -> None:
    outcome = burst("P7", "adreno-worker", cpus=SHARED)
    assert (outcome.verdict, outcome.counters["irq_entries"]) == ("safe", 10)


def test_p0_without_a_client_returns_irq_none_and_the_detector_turns_the_line_off() -> None:
    # 99,900 of 100,000 unhandled entries, none more than 100 ms after the one before (K5).
    outcome = burst("P0", "none", faults=100_010, gap=20_000)
    c = outcome.counters
    assert outcome.verdict == "line-disabled"
    assert c["irq_none"] == c["irq_entries"] == 100_000


def test_p0_whose_client_claims_success_without_mapping_the_page_retries_for_ever() -> None:
    outcome = burst("P0", "adreno-nodump", faults=1)
    assert outcome.verdict == "livelock"
    assert outcome.counters["retried"] == 1_000


def test_nobody_resumes_p7_without_a_client_and_the_stall_hangs() -> None:
    assert burst("P7", "none").verdict == "hang"


def test_ten_reports_are_printed_in_five_seconds_and_the_next_tells_how_many_were_not() -> None:
    # P1 prints each fault. 100 faults in 1 s: 10 lines, 90 suppressed; one more after 6 s: its own
    # line and the one that tells of the 90.
    setup = Setup(
        policies.find("P1"),
        clients.find("none"),
        hardware.find("mmu500"),
        costs.profile(),
        [Requester(1, 0)],
        linux(48),
        lanes=[
            Lane(requester=0, count=100, gap=10 * MS, iova=1 << 40),
            Lane(requester=0, count=1, first=6_000 * MS, iova=1 << 41),
        ],
    )
    c = simulate(setup, []).counters
    assert (c["log_lines"], c["log_suppressed"]) == (12, 90)


def test_a_serial_console_makes_one_report_cost_eleven_milliseconds() -> None:
    def handler_ns(console: str) -> int:
        setup = Setup(
            policies.find("P1"),
            clients.find("none"),
            hardware.find("mmu500"),
            costs.profile(console=console),
            [Requester(1, 0)],
            linux(48),
            lanes=[Lane(requester=0, count=1, iova=1 << 40)],
        )
        return simulate(setup, []).counters["cpu_irq_ns"]

    # 134 characters x 10 bits / 115200 baud = 11.63 ms.
    assert handler_ns("serial-115200") - handler_ns("none") == pytest.approx(11.63 * MS, rel=0.01)


def test_ten_reports_in_five_seconds_keep_a_serial_console_busy_for_a_ninth_of_a_second() -> None:
    def counters(console: str) -> dict[str, int]:
        setup = Setup(
            policies.find("P1"),
            clients.find("none"),
            hardware.find("mmu500"),
            costs.profile(console=console),
            [Requester(1, 0)],
            linux(48),
            lanes=[Lane(requester=0, count=30, gap=100 * MS, iova=1 << 40)],
        )
        return simulate(setup, []).counters

    serial, none, threaded = (counters(name) for name in ("serial-115200", "none", "threaded-115200"))
    assert (serial["log_lines"], serial["log_suppressed"]) == (10, 20)
    # 10 x 134 characters x 10 bits / 115200 baud = 116.3 ms: of whoever prints, or of the printing thread.
    assert serial["cpu_irq_ns"] - none["cpu_irq_ns"] == pytest.approx(116.3 * MS, rel=0.01)
    assert threaded["cpu_irq_ns"] - none["cpu_irq_ns"] < 0.01 * MS * 10
    assert threaded["console_ns"] == pytest.approx(116.3 * MS, rel=0.01)
    assert serial["console_ns"] == none["console_ns"] == 0


def test_a_storm_of_stalled_faults_starves_an_innocent_stream_of_the_same_tbu() -> None:
    # H12: 200 faults at once hold every read slot; the heartbeat's bank has no fault, and waits.
    def watchdogs(faults: int) -> int:
        from smmucore.simulate import Premapped

        setup = Setup(
            policies.find("P8"),
            clients.find("adreno-inline"),
            hardware.find("mmu500"),
            costs.profile(),
            [Requester(1, 0), Requester(5, 1)],
            linux(48, 48),
            lanes=[
                Lane(requester=0, count=faults, gap=10, iova=1 << 40),
                Lane(requester=1, count=300, gap=100_000, iova=4096, modulo=1, deadline=10 * MS),
            ],
            premapped=[Premapped(1, 4096, 4096, 0, 1)],
        )
        return simulate(setup, []).counters["watchdogs"]

    assert watchdogs(100) == 0
    assert watchdogs(200) > 50
