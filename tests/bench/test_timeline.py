"""`smmubench timeline` and `explain`: what they show adds up to what the run counted."""

import gzip
import json
from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import again, ask
from bench.run import Runner
from bench.timeline import perfetto
from bench.timeline.spans import STATES, spans, steps_of
from bench.timeline.story import shortened, story
from bench.timeline.watch import watch
from smmucore import contexts as cpu
from smmucore.registers import FSR
from traces.catalogue import find

BURST = "burst:n=6,gap=30us"


def run(policy="P8", scenario=BURST, client="adreno-nodump", hardware="mmu500", **more):
    case = ask.case(scenario=scenario, client=client, **more)
    return Runner(case), ask.policy(policy), ask.preset(hardware)


def whole(runner, policy, chip):
    """Watch all of a run."""
    return watch(runner, policy, chip, begin=0)


def spent(watched, runner, policy, kind):
    """Time that contexts of one kind had a CPU, from the spans."""
    names = {cpu.HARD_IRQ: "hard IRQ", cpu.THREAD: "IRQ thread", cpu.WORKER: "worker"}
    off_cpu = (STATES[cpu.DELIVERY], STATES[cpu.PENDED])
    return sum(
        span.end - span.begin
        for span in spans(watched, policy, runner.case.client)
        if span.track[1].startswith(names[kind])
        and span.name not in off_cpu
        and not span.name.startswith("waits for its CPU")
    )


CELLS = [
    ("P8", "adreno-nodump"), ("P4", "adreno-nodump"), ("P0", "none"), ("P7", "adreno-worker"),
    ("P9", "adreno-cooldown"),
    ("P16", "pager"), ("P12", "adreno-worker"),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "client"), CELLS)
def test_the_spans_of_a_whole_run_add_up_to_what_it_counted(policy, client):
    runner, chosen, chip = run(policy, client=client, changes=("capture=200000",))
    watched = whole(runner, chosen, chip)
    counters = watched.outcome.counters
    assert not watched.cut
    for kind, name in (
        (cpu.HARD_IRQ, "cpu_irq_ns"),
        (cpu.THREAD, "cpu_thread_ns"),
        (cpu.WORKER, "cpu_work_ns"),
    ):
        if kind == cpu.WORKER and chosen.submit:
            continue  # submits count there too
        assert spent(watched, runner, chosen, kind) == counters[name], name
    entries = [span for span in spans(watched, chosen, runner.case.client) if span.name == STATES[cpu.ENTRY]]
    assert len(entries) == counters["irq_entries"]


def test_every_register_read_of_a_run_is_a_span_of_its_own():
    runner, chosen, chip = run("P8")
    watched = whole(runner, chosen, chip)
    names = Counter(span.name.split()[0] for span in spans(watched, chosen, runner.case.client))
    assert names["READ"] == watched.outcome.counters["mmio_reads"]
    assert names["WRITE"] == watched.outcome.counters["mmio_writes"]
    assert names["LOG"] == watched.outcome.counters["log_lines"] + watched.outcome.counters["log_suppressed"]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    cell=st.sampled_from(CELLS), begin=st.integers(0, 300_000), length=st.integers(1, 300_000),
    seed=st.integers(0, 3),
)  # fmt: skip
def test_looking_at_a_run_changes_nothing_of_it(cell, begin, length, seed):
    policy, client = cell
    runner, chosen, chip = run(
        policy, "burst:n=4,gap=20us+wild:rate=0.01%", client, seed=seed, changes=("capture=100000",)
    )
    plain = runner.outcome(chosen, chip)
    watched = watch(runner, chosen, chip, begin=begin, length=length).outcome
    assert watched.counters == plain.counters
    assert watched.verdict == plain.verdict
    assert (watched.histogram == plain.histogram).all()
    assert (watched.faults == plain.faults).all()


def test_the_story_of_a_stalled_fault_is_told_in_the_policys_order():
    runner, chosen, chip = run("P8")
    watched = watch(runner, chosen, chip, fault=2)
    row = watched.outcome.faults[1]
    lines = story(watched, 2, chosen, runner.case.client)
    told = [line.what for line in lines]
    order = [
        "the bank records it", "the interrupt that tells of it is taken", "the pass that reads it begins",
        "READ FAR", "READ FSR", "REPORT to the client", "WRITE FSR = bits read", "RESUME ends its stall",
        "the transaction ends",
    ]  # fmt: skip
    places = [told.index(what) for what in order]
    assert places == sorted(places)
    by_what = {line.what: line for line in lines}
    assert by_what["the bank records it"].t == row["t_recorded"]
    assert by_what["RESUME ends its stall"].t == row["t_resumed"]
    resume = next(line for line in lines if line.what.startswith("WRITE RESUME"))
    # H10: FSR is clear before RESUME is written; RESUME acts when the write ends.
    assert by_what["WRITE FSR = bits read"].t < resume.t
    assert resume.t + resume.lasts == row["t_resumed"]
    stalled = [line for line in lines if line.who == "bank 0 FSR" and "SS" in line.what]
    assert stalled[0].t == row["t_recorded"]
    assert stalled[-1].t + stalled[-1].lasts == row["t_resumed"]


def test_a_storm_is_told_once_and_its_entries_are_counted():
    runner, chosen, chip = run("P4", client="adreno-worker", changes=("capture=1000000",))
    watched = watch(runner, chosen, chip, fault=1)
    lines = story(watched, 1, chosen, runner.case.client)
    entries = sum(line.what == STATES[cpu.ENTRY] for line in lines)
    short = shortened(lines)
    again_lines = [line for line in short if "times more" in line.what]
    counted = sum(int(line.what.split()[-3].replace(",", "")) for line in again_lines)
    assert entries > 50
    assert sum(line.what == STATES[cpu.ENTRY] for line in short) + counted == entries
    assert len(short) < len(lines) / 3


def timeline_of(*cell, **more):
    runner, chosen, chip = run(*cell, **more)
    watched = whole(runner, chosen, chip)
    return watched, perfetto.events(watched, chosen, runner.case.client)


def test_a_timeline_has_its_events_in_order_and_closes_what_it_opens():
    watched, made = timeline_of("P8")
    times = [event["ts"] for event in made if event["ph"] != "M"]
    assert times == sorted(times)
    open_spans = Counter()
    for event in made:
        if event["ph"] in "be":
            open_spans[event["id"], event["name"]] += 1 if event["ph"] == "b" else -1
    assert set(open_spans.values()) == {0}
    assert len({event["id"] for event in made if event["ph"] == "b"}) == watched.outcome.faults.size
    named = {event["args"]["name"] for event in made if event["name"] in ("process_name", "thread_name")}
    assert {"CPU 0", "context bank 0", "TBU", "console", "interrupt lines"} <= named
    assert {"hard IRQ, line 0", "IRQ thread, bank 0", "FSR", "SS", "line 0"} <= named


def test_no_two_spans_of_one_track_overlap_and_one_cpu_does_one_thing_at_a_time():
    runner, chosen, chip = run("P12", client="adreno-worker", cpus="worker=0", changes=("capture=300000",))
    watched = whole(runner, chosen, chip)
    of_track, of_cpu = defaultdict(list), defaultdict(list)
    for span in spans(watched, chosen, runner.case.client):
        of_track[span.track].append((span.begin, span.end))
        waits = span.name.startswith(("waits for its CPU", "interrupt "))
        if span.track[0].startswith("CPU") and not waits:
            of_cpu[span.track[0]].append((span.begin, span.end))
    for track, held in [*of_track.items(), *of_cpu.items()]:
        held.sort()
        assert all(end <= begin for (_, end), (begin, _) in pairwise(held)), track


def test_an_arrow_leads_from_each_record_to_its_resume_and_begins_and_ends_in_a_slice():
    watched, made = timeline_of("P8")
    resumed = [number for number, row in enumerate(watched.outcome.faults, 1) if row["t_resumed"] >= 0]
    starts = {event["id"]: event for event in made if event["ph"] == "s"}
    ends = {event["id"]: event for event in made if event["ph"] == "f"}
    assert sorted(starts) == sorted(ends) == resumed
    slices = {(event["pid"], event["tid"], event["ts"]) for event in made if event["ph"] == "X"}
    for event in (*starts.values(), *ends.values()):
        assert (event["pid"], event["tid"], event["ts"]) in slices


def test_the_command_writes_the_same_bytes_for_the_same_run(command, tmp_path):
    files = [tmp_path / "a.json.gz", tmp_path / "b.json.gz"]
    for file in files:
        status, out, err = command("timeline", "--scenario", BURST, "--fault", "3", "-o", file)
        assert status == 0, err
        assert "ui.perfetto.dev" in out
    assert files[0].read_bytes() == files[1].read_bytes()
    held = json.loads(gzip.decompress(files[0].read_bytes()))
    assert held["metadata"]["trace"] == "qemu-virtio-gpu"
    assert held["metadata"]["times"] == "simulated"
    assert all(
        event["ts"] * 1000 == pytest.approx(round(event["ts"] * 1000))
        for event in held["traceEvents"]
        if "ts" in event
    )


def test_a_saved_run_is_made_again_from_its_own_file(command, tmp_path):
    saved = tmp_path / "run.parquet"
    options = (
        "--client",
        "adreno-nodump",
        "--scenario",
        BURST,
        "--set",
        "mmio_read=300",
        "--cpi",
        "3",
        "--seed",
        "4",
    )
    status, _, err = command(
        "compare", "--policy", "P4", "--policy", "P8", "--hardware", "mmu500", *options, "-o", saved
    )
    assert status == 0, err
    direct = command("explain", "--policy", "P4", "--fault", "2", *options, "--json")
    by_file = command("explain", saved, "--policy", "P4", "--fault", "2", "--json")
    assert direct[0] == by_file[0] == 0
    assert json.loads(direct[1])["story"] == json.loads(by_file[1])["story"]
    status, _, err = command("explain", saved)
    assert (status, "several rows" in err) == (2, True)
    status, _, err = command("explain", saved, "--policy", "P1")
    assert (status, "no such row" in err) == (2, True)
    status, _, err = command("explain", saved, "--policy", "P4", "--trace", find("qemu-dma-tiles"))
    assert (status, "another trace" in err) == (2, True)


def test_a_case_made_again_is_the_case_that_was_saved(tmp_path):
    from bench import grid, rows

    case = ask.case(
        scenario=BURST, client="adreno-nodump", costs="server", console="serial-115200",
        changes=("report=999", "thread_wake=lognormal:p50=5us,p99=50us"), cpus="worker=0", pace="40ns",
        seed=3,
    )  # fmt: skip
    made = grid.compare(case, [ask.policy("P8")], [ask.preset("mmu500,tlb=64x4")])
    path = rows.write(made, tmp_path / "r.parquet")
    saved = again.read(path)
    assert saved is not None
    repeated = grid.compare(again.case(saved), [ask.policy("P8")], [ask.preset("mmu500,tlb=64x4")])
    assert repeated.rows == made.rows


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("timeline", "-o", "t.txt"), "a name in .json or .json.gz"),
        (("timeline", "-o", "no/such/t.json"), "an existing folder"),
        (
            ("timeline", "-o", "t.json", "--scenario", BURST, "--fault", "900"),
            "no such fault: --fault 900: expected 1 to 6",
        ),
        (("timeline", "-o", "t.json", "--from", "soon"), "--from"),
        (("explain", "--policy", "P99"), "unknown policy"),
        (("explain", "--policy", "v3-iopf"), "hardware it is about"),
        (("explain", "--trace", "README.md"), "--trace with a saved RUN only"),
    ],
)
def test_what_cannot_be_shown_is_refused_and_nothing_is_written(
    command, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("x")
    status, _, err = command(*arguments)
    assert status == 2
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_steps_are_numbered_as_the_program_has_them():
    words = steps_of(ask.policy("P8"), ask.case(client="adreno-worker").client)
    assert words[0] == "READ FAR"
    assert "CAPTURE a crash dump" in words
    assert FSR.decode(0x4000_0402) == "SS Format=2 TF"
