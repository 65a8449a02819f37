"""`explain --schedule` and `timeline --schedule`: what they show is what the stepped machine did."""

import gzip
import json
from collections import Counter, defaultdict
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from bench.cli import run
from bench.prove import cells, schedules, timeline
from bench.prove.walk import walk
from bench.prove.words import LETTERS, Teller
from smmucore import clients, hardware, policies
from smmucore.explored import Question
from smmucore.registers import FSR, FSR_FAULT, FSR_MULTI, FSR_SS, SCTLR_CFIE

#: policy, client, hardware, same CPU, faults, banks, sleeps, property
P4_LIVELOCK = ("P4", "adreno-worker", "mmu500", True, 2, 1, False, "livelock")
P4_STRAY = ("P4", "adreno-worker", "mmu500", False, 2, 1, False, "stray")
P3_STRAY = ("P3", "adreno-worker", "mmu500", False, 3, 1, False, "stray")
ROB_LOST = ("rob-2025", "adreno-worker", "mmu500", False, 3, 1, False, "lost")
P14_RETRY = ("P14", "none", "mmu500", False, 2, 1, False, "retry")
P6_UNREPAIRED = ("P6", "adreno-worker", "mmu500", False, 2, 1, False, "unrepaired")
P5_FOLDED = ("P5", "adreno-nodump", "ideal", False, 2, 1, False, "folded")
P2B_HANG = ("P2b", "none", "ideal", False, 3, 1, False, "hang")
P11_SLEEPS = ("P11", "adreno-cooldown", "mmu500", False, 3, 1, True, "lost")
P7_SHARED = ("P7", "pager", "mmu500,shared_line=yes", False, 2, 2, False, "lost")
V3_LOST = ("v3-iopf", "pager", "gem5-smmuv3,events=1,stall_max=1", False, 3, 1, False, "lost")
P7_CRASH = ("P7", "adreno-worker", "mmu500", False, 2, 1, True, "crash")
P9_STALE = ("P9", "adreno-cooldown", "mmu500", True, 3, 1, False, "stale")
QCOM_LOST = ("P8", "adreno-inline", "qcom-smmu-v2", False, 2, 1, False, "lost")
CELLS = [
    P4_LIVELOCK, P4_STRAY, P3_STRAY, ROB_LOST, P14_RETRY, P6_UNREPAIRED, P5_FOLDED, P2B_HANG, P11_SLEEPS,
    P7_SHARED, V3_LOST, P7_CRASH, P9_STALE, QCOM_LOST,
]  # fmt: skip
each_cell = pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell[0]}-{cell[7]}")


@cache
def schedule_of(cell):
    policy, client, chip, same, faults, banks, sleeps, name = cell
    asked = Question(
        policies.find(policy), clients.find(client), hardware.find(chip), same, faults, banks, sleeps
    )
    return schedules.schedule_of(cells.prove_one(asked), name)


@pytest.fixture
def saved(tmp_path):
    """Save a cell's schedule in a file."""

    def save(cell, spoil=None):
        file = tmp_path / "schedule.json"
        schedules.write(schedule_of(cell), file)
        if spoil is not None:
            data = json.loads(file.read_text(encoding="utf-8"))
            spoil(data)
            file.write_text(json.dumps(data), encoding="utf-8")
        return str(file)

    return save


def as_json(capsys, *arguments):
    status = run([*arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


def shown(capsys, *arguments):
    status = run(list(arguments))
    held = capsys.readouterr()
    return status, held.out, held.err


# --- explain ---------------------------------------------------------------------------------


@each_cell
def test_the_steps_explained_are_those_that_replay_follows(cell, saved, capsys):
    file = saved(cell)
    status, replayed = as_json(capsys, "replay", "--schedule", file)
    assert status == 0
    status, told = as_json(capsys, "explain", "--schedule", file)
    assert status == 0
    words = ("n", "move", "who", "what", "then")
    assert [{word: step[word] for word in words} for step in told["steps"]] == replayed["steps"]
    assert told["end"] == replayed["end"]["state"]
    assert (told["breaks"], told["repeats_from"]) == (replayed["breaks"], replayed["repeats_from"])


@each_cell
def test_the_state_told_behind_each_step_is_that_of_a_machine_stepped_so_far(cell, saved, capsys):
    _, told = as_json(capsys, "explain", "--schedule", saved(cell))
    teller = Teller(schedule_of(cell).question)
    for step in told["steps"]:
        teller.tell(step["move"])
        assert step["state"] == teller.state(), step["n"]


def test_a_livelocks_story_says_where_its_cycle_begins_and_that_it_leads_back(saved, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = shown(capsys, "explain", "--schedule", saved(P4_LIVELOCK))
    assert status == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert all(len(line) <= 80 for line in out.splitlines())
    begins = lines.index("and from here for ever:")
    first = schedule_of(P4_LIVELOCK).repeats_from + 1
    assert lines[begins + 1].startswith(f"{first}")
    assert f"the state is that before step {first}: so it goes on" in lines[begins:]
    assert lines[0].startswith("breaks livelock: interrupts are taken for ever")
    # The worker that would end it has no CPU (K2), and SS holds the line up (H11).
    whole = " ".join(lines)
    assert "the worker (CPU 0) is woken and waits for its CPU [K2 K3]" in whole
    assert "the interrupt is taken; the line still is up [H11 K1]" in whole


def test_a_stray_resumes_story_names_the_fault_it_was_meant_for_and_marks_the_step(saved, capsys):
    _, told = as_json(capsys, "explain", "--schedule", saved(P4_STRAY))
    last = told["steps"][-1]
    assert told["breaks_at"] == last["n"]
    assert "B is terminated" in last["then"]
    assert "it was meant for A" in last["besides"]
    assert "H9" in last["rules"]
    status, out, _ = shown(capsys, "explain", "--schedule", saved(P4_STRAY))
    assert (status, "^ this breaks it: stray" in out) == (0, True)


def test_an_ignored_resume_cites_the_rule_by_which_it_is_ignored(saved, capsys):
    _, told = as_json(capsys, "explain", "--schedule", saved(P4_STRAY))
    (ignored,) = [step for step in told["steps"] if "RESUME is ignored" in step["then"]]
    assert ignored["rules"] == ["H10"]


def test_clearing_a_fault_that_nobody_has_read_is_what_breaks_the_proposal_of_2025(saved, capsys):
    _, told = as_json(capsys, "explain", "--schedule", saved(ROB_LOST))
    assert told["policy"]["source"].startswith("Rob Clark")
    step = told["steps"][told["breaks_at"] - 1]
    assert (step["what"], step["then"]) == ("WRITE FSR = bits read", "FSR = SS; a record is lost")
    assert step["besides"] == ["it was that of B"]
    assert "B" in step["accesses"]
    before = [earlier["then"] for earlier in told["steps"][: told["breaks_at"] - 1]]
    assert before[-1] == "FSR = SS TF; B is stalled"


def test_of_one_access_only_what_concerns_it_is_told(saved, capsys):
    file = saved(P4_STRAY)
    _, whole = as_json(capsys, "explain", "--schedule", file)
    _, of_b = as_json(capsys, "explain", "--schedule", file, "--fault", "2")
    assert of_b["access"] == "B"
    assert all(step in whole["steps"] for step in of_b["steps"])
    assert of_b["steps"][0]["what"] == "access B faults"
    # Everything that names B is in it, and so is the pass that has read B's record.
    named = [step for step in whole["steps"] if "B" in f"{step['what']} {step['then']}".split()]
    assert all(step in of_b["steps"] for step in named)
    resumes = [step["who"] for step in of_b["steps"] if step["what"].startswith("WRITE RESUME")]
    assert [who.split()[0] for who in resumes] == ["hard", "worker"]
    status, out, _ = shown(capsys, "explain", "--schedule", file, "--fault", "2")
    left = len(whole["steps"]) - len(of_b["steps"])
    counted = [int(word.strip("(")) for line in out.splitlines() if "of others)" in line
               for word in line.split() if word.startswith("(")]  # fmt: skip
    assert (status, sum(counted)) == (0, left)


def test_the_example_in_the_documentation_is_what_the_command_prints(saved, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "112")
    page = (Path(__file__).parents[2] / "docs" / "timeline.md").read_text(encoding="utf-8")
    example = page.split("$ smmubench explain --schedule lost.json\n")[1].split("\n```")[0]
    _, out, _ = shown(capsys, "explain", "--schedule", saved(ROB_LOST))
    assert [line.rstrip() for line in out.splitlines()] == example.splitlines()


@pytest.mark.parametrize("of", ["--full", "--fault"])
def test_every_step_is_on_some_line(of, saved, capsys):
    more = ["--full"] if of == "--full" else ["--fault", "1"]
    _, out, _ = shown(capsys, "explain", "--schedule", saved(P4_STRAY), *more)
    table = out.split("what changed")[1].split("\n\n")[0]
    numbers = [line[:5].strip() for line in table.splitlines()]
    covered = []
    for number in filter(None, numbers):
        first, _, last = number.partition("-")
        covered += range(int(first), int(last or first) + 1)
    assert covered == list(range(1, len(schedule_of(P4_STRAY).steps) + 1))


def test_what_a_shared_line_does_is_said_of_one_line(saved, capsys):
    _, told = as_json(capsys, "explain", "--schedule", saved(P7_SHARED))
    assert "the line comes up" in told["steps"][0]["besides"]
    assert not any("line 1" in text for step in told["steps"] for text in step["besides"])


def test_steps_of_an_smmuv3_cite_its_own_rule_and_none_of_a_context_bank(saved, capsys):
    _, told = as_json(capsys, "explain", "--schedule", saved(V3_LOST))
    cited = {rule for step in told["steps"] for rule in step["rules"]}
    assert "H13" in cited
    assert not cited & {"H5", "H6", "H8", "H9", "H10", "H11"}


def test_looking_leaves_a_line_that_is_held_until_resume_as_it_was(saved, capsys):
    # Whether such a line is up depends on when it was last asked.
    cell = ("P1", "none", "held-until-resume", False, 2, 1, False, "spurious")
    status, told = as_json(capsys, "explain", "--schedule", saved(cell))
    assert (status, told["parts"]) == (0, None)


# --- timeline --------------------------------------------------------------------------------


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


# --- what is refused -------------------------------------------------------------------------

COMMANDS = pytest.mark.parametrize("command", [["explain"], ["timeline", "-o", "t.json"]], ids=lambda c: c[0])


@COMMANDS
@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["qemu-virtio-gpu"], "expected a schedule or a trace, found a trace, qemu-virtio-gpu"),
        (["--policy", "P8"], "found --policy"),
        (["--scenario", "burst", "--seed", "3"], "found --scenario, --seed"),
    ],
)
def test_the_options_of_a_run_are_refused_beside_a_schedule(
    command, more, expected, saved, capsys, tmp_path, monkeypatch
):
    file = saved(P4_LIVELOCK)
    monkeypatch.chdir(tmp_path)
    status, _, err = shown(capsys, *command, "--schedule", file, *more)
    assert (status, err.count("\n")) == (2, 1)
    assert expected in err
    assert [path.name for path in tmp_path.iterdir()] == ["schedule.json"]


def test_replay_refuses_them_too(saved, capsys):
    status, _, err = shown(capsys, "replay", "--schedule", saved(P4_LIVELOCK), "--policy", "P8")
    assert (status, "found --policy" in err) == (2, True)


@pytest.mark.parametrize("more", [["--fault", "1"], ["--from", "1ms"], ["--for", "1ms"]])
def test_a_schedules_timeline_has_no_window(more, saved, capsys, tmp_path):
    out = str(tmp_path / "t.json")
    status, _, err = shown(capsys, "timeline", "--schedule", saved(P4_LIVELOCK), "-o", out, *more)
    assert (status, f"found {more[0]}" in err) == (2, True)


def test_a_fault_that_the_schedule_has_not_is_refused(saved, capsys):
    status, _, err = shown(capsys, "explain", "--schedule", saved(P4_STRAY), "--fault", "3")
    assert (status, "expected 1 to 2" in err) == (2, True)


@COMMANDS
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nonsense", "expected JSON"),
        ('{"smmubench-schedule": 2}', '"smmubench-schedule": 1'),
        ('{"smmubench-schedule": 1, "question": {"policy": "P99"}}', "policies prove -o"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_schedule_is_refused_and_nothing_is_written(
    command, text, expected, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "s.json").write_text(text)
    before = sorted(tmp_path.iterdir())
    status, _, err = shown(capsys, *command, "--schedule", "s.json")
    assert status == 2
    assert expected in err
    assert "s.json" in err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("begins", [0, -3, 999])
def test_a_cycle_that_begins_outside_the_steps_is_no_schedule(begins, saved, capsys):
    file = saved(P4_LIVELOCK, lambda data: data.update(repeats_from=begins))
    status, _, err = shown(capsys, "replay", "--schedule", file)
    assert (status, f"repeats_from {begins}" in err) == (2, True)


@pytest.mark.parametrize("command", ["explain", "replay"])
def test_a_cycle_that_does_not_lead_back_is_told_and_exits_1(command, saved, capsys):
    first = schedule_of(P4_LIVELOCK).repeats_from + 1
    file = saved(P4_LIVELOCK, lambda data: data.update(repeats_from=first + 5))
    status, _, err = shown(capsys, command, "--schedule", file)
    assert (status, f"to be back where step {first + 5} began" in err) == (1, True)


def test_a_file_that_retries_without_end_is_stopped(saved, capsys):
    def spoil(data):
        cycle = data["steps"][data["repeats_from"] - 1 :]
        data["steps"] += cycle * 600

    status, _, err = shown(capsys, "replay", "--schedule", saved(P14_RETRY, spoil))
    assert (status, "expected fewer faults; found 1,000" in err) == (1, True)


def test_a_schedule_of_another_part_is_told_as_far_as_it_goes_and_exits_1(saved, capsys):
    file = saved(P4_LIVELOCK, lambda data: data["question"].update(hardware="ideal"))
    status, out, err = shown(capsys, "explain", "--schedule", file)
    assert status == 1
    assert "parts from the model: step 25" in err
    assert "so it goes on" not in out
    status, told = as_json(capsys, "explain", "--schedule", file)
    assert (status, len(told["steps"])) == (1, 24)
    assert told["parts"].startswith("step 25")


def test_a_timeline_of_a_schedule_that_parts_is_not_written(saved, capsys, tmp_path):
    file = saved(P4_LIVELOCK, lambda data: data["question"].update(hardware="ideal"))
    status, _, err = shown(capsys, "timeline", "--schedule", file, "-o", str(tmp_path / "t.json"))
    assert (status, "parts from the model" in err) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["schedule.json"]


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
