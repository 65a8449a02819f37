"""The event queue of an SMMUv3 in the plain-Python fault model (docs/decisions/0009-smmuv3-with-iopf.md)."""

from __future__ import annotations

from dataclasses import dataclass

from .fault_model_bank import FSR_FORMAT_2, FSR_SS, Datapath, Fault


@dataclass(eq=False)
class FaultEvent:
    """What the SMMU tells of one fault."""

    fault: Fault
    ss: bool
    joined: bool = False  #: the worker's queue

    @property
    def bank(self) -> int:
        return self.fault.transaction.bank

    @property
    def far(self) -> int:
        return self.fault.transaction.iova

    @property
    def bits(self) -> int:
        return self.fault.syndrome | FSR_FORMAT_2 | FSR_SS * self.ss


class EventQueue:
    """Events in order, those held until there is room, and the transactions that are stalled."""

    def __init__(self, size: int, stall_max: int, path: Datapath) -> None:
        self.size = size
        self.stall_max = stall_max
        self.path = path
        self.entries: list[FaultEvent] = []
        self.held: list[FaultEvent] = []
        self.known = 0  #: how many entries the driver knows of
        self.stalled: set[Fault] = set()
        self.stalled_since = 0
        self.stalled_ns = 0
        self.last_seen: Fault | None = None

    def fault_arrives(self, fault: Fault, cfcfg: bool) -> None:
        counters = self.path.counters
        counters["faults_injected"] += 1
        event = FaultEvent(fault, cfcfg and len(self.stalled) < self.stall_max)
        if event.ss:
            if not self.stalled:
                self.stalled_since = self.path.now
            self.stalled.add(fault)
        else:
            self._terminate(fault)
        if len(self.entries) < self.size:
            self._write(event)
        elif event.ss:
            self.held.append(event)
        else:
            fault.record = "lost"
            counters["faults_lost"] += 1

    def _write(self, event: FaultEvent) -> None:
        event.fault.t_recorded = self.path.now
        event.fault.record = "recorded"
        self.path.counters["faults_recorded"] += 1
        self.entries.append(event)

    def _terminate(self, fault: Fault) -> None:
        fault.outcome = "terminated"
        self.path.terminate(fault.transaction)

    def take(self) -> FaultEvent | None:
        """Take the first event, if the driver knows of one; a held one has room then."""
        if not self.known:
            return None
        self.known -= 1
        event = self.entries.pop(0)
        if self.held:
            self._write(self.held.pop(0))
        return event

    def resume(self, event: FaultEvent, retry: bool) -> None:
        """CMD_RESUME: one transaction goes on, whichever bank it is of."""
        counters, fault = self.path.counters, event.fault
        counters["resume_written"] += 1
        if fault not in self.stalled:
            counters["resume_ignored"] += 1
            return
        self.stalled.remove(fault)
        if not self.stalled:
            self.stalled_ns += self.path.now - self.stalled_since
            self.path.stall_ends(self.stalled_since)
        fault.t_resumed = self.path.now
        self.path.progress()
        if retry:
            counters["retried"] += 1
            fault.outcome = "retried"
            self.path.translate(fault.transaction)
        else:
            self._terminate(fault)

    def clear(self) -> None:
        """What the driver's resume does: events that no pass has taken are lost."""
        for event in self.entries:
            event.fault.record = "lost"
            self.path.counters["faults_recorded"] -= 1
            self.path.counters["faults_lost"] += 1
        self.entries = []
        self.known = 0
