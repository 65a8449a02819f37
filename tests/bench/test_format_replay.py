"""A trace of every format: replayed with time and without, by hand, and by the independent walker (H3)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from bench import ask
from bench.blocks import Source
from bench.blocks import events as run_events
from bench.inject import plain
from bench.spaces import model_space
from smmucore import clients, costs, hardware, policies
from smmucore.registers import FSR_PF, FSR_TF, FSYNR0_PLVL
from smmucore.simulate import Outcome, Setup, build, simulate
from smmucore.spaces import linux
from smmucore.translate import Translator
from tests.core.tools import FSR_OF, access_of, reference_memory
from tests.core.tools import Row as CoreRow
from tests.reference import walker
from traces import events as ev
from traces.manifest import Space, Stream
from traces.reader import open_trace
from traces.validate import validate

from .conftest import event, save

K, M, G = 1 << 10, 1 << 20, 1 << 30
RO = ev.PROT_READ
RW = RO | ev.PROT_WRITE
UPPER_49 = (1 << 49) - (1 << 39)  # the first address of 39 bits of TTBR1, on a bus of 49


@dataclass(frozen=True)
class Ends:
    """How an access is meant to end: its PA, or the FSR bit and PLVL of its fault."""

    pa: int = 0
    bits: int = 0
    level: int = 0


def tf(level: int) -> Ends:
    return Ends(0, FSR_TF, level)


def pf(level: int) -> Ends:
    return Ends(0, FSR_PF, level)


Change = tuple[int, int, int, int, int, int]  # op, space, iova, size, pa, prot
Access = tuple[int, int, Ends]  # op, iova, how it ends


@dataclass(frozen=True)
class Case:
    """A trace: what is mapped, what is accessed, what is taken away again, and how its tables walk."""

    spaces: tuple[dict[str, Any], ...]
    maps: tuple[Change, ...]
    before: tuple[Access, ...]
    gone: tuple[Change, ...]
    after: tuple[Access, ...]
    walk: Callable[[Any, walker.Memory, int, dict[str, bool]], walker.Result]
    fsr_format: int = 2
    space: int = 0  # that is accessed

    def rows(self) -> list[Any]:
        made: list[Any] = []
        for part in (self.maps, self.before, self.gone, self.after):
            for row in part:
                t = 1_000_000 * len(made)
                if len(row) == 6:
                    op, space, iova, size, pa, prot = row
                    made.append(event(t, op, iova, size, space=space, pa=pa, prot=prot))
                else:
                    op, iova, _ = row
                    made.append(event(t, op, iova, 4, stream=5, space=self.space))
        return made

    def save(self, path: Any) -> Any:
        spaces = [Space(space=n, name=f"s{n}", **words) for n, words in enumerate(self.spaces)]
        streams = [Stream(stream=5, name="gpu", space=self.space)]
        rows = np.array(self.rows(), ev.EVENT)
        return save(path, rows, spaces=spaces, streams=streams, invalidation="explicit")

    @property
    def ends(self) -> list[Ends]:
        return [ends for _, _, ends in (*self.before, *self.after)]


def one_stage(**words: Any) -> Any:
    def walk(regimes: Any, memory: walker.Memory, iova: int, access: dict[str, bool]) -> walker.Result:
        row = regimes[0]
        reference = walker.Regime(ttbr0=int(row.ttbr), ttbr1=int(row.ttbr1), **words)
        return walker.walk(reference, memory, iova, **access)

    return walk


def two_stages(regimes: Any, memory: walker.Memory, iova: int, access: dict[str, bool]) -> walker.Result:
    stage2 = walker.Regime(walker.AARCH64_S2, ttbr0=int(regimes[0].ttbr), t0sz=24, start_level=1, oas=48)
    stage1 = walker.Regime(walker.AARCH64_S1, ttbr0=int(regimes[1].ttbr), t0sz=25, oas=48)
    return walker.walk_nested(stage1, stage2, memory, iova, **access)


def drop(space: int, iova: int, size: int, kind: int = ev.TLBI_VA) -> tuple[Change, ...]:
    return (
        (ev.UNMAP, space, iova, size, 0, 0),
        (ev.TLBI, space, iova, size, 0, kind),
    )


CASES = {
    "linux": Case(
        ({"ias": 39},),
        ((ev.MAP, 0, 2 * M, 2 * M + 4 * K, 64 * M, RW),),
        (
            (ev.READ, 2 * M + 5, Ends(64 * M + 5)),
            (ev.WRITE, 4 * M + 8, Ends(66 * M + 8)),
            (ev.READ, 4 * M + 4 * K, tf(3)),
        ),
        drop(0, 4 * M, 4 * K),
        ((ev.READ, 4 * M, tf(3)), (ev.READ, 3 * M, Ends(65 * M))),
        one_stage(format=walker.AARCH64_S1, t0sz=25),
    ),
    "two halves": Case(
        ({"granule": 16 * K, "ias": 47, "oas": 44, "ttbr1": {"ias": 39}, "sep": 48, "asid": 7},),
        (
            (ev.MAP, 0, G, 48 * K, 3 << 40, RW),
            (ev.MAP, 0, UPPER_49, 2 * M + 4 * K, 1 << 40, RO),
        ),
        (
            (ev.READ, G + 16 * K + 4, Ends((3 << 40) + 16 * K + 4)),
            (ev.READ, UPPER_49 + 2 * M + 12, Ends((1 << 40) + 2 * M + 12)),
            (ev.WRITE, UPPER_49 + 2 * M - 4, pf(2)),
            (ev.READ, UPPER_49 + 6 * M, tf(2)),
            (ev.READ, 1 << 47, tf(0)),  # in neither half
        ),
        drop(0, UPPER_49 + 2 * M, 4 * K),
        ((ev.READ, UPPER_49 + 2 * M, tf(3)), (ev.READ, G, Ends(3 << 40))),
        one_stage(
            format=walker.AARCH64_S1,
            t0sz=17,
            t1sz=25,
            epd1=False,
            granule=16 * K,
            granule1=4 * K,
            oas=44,
            sep=48,
        ),
    ),
    "stage 2": Case(
        ({"format": "aarch64-s2", "granule": 64 * K, "ias": 40, "oas": 44},),
        ((ev.MAP, 0, G, 512 * M, 8 * G, RW), (ev.MAP, 0, 4 * G, 64 * K, 1 << 43, RO)),
        (
            (ev.WRITE, G + 99, Ends(8 * G + 99)),
            (ev.READ, 4 * G + 64 * K - 4, Ends((1 << 43) + 64 * K - 4)),
            (ev.WRITE, 4 * G, pf(3)),
            (ev.READ, 5 * G, tf(2)),
        ),
        drop(0, 4 * G, 64 * K),
        ((ev.READ, 4 * G, tf(3)),),
        one_stage(format=walker.AARCH64_S2, t0sz=24, start_level=2, granule=64 * K, oas=44),
    ),
    "nested": Case(
        (
            {"format": "aarch64-s2", "ias": 40, "start_level": 1, "vmid": 9},
            {"format": "nested", "ias": 39, "stage2": 0},
        ),
        (
            (ev.MAP, 0, G, 2 * M, 34 * M, RW),
            (ev.MAP, 1, 4 * K, 8 * K, G + 12 * K, RW),
            (ev.MAP, 1, 4 * M, 4 * K, G + 256 * M, RW),  # where stage 2 has nothing
        ),
        (
            (ev.READ, 4 * K + 1, Ends(34 * M + 12 * K + 1)),
            (ev.WRITE, 8 * K + 2, Ends(34 * M + 16 * K + 2)),
            (ev.READ, 4 * M, tf(2)),  # of stage 2: its level 1 has a table there
            (ev.READ, 16 * K, tf(3)),  # of stage 1
        ),
        # What both stages made together outlives an invalidation by IPA; section 5 of docs/translation.md.
        (
            *drop(0, G, 2 * M, ev.TLBI_IPAS2),
            (ev.READ, 4 * K, Ends(34 * M + 12 * K)),  # type: ignore[arg-type]
            (ev.TLBI, 0, 0, 0, 0, ev.TLBI_VMID),
        ),
        ((ev.READ, 4 * K, tf(2)),),
        two_stages,
        space=1,
    ),
    "long descriptors": Case(
        ({"format": "aarch32-lpae", "ias": 31, "ttbr1": {"ias": 32}},),
        ((ev.MAP, 0, 64 * K, 4 * K, 36 * G, RO), (ev.MAP, 0, 3 * G, 4 * M, 72 * G, RW)),
        (
            (ev.READ, 64 * K + 3, Ends(36 * G + 3)),
            (ev.WRITE, 3 * G + 2 * M + 7, Ends(72 * G + 2 * M + 7)),
            (ev.WRITE, 64 * K, pf(3)),
            (ev.READ, 2 * G, tf(1)),
        ),
        drop(0, 3 * G, 4 * M),
        ((ev.READ, 3 * G, tf(2)),),
        one_stage(format=walker.AARCH32_LPAE_S1, t0sz=1, t1sz=0, epd1=False),
        fsr_format=1,
    ),
    "short descriptors": Case(
        ({"format": "aarch32-short", "ias": 30, "ttbr1": {"ias": 32}},),
        (
            (ev.MAP, 0, 16 * M, M, 32 * M, RW),
            (ev.MAP, 0, 3 * G, 16 * M, 5 * G, RW),
            (ev.MAP, 0, 64 * M, 68 * K, 128 * M, RO),
        ),
        (
            (ev.WRITE, 16 * M + 11, Ends(32 * M + 11)),
            (ev.READ, 3 * G + 15 * M, Ends(5 * G + 15 * M)),
            (ev.READ, 64 * M + 64 * K, Ends(128 * M + 64 * K)),
            (ev.WRITE, 64 * M + 8, pf(2)),
            (ev.READ, 2 * G, tf(1)),
        ),
        drop(0, 64 * M, 64 * K),
        ((ev.READ, 64 * M, tf(2)), (ev.READ, 64 * M + 64 * K, Ends(128 * M + 64 * K))),
        one_stage(format=walker.AARCH32_SHORT, t0sz=2, epd1=False),
        fsr_format=0,
    ),
}
#: All accesses, in order, those among what is taken away too.
ALL = {
    name: [
        (op, row[1] if len(row) == 3 else None, row[2] if len(row) == 3 else None)
        for part in (case.before, case.gone, case.after)
        for row in part
        for op in (row[0],)
        if len(row) == 3
    ]
    for name, case in CASES.items()
}

each_case = pytest.mark.parametrize("name", CASES)


def translator_of(trace: Any) -> Translator:
    return Translator.empty([model_space(space) for space in trace.manifest.spaces])


def fed(translator: Translator, source: Source, rows: slice) -> Any:
    """Answers of those events of the trace, taken by space."""
    block = np.concatenate(list(source.blocks()))[rows]
    from smmucore.sim import Events

    columns = {name: block[name] for name in ("op", "iova", "size", "pa", "prot")}
    return translator.feed(Events(t=block["t_ns"], requester=block["space"], **columns))


def setup_of(source: Source, **changes: Any) -> tuple[Setup, Any]:
    made = plain(source, None)
    setup = Setup(
        policies.find("P1"),
        clients.find("none"),
        hardware.find("mmu500"),
        costs.profile(),
        made.requesters,
        made.spaces,
        **changes,
    )
    return setup, run_events(source, made.recipe)


def timed(source: Source) -> Outcome:
    setup, blocks = setup_of(source)
    return simulate(setup, blocks)


@each_case
@pytest.mark.nojit
def test_each_access_of_a_trace_ends_where_its_maps_say(name: str, tmp_path: Any) -> None:
    trace = open_trace(CASES[name].save(tmp_path / "t.parquet"))
    validate(trace.path)
    answers = fed(translator_of(trace), Source(trace), slice(None))
    ops = np.concatenate(list(trace.blocks()))["op"]
    made = answers[ops <= ev.EXEC]
    found = [Ends(int(a.pa), int(a.fault), int(a.level) & 3 if a.fault else 0) for a in made]
    assert found == [ends for _, _, ends in ALL[name]]


@each_case
def test_the_independent_walker_agrees_on_the_same_tables(name: str, tmp_path: Any) -> None:
    case = CASES[name]
    trace = open_trace(case.save(tmp_path / "t.parquet"))
    translator = translator_of(trace)
    fed(translator, Source(trace), slice(0, len(case.maps)))
    memory = reference_memory(translator.mem)
    for op, iova, ends in case.before:
        found = case.walk(translator.regimes, memory, iova, access_of(CoreRow(op, iova)))
        assert (found.pa or 0 if found.fault is None else 0, FSR_OF[found.fault]) == (ends.pa, ends.bits)
        if found.fault is not None:
            assert found.level == ends.level


@each_case
def test_a_timed_replay_records_the_faults_that_the_tables_give(name: str, tmp_path: Any) -> None:
    case = CASES[name]
    outcome = timed(Source(open_trace(case.save(tmp_path / "t.parquet"))))
    want = [(iova, e.bits, e.level) for _, iova, e in ALL[name] if e.bits]
    told = [(int(f.iova), int(f.fsr_bits), int(f.fsynr0 & FSYNR0_PLVL)) for f in outcome.faults]
    assert told == want
    assert outcome.counters["accesses"] == len(ALL[name])
    assert outcome.counters["completed"] == len(ALL[name]) - len(want)


@each_case
def test_the_command_replays_and_describes_it(name: str, tmp_path: Any, command: Any) -> None:
    case = CASES[name]
    path = case.save(tmp_path / "t.parquet")
    status, out, err = command(
        "replay", path, "--policy", "P1", "--client", "none", "--pace", "captured", "--json"
    )
    assert status == 0, err
    (row,) = json.loads(out)["rows"]
    assert row["counters"]["faults_injected"] == sum(1 for _, _, ends in ALL[name] if ends.bits)
    status, out, err = command("traces", "info", path)
    words = case.spaces[case.space]
    assert status == 0, err
    said = " ".join(out.split())
    assert f"{words.get('format', 'aarch64-s1')}, {words.get('granule', 4096) // K}K granule" in said
    assert f"{words['ias']} bits in" in said


@each_case
def test_fsr_tells_the_format_of_the_bank(name: str, tmp_path: Any) -> None:
    case = CASES[name]
    setup, _ = setup_of(Source(open_trace(case.save(tmp_path / "t.parquet"))))
    assert int(build(setup).host.banks[case.space].format) >> 9 == case.fsr_format


def test_a_short_descriptor_trace_may_have_a_heartbeat_of_another_format(tmp_path: Any) -> None:
    from bench.run import Runner

    path = CASES["short descriptors"].save(tmp_path / "t.parquet")
    case = ask.case(path, client="none", scenario="heartbeat:every=100us", pace="captured")
    row = Runner(case).run(policies.find("P1"), hardware.find("mmu500"))
    assert row.heartbeat_ns is not None
    assert row.counters["faults_injected"] == 3


def test_demand_paging_over_a_stage_2_is_refused(tmp_path: Any, command: Any) -> None:
    path = CASES["nested"].save(tmp_path / "t.parquet")
    status, _, err = command("replay", path, "--scenario", "demand", "--client", "pager")
    assert status == 2
    assert err.endswith("expected spaces of one stage, found nested: space 1\n")


def test_a_stray_of_a_space_with_two_halves_goes_to_the_lower(tmp_path: Any, command: Any) -> None:
    path = CASES["two halves"].save(tmp_path / "t.parquet")
    status, out, err = command(
        "replay",
        path,
        "--scenario",
        "burst:n=3,gap=100us",
        "--pace",
        "captured",
        "--policy",
        "P1",
        "--client",
        "none",
        "--json",
    )
    assert status == 0, err
    made = json.loads(out)
    assert made["manifest"]["scenario_notes"] == ["3 stray accesses of stream 5 from 0x80000000"]
    assert made["rows"][0]["counters"]["faults_injected"] == 4 + 3


def test_reach_tells_leaf_sizes_of_linux_tables_only(tmp_path: Any, command: Any) -> None:
    path = CASES["stage 2"].save(tmp_path / "t.parquet")
    status, _, err = command("reach", path)
    assert status == 2
    assert "found space 0: aarch64-s2, granule 65536" in err
    assert command("reach", path, "--page", "64K", "--json")[0] == 0


def test_a_map_that_cannot_be_is_named_by_its_event(tmp_path: Any, command: Any) -> None:
    case = CASES["short descriptors"]
    # Beyond 4G there are supersections alone; the validator does not know, the tables do.
    wrong = Case(case.spaces, ((ev.MAP, 0, M, M, 5 * G, RW),), case.before, (), (), case.walk)
    status, _, err = command("replay", wrong.save(tmp_path / "t.parquet"))
    assert status == 2
    assert "event 0: expected an IOVA inside the input address size" in err


@pytest.mark.nojit
def test_linux_tables_keep_the_walk_of_their_own() -> None:
    translator = Translator.empty(linux(39, 48))
    assert translator.regimes.format.tolist() == [0, 0]
    assert translator.mmu.owners.vmid.tolist() == [1, 2]


@pytest.mark.nojit
def test_a_vmid_that_a_space_names_is_nobody_elses() -> None:
    from smmucore.spaces import Space as Model

    spaces = (Model(), Model(vmid=1), Model(format="aarch64-s2", ias=40), Model(format="nested", stage2=2))
    translator = Translator.empty(spaces)
    assert translator.mmu.owners.vmid.tolist() == [5, 1, 3, 3]
    assert translator.mmu.owners.asid.tolist() == [0, 1, 2, 3]
