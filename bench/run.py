"""One cell of a comparison: a trace under one policy, hardware, client, scenario and cost profile."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bench import stats, tbus
from bench.blocks import Recipe, Source, bytes_of, events, row_of
from bench.errors import UsageError
from bench.inject import Injection, inject, plain
from bench.kept import Kept
from bench.scenario import Scenario
from smmucore import clients, policies
from smmucore.clients import Client
from smmucore.costs import Profile
from smmucore.hardware import Hardware
from smmucore.histogram import FROM_INTENDED, FROM_ISSUE
from smmucore.mmu import SpaceError
from smmucore.policy import Policy
from smmucore.sim import Events, Sim
from smmucore.simulate import Outcome, Setup, SimulationError, simulate
from smmucore.streams import StreamTable

CPUS = {"irq": 0, "thread": 0, "worker": 1, "submit": 1}

Percentiles = dict[str, int]


@dataclass(frozen=True)
class Case:
    """The trace and all that the cells of one comparison have in common."""

    source: Source
    client: Client
    scenario: Scenario
    costs: Profile
    pace: int | None
    seed: int = 0
    cpus: Mapping[str, int] = field(default_factory=lambda: dict(CPUS))
    streams: StreamTable | None = None
    tbus: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """What one run gave.

    Attributes
    ----------
    policy, hardware, client, scenario, costs, seed
        The axes: ids and names; the scenario verbatim.
    verdict : str
    counters : dict
        Every name of `smmucore.counters.MEANINGS`.
    latency_ns, latency_issue_ns : dict
        Percentiles over the trace's streams together, from intended time and from issue; heartbeats
        are no part of them.
    fault_ns : dict
        From record to RESUME, or to the end of the transaction where none came; exact.
    streams : dict
        The latencies of each stream, heartbeats included, by stream ID.
    heartbeat_ns : dict or None
        The heartbeats' latency from intended time.
    global_fault : dict
        What sgfsr, sgfar, sgfsynr0 and sgfsynr1 hold at the end.
    end_ns : int
        When the last transaction and the last context ended.
    proved : str or None
        The worst verdict that any order of a few faults can have (`bench.prove`), where that was asked.
    """

    policy: str
    hardware: str
    client: str
    scenario: str
    costs: str
    seed: int
    verdict: str
    counters: dict[str, int]
    latency_ns: Percentiles
    latency_issue_ns: Percentiles
    fault_ns: Percentiles
    streams: dict[str, dict[str, Percentiles]]
    heartbeat_ns: Percentiles | None
    global_fault: dict[str, int]
    end_ns: int
    proved: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain data, the design's names first."""
        return {
            "policy": self.policy,
            "hardware": self.hardware,
            "client": self.client,
            "scenario": self.scenario,
            "costs": self.costs,
            "seed": self.seed,
            "counters": self.counters,
            "latency_ns": self.latency_ns,
            "latency_issue_ns": self.latency_issue_ns,
            "fault_ns": self.fault_ns,
            "verdict": self.verdict,
            **({"proved": self.proved} if self.proved is not None else {}),
            "end_ns": self.end_ns,
            "heartbeat_ns": self.heartbeat_ns,
            "global_fault": self.global_fault,
            "streams": self.streams,
        }


#: Events of runs are kept as long as they take no more bytes together: three and a half million events.
KEEP_PACED = 128 << 20
_PACED: Kept[tuple[Events, ...]] = Kept(KEEP_PACED, lambda blocks: sum(map(bytes_of, blocks)))

#: Makespans without a scenario, by trace, hardware, costs and pace.  A sweep over costs has any number of
#: them: those asked for longest ago are forgotten.
_FAULTFREE: Kept[int] = Kept(4096)


class Runner:
    """Runs the cells of a case, from any thread."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.injection = tbus.place(inject(case.source, case.scenario, case.pace, case.seed), case.tbus)

    def with_costs(self, costs: Profile) -> Runner:
        """Return a runner of the same case with other costs: what the scenario injects is the same."""
        return self.varied(costs, self.case.client)

    def varied(self, costs: Profile, client: Client) -> Runner:
        """Return a runner of the same case with other costs and another client, to which the same holds."""
        other = copy(self)
        other.case = replace(self.case, costs=costs, client=client)
        return other

    def run(self, policy: Policy, hardware: Hardware, progress: Callable[[int], None] | None = None) -> Row:
        """Run one cell.

        Raises
        ------
        UsageError
            An event of the trace cannot be carried out (it names the trace and the event), or a stream is
            placed on a TBU that the hardware has not.
        """
        return self.row(policy, hardware, self.outcome(policy, hardware, progress))

    def outcome(
        self,
        policy: Policy,
        hardware: Hardware,
        progress: Callable[[int], None] | None = None,
        watch: Callable[[Sim], int] | None = None,
    ) -> Outcome:
        """Run one cell; return all of it: histograms, and a story for each fault.

        `watch` is told of every pause (`simulate`).

        Raises
        ------
        UsageError
            As `run`.
        """
        tbus.check(self.case.tbus, hardware)
        return self._simulate(self.injection, policy, self.case.client, hardware, progress, watch)

    def faultfree(self, hardware: Hardware) -> int:
        """Return the makespan without the scenario: same trace, pace, hardware and costs.

        Faults that the capture itself holds are terminated at once and not reported to a client.
        """
        case = self.case
        costs = tuple((name, cost.ns) for name, cost in case.costs.costs.items())
        key = hash_of(
            case.source.trace.sha256,
            repr(hardware),
            costs,
            case.pace,
            case.streams,
            tuple(case.tbus.items()),
            (tuple(case.costs.drawn.items()), case.seed) if case.costs.drawn else (),
        )
        return _FAULTFREE.get(key, lambda: self._makespan(hardware))

    def _makespan(self, hardware: Hardware) -> int:
        case = self.case
        mine = {name: tbu for name, tbu in case.tbus.items() if name != tbus.HEARTBEAT}
        made = tbus.place(plain(case.source, case.pace), mine)
        quiet = policies.find("v3-terminate" if hardware.events else "P1")
        outcome = self._simulate(made, quiet, clients.find("none"), hardware)
        return outcome.counters["makespan_ns"]

    def _events(self, made: Injection) -> Iterable[Events]:
        """Return the events of a run; those of a small trace are kept for the next that has the same."""
        source = self.case.source
        if not source.kept:
            return events(source, made.recipe)
        key = source.trace.sha256, made.recipe
        return _PACED.get(key, lambda: tuple(events(source, made.recipe)))

    def _simulate(
        self,
        made: Injection,
        policy: Policy,
        client: Client,
        hardware: Hardware,
        progress: Callable[[int], None] | None = None,
        watch: Callable[[Sim], int] | None = None,
    ) -> Outcome:
        case = self.case
        setup = Setup(
            policy=policy,
            client=client,
            hardware=hardware,
            costs=case.costs,
            requesters=made.requesters,
            spaces=made.spaces,
            cpus=case.cpus,
            lanes=made.lanes,
            premapped=made.premapped,
            demand=made.demand,
            sleeps_after=made.sleeps_after,
            streams=case.streams,
            seed=case.seed,
        )
        try:
            return simulate(setup, self._events(made), progress, watch)
        except SpaceError as error:
            raise UsageError(
                "spaces that no SMMU has", case.source.trace.path, error.expected, error.found
            ) from None
        except SimulationError as error:
            raise _at_its_row(case.source, made.recipe, error) from None

    def row(self, policy: Policy, hardware: Hardware, outcome: Outcome) -> Row:
        """Return what a comparison keeps of an outcome."""
        case = self.case
        beats = set(self.injection.heartbeats)
        mine = np.array([stream not in beats for stream in outcome.streams])
        beat = np.flatnonzero(~mine)
        return Row(
            policy=policy.id,
            hardware=hardware.name,
            client=case.client.name,
            scenario=case.scenario.text,
            costs=case.costs.name,
            seed=case.seed,
            verdict=outcome.verdict,
            counters={**outcome.counters, "faultfree_makespan_ns": self.faultfree(hardware)},
            latency_ns=_latency(outcome, np.flatnonzero(mine), FROM_INTENDED),
            latency_issue_ns=_latency(outcome, np.flatnonzero(mine), FROM_ISSUE),
            fault_ns=_fault_times(outcome.faults),
            streams={
                str(stream): {
                    "latency_ns": _latency(outcome, np.array([k]), FROM_INTENDED),
                    "latency_issue_ns": _latency(outcome, np.array([k]), FROM_ISSUE),
                }
                for k, stream in enumerate(outcome.streams)
            },
            heartbeat_ns=_latency(outcome, beat, FROM_INTENDED) if beat.size else None,
            global_fault=outcome.global_fault,
            end_ns=int(outcome.end_ns),
        )


def hash_of(*parts: Any) -> str:
    """Return 32 hex digits of what `parts` are written as."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _latency(outcome: Outcome, streams: Any, kind: int) -> Percentiles:
    counts = outcome.histogram[streams, kind].sum(axis=0)
    return stats.of_histogram(counts, int(outcome.highest[streams, kind].max(initial=0)))


def _fault_times(faults: Any) -> Percentiles:
    end = np.where(faults["t_resumed"] >= 0, faults["t_resumed"], faults["t_retired"])
    told = (faults["t_recorded"] >= 0) & (end >= 0)
    return stats.of_samples(end[told] - faults["t_recorded"][told])


def _at_its_row(source: Source, recipe: Recipe, error: SimulationError) -> UsageError:
    row = row_of(source, recipe, error.index)
    where = f"{source.trace.path}: event {row}"
    return UsageError("an event cannot be carried out", where, error.expected)
