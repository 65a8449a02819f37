"""`timeline --schedule`: what it draws is what the stepped machine did."""

import gzip
import json
from collections import Counter, defaultdict
from itertools import pairwise

from bench.prove import cells, schedules, timeline
from bench.prove.walk import walk
from bench.prove.words import LETTERS, Teller
from smmucore import clients, hardware, policies
from smmucore.explored import Question
from smmucore.registers import FSR, FSR_FAULT, FSR_MULTI, FSR_SS, SCTLR_CFIE
from tests.prove.schedule_samples import P4_LIVELOCK, P4_STRAY, ROB_LOST, each_cell, schedule_of, shown


def written(tmp_path, capsys, file, name="t.json.gz"):
    out = tmp_path / name
    status, said, err = shown(capsys, "timeline", "--schedule", file, "-o", str(out))
    assert status == 0, err
    data = gzip.decompress(out.read_bytes()) if name.endswith("gz") else out.read_bytes()
    return json.loads(data), said


def named(held):
    """Return events by (group, track), from the names that the file itself has."""
    groups, tracks = {}, {}
    for event in held["traceEvents"]:
        if event["name"] == "process_name":
            groups[event["pid"]] = event["args"]["name"]
        elif event["name"] == "thread_name":
            tracks[event["pid"], event["tid"]] = event["args"]["name"]
    made = defaultdict(list)
    for event in held["traceEvents"]:
        if event["ph"] != "M":
            made[groups[event["pid"]], tracks[event["pid"], event["tid"]]].append(event)
    return made


def at(events, moment):
    """Return the name of the slice that holds at a moment of the axis, us; "" if none does."""
    held = [e["name"] for e in events if e["ph"] == "X" and e["ts"] <= moment < e["ts"] + e["dur"]]
    assert len(held) <= 1
    return held[0] if held else ""


@each_cell
def test_every_state_drawn_is_what_the_stepped_machine_has_after_that_step(cell, saved, capsys, tmp_path):
    tracks = named(written(tmp_path, capsys, saved(cell))[0])
    schedule = schedule_of(cell)
    teller = Teller(schedule.question)
    for n in range(len(schedule.steps) + 1):
        if n:
            teller.tell(schedule.steps[n - 1].move)
        sim, middle = teller.machine.sim, n + 0.5
        for b, bank in enumerate(sim.host.banks):
            group = f"context bank {b}"
            assert at(tracks[group, "FSR"], middle) == FSR.decode(int(bank.fsr)), (n, b)
            assert at(tracks[group, "SS"], middle) == ("SS" if bank.fsr & FSR_SS else "")
            assert at(tracks[group, "MULTI"], middle) == ("MULTI" if bank.fsr & FSR_MULTI else "")
            cfie = f"CFIE={1 if bank.sctlr & SCTLR_CFIE else 0}"
            assert at(tracks[group, "SCTLR"], middle).split()[0] == cfie
        assert at(tracks["interrupt lines", "line 0"], middle) == line_of(sim), n
        assert stalls_at(tracks, middle) == stalled_of(teller), n


def line_of(sim):
    """Say how line 0 stands, from the registers (H11, H13)."""
    if sim.hw.events:
        up = sim.host.queue.length > 0
    else:
        banks = sim.host.banks if sim.hw.shared_line else sim.host.banks[:1]
        bits = FSR_FAULT | (FSR_SS if sim.hw.ss_asserts_irq else 0)
        up = any(bank.sctlr & SCTLR_CFIE and bank.fsr & bits for bank in banks)
    masked = sim.host.lines[0].masked or sim.host.lines[0].disabled
    return ("up, masked" if masked else "up") if up else ""


def stalled_of(teller):
    """Return the letters of what is stalled, from the banks' heads and the slots."""
    sim = teller.machine.sim
    slots = {int(bank.head) for bank in sim.host.banks if bank.head >= 0}
    slots |= {slot for slot in range(sim.slots.size) if sim.slots[slot].stalled and sim.slot_free[slot] > 0}
    return {teller.names[slot] for slot in slots}


def stalls_at(tracks, moment):
    """Return the letters of the accesses that are drawn as stalled at a moment of the axis."""
    stalled = set()
    for (group, _), events in tracks.items():
        if group != "GPU streams: faults":
            continue
        opened = {}
        for event in events:
            if event["name"] == "stalled" and event["ts"] <= moment:
                opened[event["id"]] = event["ph"] == "b"
        stalled |= {LETTERS[number - 1] for number, is_open in opened.items() if is_open}
    return stalled


@each_cell
def test_each_step_is_a_slice_of_the_one_who_moves_and_one_tick_long(cell, saved, capsys, tmp_path):
    tracks = named(written(tmp_path, capsys, saved(cell))[0])
    schedule = schedule_of(cell)
    steps = tracks[timeline.TITLE, "steps"]
    assert [(event["ts"], event["dur"]) for event in steps] == [(n, 1) for n in range(len(schedule.steps))]
    for n, (event, step) in enumerate(zip(steps, schedule.steps, strict=True)):
        assert event["name"] == f"{n + 1}. {step.who}: {step.what}"
        own = [
            other["name"] for (group, _), events in tracks.items() if group.startswith("CPU")
            for other in events if other.get("args", {}).get("step") == n + 1
        ]  # fmt: skip
        by_hardware = step.who in ("GPU", "SMMU", "driver", "user space")
        assert own == ([] if by_hardware else [step.what])


@each_cell
def test_the_file_is_a_valid_trace_and_closes_what_it_opens(cell, saved, capsys, tmp_path):
    held, _ = written(tmp_path, capsys, saved(cell))
    tracks = named(held)
    stamps = [event["ts"] for event in held["traceEvents"] if event["ph"] != "M"]
    assert stamps == sorted(stamps)
    assert {event["ph"] for event in held["traceEvents"]} <= set("MXbesfC")
    open_bars = Counter()
    for event in held["traceEvents"]:
        if event["ph"] in "be":
            open_bars[event["id"]] += 1 if event["ph"] == "b" else -1
            assert open_bars[event["id"]] >= 0
    assert set(open_bars.values()) == {0}
    flows = {ph: {e["id"]: e for e in held["traceEvents"] if e["ph"] == ph} for ph in "sf"}
    assert flows["s"].keys() == flows["f"].keys()
    slices = {(e["pid"], e["tid"], e["ts"]): e["name"] for e in held["traceEvents"] if e["ph"] == "X"}
    for number, begin in flows["s"].items():
        end = flows["f"][number]
        assert begin["ts"] < end["ts"]
        assert slices[begin["pid"], begin["tid"], begin["ts"]].startswith("record of ")
        assert slices[end["pid"], end["tid"], end["ts"]].startswith("RESUME ends the stall of ")
    for track, events in tracks.items():
        spans = sorted((e["ts"], e["ts"] + e["dur"]) for e in events if e["ph"] == "X")
        assert all(end <= begin for (_, end), (begin, _) in pairwise(spans)), track


def test_the_axis_says_that_it_is_order_and_not_time(saved, capsys, tmp_path):
    held, said = written(tmp_path, capsys, saved(P4_LIVELOCK))
    assert "not time" in said
    assert held["metadata"]["axis"].startswith("order, not time")
    assert held["metadata"]["breaks"] == "livelock"
    groups = [event["args"]["name"] for event in held["traceEvents"] if event["name"] == "process_name"]
    labels = [event["args"]["labels"] for event in held["traceEvents"] if event["name"] == "process_labels"]
    assert groups[0] == "ORDER, NOT TIME: 1 us is one step"
    assert labels == ["order, not time"] * len(groups)
    assert {"GPU streams: faults", "CPU 0", "context bank 0", "interrupt lines"} <= set(groups)


def test_a_livelocks_cycle_is_a_span_from_its_first_step_to_its_last(saved, capsys, tmp_path):
    tracks = named(written(tmp_path, capsys, saved(P4_LIVELOCK))[0])
    schedule = schedule_of(P4_LIVELOCK)
    (cycle,) = tracks[timeline.TITLE, "cycle"]
    assert cycle["name"].startswith("cycle: repeats for ever")
    assert (cycle["ts"], cycle["ts"] + cycle["dur"]) == (schedule.repeats_from, len(schedule.steps))
    # Meanwhile the worker, which would resume, never gets its CPU.
    worker = tracks["CPU 0", "worker, bank 0"]
    assert at(worker, cycle["ts"] + 0.5) == at(worker, len(schedule.steps) + 0.5)
    assert at(worker, cycle["ts"] + 0.5).startswith("waits for its CPU")


def test_an_arrow_leads_from_each_stall_to_the_resume_that_ends_it(saved, capsys, tmp_path):
    held, _ = written(tmp_path, capsys, saved(P4_STRAY), "t.json")
    arrows = [event for event in held["traceEvents"] if event["ph"] in "sf"]
    steps = schedule_of(P4_STRAY).steps
    resumed = [n for n, step in enumerate(steps) if "is terminated" in step.then]
    assert [event["ts"] for event in arrows if event["ph"] == "f"] == resumed
    stalled = [n for n, step in enumerate(steps) if "is stalled" in step.then]
    assert [event["ts"] for event in arrows if event["ph"] == "s"] == stalled


def test_the_same_schedule_gives_the_same_bytes(saved, capsys, tmp_path):
    file = saved(ROB_LOST)
    written(tmp_path, capsys, file, "a.json.gz")
    written(tmp_path, capsys, file, "b.json.gz")
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()


def test_every_schedule_of_a_cell_can_be_drawn_and_a_breach_by_a_step_is_found():
    chip = hardware.find("mmu500")
    for name in ("P3", "P13", "P17", "jordan-2021"):
        asked = Question(policies.find(name), clients.find("adreno-worker"), chip, faults=2)
        proof = cells.prove_one(asked)
        assert proof.broken
        for broken in proof.broken:
            made = walk(schedules.schedule_of(proof, broken))
            assert made.parts == ""
            assert timeline.events(made)
            by_step = broken not in ("livelock", "retry", "hang", "masked", "unbounded")
            assert bool(made.breaks_at) == by_step, (name, broken)
            assert (made.schedule.repeats_from >= 0) == (broken in ("livelock", "retry", "unbounded"))
