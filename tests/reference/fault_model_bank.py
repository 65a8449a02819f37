"""A context bank of the plain-Python fault model: registers, stall, FIFO, line (docs/model.md, section 4)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from .fault_model_translation import FSR_PF, FSR_TF

if TYPE_CHECKING:
    from .fault_model import Transaction

FSR_SYNDROME = 0x1FE  #: TF, AFF, PF, EF, TLBMCF, TLBLKF, ASF, UUT
FSR_FORMAT_2 = 2 << 9
FSR_SS = 1 << 30
FSR_MULTI = 1 << 31
FSR_FAULT_BITS = FSR_SYNDROME | FSR_MULTI

FSYNR0_WNR = 1 << 4
FSYNR0_PNU = 1 << 5
FSYNR0_IND = 1 << 6

assert FSR_SYNDROME & (FSR_TF | FSR_PF) == FSR_TF | FSR_PF


@dataclass(eq=False)
class Fault:
    """One faulting translation, from its arrival at the bank to the end of its transaction."""

    transaction: Transaction
    syndrome: int
    fsynr0: int
    t_arrived: int
    record: str = "pending"  #: pending, recorded, coalesced, lost
    seen: bool = False
    counted: bool = True
    outcome: str = "pending"  #: pending, retried, terminated
    t_recorded: int | None = None
    t_irq: int | None = None
    t_resumed: int | None = None
    spurious_entries: int = 0  #: while this was the last fault seen of its bank

    def row(self) -> dict[str, Any]:
        return {
            "t_arrived": self.t_arrived,
            "t_recorded": self.t_recorded,
            "t_irq": self.t_irq,
            "t_resumed": self.t_resumed,
            "t_retired": self.transaction.ended_at,
            "record": self.record,
            "outcome": self.outcome,
        }


class Datapath(Protocol):
    """What a bank needs of the TBUs: to end a transaction, or to have it translated."""

    now: int
    counters: dict[str, int]

    def terminate(self, transaction: Transaction) -> None: ...
    def translate(self, transaction: Transaction) -> None: ...
    def progress(self) -> None: ...
    def stall_ends(self, since: int) -> None: ...


class ContextBank:
    """The registers that software sees, and the transactions that wait behind them."""

    def __init__(self, number: int, hw: dict[str, Any], cfcfg: bool, hupcf: bool, path: Datapath) -> None:
        self.number = number
        self.hw = hw
        self.path = path
        self.cfie = True
        self.can_stall = bool(hw["stalls"] or hw.get("events", 0))
        self.cfcfg = cfcfg and self.can_stall
        self.hupcf = hupcf or not self.can_stall
        self.fsr = 0
        self.far = 0
        self.fsynr0 = 0
        self.current: Fault | None = None  #: the fault whose record FSR, FAR and FSYNR0 hold
        self.head: Fault | None = None  #: the stalled one
        self.fifo: list[Fault | Transaction] = []
        self.line_up = False
        self.stalled_since = 0
        self.stalled_ns = 0
        self.last_seen: Fault | None = None
        self.lock_owner: object | None = None

    @property
    def stalled(self) -> bool:
        return bool(self.fsr & FSR_SS)

    @property
    def outstanding(self) -> bool:
        return bool(self.fsr & (FSR_FAULT_BITS | FSR_SS))

    @property
    def frozen(self) -> bool:
        return self.stalled and self.hw["fsr_frozen_while_stalled"]

    # --- faults -------------------------------------------------------------------------

    def fault_arrives(self, fault: Fault) -> None:
        self.path.counters["faults_injected"] += 1
        if self.cfcfg and not self.stalled:
            self._record(fault)
            self._stall(fault)
        elif self.cfcfg and self.hw["second_fault"] == "queue":
            self.fifo.append(fault)
            if not self.frozen and self._latch(fault):
                # Told ahead of its turn: a pass may see it, but it is counted when its turn comes.
                self.current = replace(fault, counted=False)
        else:
            self._terminate(fault)
            if self.frozen:
                fault.record = "lost"
                self.path.counters["faults_lost"] += 1
            else:
                self._record(fault)

    def _record(self, fault: Fault) -> None:
        fault.t_recorded = self.path.now
        if self._latch(fault):
            fault.record = "recorded"
            self.path.counters["faults_recorded"] += 1
            self.current = fault
        else:
            fault.record = "coalesced"
            self.path.counters["faults_coalesced"] += 1

    def _latch(self, fault: Fault) -> bool:
        """Put a fault into the registers; False where a fault bit was set, so that only MULTI could tell."""
        if self.fsr & FSR_FAULT_BITS:
            self.fsr |= FSR_MULTI
            return False
        self.fsr |= fault.syndrome | FSR_FORMAT_2
        self.far = fault.transaction.iova
        self.fsynr0 = fault.fsynr0
        return True

    def _stall(self, fault: Fault) -> None:
        self.fsr |= FSR_SS
        self.head = fault
        self.stalled_since = self.path.now

    def _terminate(self, fault: Fault) -> None:
        fault.outcome = "terminated"
        self.path.terminate(fault.transaction)

    # --- accesses that are held because of HUPCF ------------------------------------------

    def holds_accesses(self) -> bool:
        return not self.hupcf and self.outstanding

    def hold(self, transaction: Transaction) -> None:
        self.path.counters["collateral"] += 1
        if self.cfcfg:
            self.fifo.append(transaction)
        else:
            self.path.terminate(transaction)

    # --- what software writes -------------------------------------------------------------

    def write_fsr(self, value: int) -> None:
        self.fsr &= ~(value & FSR_FAULT_BITS)
        if not self.fsr & FSR_SYNDROME and self.current is not None:
            if not self.current.seen and self.current.counted:
                self.current.record = "lost"
                self.path.counters["faults_recorded"] -= 1
                self.path.counters["faults_lost"] += 1
            self.current = None
        self._drain()

    def write_resume(self, retry: bool, meant: Fault | None) -> None:
        counters = self.path.counters
        counters["resume_written"] += 1
        if not self.stalled or (self.hw["resume_needs_fsr_clear"] and self.fsr & FSR_FAULT_BITS):
            counters["resume_ignored"] += 1
            self._drain()
            return
        head = self.head
        assert head is not None
        counters["resume_stray"] += head is not meant
        self.fsr &= ~FSR_SS
        self.stalled_ns += self.path.now - self.stalled_since
        self.path.stall_ends(self.stalled_since)
        self.head = None
        head.t_resumed = self.path.now
        self.path.progress()
        if retry:
            counters["retried"] += 1
            head.outcome = "retried"
            self.path.translate(head.transaction)
        else:
            self._terminate(head)
        self._drain()

    def write_sctlr(
        self, *, cfie: bool | None = None, cfcfg: bool | None = None, hupcf: bool | None = None
    ) -> None:
        """Change the bits that are named; a part that cannot stall has two of them read-only."""
        self.cfie = self.cfie if cfie is None else cfie
        if self.can_stall:
            self.cfcfg = self.cfcfg if cfcfg is None else cfcfg
            self.hupcf = self.hupcf if hupcf is None else hupcf
        self._drain()

    def _drain(self) -> None:
        while self.fifo and not self.stalled:
            waiting = self.fifo[0]
            if isinstance(waiting, Fault):
                del self.fifo[0]
                self._record(waiting)
                if self.cfcfg:
                    self._stall(waiting)
                else:
                    self._terminate(waiting)
            elif not self.hupcf and self.fsr & FSR_FAULT_BITS:
                if self.cfcfg:
                    return
                del self.fifo[0]
                self.path.terminate(waiting)
            else:
                del self.fifo[0]
                self.path.translate(waiting)

    # --- the line ---------------------------------------------------------------------------

    def update_line(self) -> None:
        asserted = bool(self.fsr & FSR_FAULT_BITS) or (self.hw["ss_asserts_irq"] and self.stalled)
        held = self.hw["irq_held_until_resume"] and self.line_up and self.stalled
        self.line_up = self.cfie and (asserted or held)
