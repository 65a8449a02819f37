"""The plain fault model, driven move by move as docs/decisions/0010 says, and what its states are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from traces import events as ev

from . import fault_model_lines as lines
from .fault_model import Machine, Transaction
from .fault_model_bank import FSR_FAULT_BITS, FSR_MULTI, FSR_SS, FSR_SYNDROME, ContextBank, Fault
from .fault_model_cpus import HARD, SUBMIT, Context, Step
from .fault_model_lines import Driver
from .fault_model_policies import CORE, Pass
from .fault_model_power import BusError
from .fault_model_queue import FaultEvent
from .fault_model_setup import Setup
from .fault_model_steps import Steps

PAGE = 4096
FOREVER = 1 << 60

#: A move: what, and of whom.
Move = tuple[str, int, int]
TAKES = "context"
OPTIONAL = ("fault", "hold", "submit", "dump gone", "sleep")


class Watched(Steps):
    """The vocabulary, with a note on steps that an observer asks about."""

    def report(self) -> Step:
        step = super().report()
        step.tells = True  # type: ignore[attr-defined]
        return step

    def log(self, site: int, lines: int) -> Step:
        step = super().log(site, lines)
        step.tells = site == CORE  # type: ignore[attr-defined]
        return step

    def read(self, register: str) -> Step:
        step = super().read(register)
        step.reads_fsr = register == "FSR"  # type: ignore[attr-defined]
        return step


@dataclass
class Cell:
    """What is explored."""

    policy: str
    client: str
    hw: dict[str, Any]
    same_cpu: bool
    faults: int
    costs: dict[str, int]  #: every name, 0
    pages: bool = False
    by_address: bool = False  #: FAR plays a part
    banks: int = 1
    sleeps: bool = False

    def machine(self) -> Machine:
        other = 0 if self.same_cpu else 1
        costs = {**self.costs, "dump_kept": FOREVER, "cooldown": -1}
        machine = Machine(
            Setup(
                events=[],
                requesters=[(b, b, 0) for b in range(self.banks)],
                policy=self.policy,
                client=self.client,
                hw=self.hw,
                costs=costs,
                cpus={"irq": 0, "thread": 0, "work": other, "submit": other},
                demand=self.pages,
                livelock_limit=FOREVER,
                suspend_after=1 if self.sleeps else 0,
            )
        )
        if self.pages:
            for b in range(self.banks):
                for k in range(self.faults):
                    machine.shadow.map(b, PAGE * (k + 1), PAGE, PAGE * (k + 1), ev.PROT_READ | ev.PROT_WRITE)
        return machine


class Walk:
    """A machine, driven move by move."""

    def __init__(self, cell: Cell) -> None:
        lines.Steps = Watched  # type: ignore[misc]  (it only takes notes)
        self.cell = cell
        self.machine = cell.machine()
        self.left = cell.faults
        self.untold = [False] * cell.banks
        self.machine._settle()

    # --- what may come -----------------------------------------------------------------------

    def obliged(self) -> Iterator[Move]:
        for line in self.machine.lines:
            if line.deliver_at is not None:
                yield TAKES, HARD, line.number
        for context in self.machine.running.values():
            assert context.step is not None
            if context.step.waits_for():
                yield TAKES, context.kind, context.number
        for b, page in sorted({self._flight(arrival[2]) for arrival in self.machine.arrivals}):
            yield "flight", b, page

    def free(self) -> Iterator[Move]:
        for bank in self.machine.banks:
            if self.left:
                yield "fault", bank.number, 0
                if bank.holds_accesses() and bank.cfcfg:
                    yield "hold", bank.number, 0
        for driver in self.machine.drivers:
            start = driver.may_stall_from()
            if driver.submits and not driver.submit.runnable and start is not None and start <= 0:
                yield "submit", driver.bank.number, 0
        dumps = self.machine.dumps
        if self.machine.submitting and dumps.exists(0) and not dumps.capturing:
            yield "dump gone", 0, 0
        power = self.machine.power
        if self.cell.sleeps and not (power.users or power.open or power.asleep):
            yield "sleep", 0, 0

    def _flight(self, fault: Fault) -> tuple[int, int]:
        transaction = fault.transaction
        return transaction.bank, transaction.iova // PAGE if self.cell.by_address else 0

    # --- what comes ----------------------------------------------------------------------------

    def do(self, move: Move) -> frozenset[str]:
        """Make a move; return what it did."""
        machine, (kind, major, minor) = self.machine, move
        before = dict(machine.counters)
        multi = [bool(bank.fsr & FSR_MULTI) for bank in machine.banks]
        what = set()
        read = -1
        if kind == TAKES:
            try:
                what, read = self._context(major, minor)
            except BusError:
                return frozenset({"crash"})
        elif kind in ("fault", "hold"):
            self._access(machine.banks[major], held=kind == "hold")
        elif kind == "flight":
            chosen = next(a for a in machine.arrivals if self._flight(a[2]) == (major, minor))
            self._land(chosen)
        elif kind == "submit":
            machine.drivers[major].begin_submit()
        elif kind == "sleep":
            machine.power.used_until = -1
        else:
            machine.dumps.gone_at = 0
        machine._settle()
        what |= self._counted(before)
        for bank in machine.banks:
            b, now = bank.number, bool(bank.fsr & FSR_MULTI)
            if machine.counters["resume_ignored"] > before["resume_ignored"] and bank.stalled:
                what.add("ignored")
            if not now:
                if self.untold[b]:
                    what.add("lost")
                self.untold[b] = False
            elif not multi[b]:
                self.untold[b] = True
            elif read == b:
                self.untold[b] = False
        return frozenset(what)

    def _context(self, kind: int, number: int) -> tuple[set[str], int]:
        machine = self.machine
        what: set[str] = set()
        read = -1
        line = machine.lines[number] if kind == HARD else None
        if line is None or line.deliver_at is None:
            context = machine.context_of[kind, number]
            step = context.step
            assert step is not None
            p = pass_of(context)
            told = getattr(step, "tells", False) and p is not None
            if told and p.fsr & FSR_MULTI and not p.fsr & FSR_SYNDROME:
                what.add("stale")
            if getattr(step, "reads_fsr", False):
                read = number_of_bank(context)
            for other in machine.lines:
                ends = step.effect == other._exit and kind == HARD
                ends |= step.effect == other.thread_ends and other.entry.threads_left == 1
                if ends:
                    what.add("unhandled" if other.entry.none else "handled")
        machine._context_event(kind, number)
        return what, read

    def _access(self, bank: ContextBank, held: bool) -> None:
        page = self.cell.faults - self.left + 1 if self.cell.by_address else 1
        self.left -= 1
        access = Transaction(bank.number, bank.number, 0, ev.READ, PAGE * page, False, 0, 0, 0)
        self.machine.transactions.append(access)
        self.machine.power.access_arrives()
        if held:
            bank.hold(access)
            return
        self.machine.translate(access)
        if self.cell.sleeps:
            return  # it is awake now, and the fault arrives later
        self._land(self.machine.arrivals[-1])

    def _land(self, arrival: tuple[int, int, Fault]) -> None:
        rest = [other for other in self.machine.arrivals if other is not arrival]
        self.machine.arrivals = [arrival]
        self.machine._fault_arrives()
        self.machine.arrivals += rest

    def _counted(self, before: dict[str, int]) -> set[str]:
        now = self.machine.counters
        more = {name: now[name] - before[name] for name in now}
        what = {
            name
            for name, counter in (
                ("entered", "irq_entries"),
                ("spurious", "irq_spurious"),
                ("retried", "retried"),
                ("stray", "resume_stray"),
                ("lost", "faults_lost"),
                ("folded", "faults_coalesced"),
            )
            if more[counter] > 0
        }
        if more["resume_written"] > more["resume_ignored"]:
            what.add("resumed")
        return what

    # --- what there is ---------------------------------------------------------------------------

    def about(self) -> frozenset[str]:
        made = set()
        for bank in self.machine.banks:
            made |= {"stalled"} if bank.stalled else set()
            made |= {"waiting"} if bank.fifo else set()
            made |= set() if bank.cfie else {"no CFIE"}
        for line in self.machine.lines:
            made |= {"masked"} if line.masked or line.switched_off else set()
            made |= {"busy"} if line.pending else set()
        made |= {"busy"} if any(context.runnable for context in self.machine.contexts) else set()
        queue = self.machine.queue
        if queue is not None:
            made |= {"stalled"} if queue.stalled else set()
            made |= {"waiting"} if queue.held else set()
        return frozenset(made)

    def key(self) -> Any:
        """Everything that can matter: equal keys go on alike."""
        machine = self.machine
        self.names: dict[int, int] = {}
        return (
            self.project(),
            tuple(self.untold),
            tuple(self._bank(bank) for bank in machine.banks),
            tuple((line.entry.saw_new, line.entry.none, line.entry.passes_left, line.entry.threads_left)
                  if line.hard.runnable or line.entry.threads_left else None for line in machine.lines),
            tuple(self._context_key(context) for context in machine.contexts),
            tuple(self._driver(driver) for driver in machine.drivers),
            tuple(sorted(self._flight(arrival[2]) for arrival in machine.arrivals)),
            machine.dumps.exists(0), machine.dumps.capturing,
            self._mapped(),
            self._queue(),
            machine.power.users, machine.power.open,
        )  # fmt: skip

    def _event(self, event: FaultEvent | None) -> Any:
        """An event, its transaction named by where it is met first; one that is not stalled has no name."""
        if event is None:
            return None
        assert self.machine.queue is not None
        name = None
        if event.fault in self.machine.queue.stalled:
            name = self.names.setdefault(id(event.fault), len(self.names))
        return name, event.ss, event.joined, event.bank, self._page(event.far)

    def _queue(self) -> Any:
        queue = self.machine.queue
        if queue is None:
            return None
        stalled = sorted(
            (self.names.get(id(fault), -1), self._page(fault.transaction.iova) or 0)
            for fault in queue.stalled
        )
        entries, held = ([self._event(event) for event in some] for some in (queue.entries, queue.held))
        return tuple(entries), queue.known, tuple(held), tuple(stalled)

    def _mapped(self) -> Any:
        if not self.cell.pages:
            return ()
        pages = [(b, PAGE * (k + 1)) for b in range(self.cell.banks) for k in range(self.cell.faults)]
        return tuple(self.machine.tables.page_at(b, iova) is not None for b, iova in pages)

    def _page(self, iova: int | None) -> int | None:
        return None if iova is None else iova // PAGE if self.cell.by_address else 0

    def _bank(self, bank: ContextBank) -> Any:
        record = bank.current
        fifo = tuple(
            (isinstance(w, Fault), self._page((w.transaction if isinstance(w, Fault) else w).iova))
            for w in bank.fifo
        )
        return (
            bank.hupcf,
            bank.line_up,
            None if record is None else (record.seen, record.counted),
            None if bank.head is None else self._page(bank.head.transaction.iova),
            fifo,
            self._page(bank.far),
            bank.lock_owner is not None and self.machine.contexts.index(bank.lock_owner),  # type: ignore[arg-type]
        )

    def _driver(self, driver: Driver) -> Any:
        queued = tuple(self._pass(p, driver.bank) for p in driver.work_queue)
        return driver.stall_on, self._page(driver.noted_far), queued

    def _pass(self, p: Pass, bank: ContextBank) -> Any:
        return (
            p.fsr & (FSR_FAULT_BITS | FSR_SS),
            self._page(p.far),
            p.meant is not None and p.meant is bank.head,
            p.fsr_of is not None and p.fsr_of is bank.current,
            p.far_of is not None and p.far_of is bank.current,
            p.saw_new, p.none, p.ret, p.mapped, p.new_far, p.may_stall, self._event(p.event),
            p.user,
        )  # fmt: skip

    def _context_key(self, context: Context) -> Any:
        if context.script is None:
            return None
        places = []
        passed = None
        for frame in frames(context):
            simple = {
                name: value
                for name, value in frame.f_locals.items()
                if isinstance(value, bool | int | str | None)
            }
            if "driver" in frame.f_locals:
                simple["driver"] = frame.f_locals["driver"].bank.number
            places.append((frame.f_code.co_qualname, frame.f_lasti, tuple(sorted(simple.items(), key=str))))
            if "p" in frame.f_locals:
                passed = self._pass(frame.f_locals["p"], self.machine.banks[number_of_bank(context)])
        assert context.step is not None
        cells = getattr(context.step.effect, "__closure__", None) or ()
        decided = tuple(cell.cell_contents for cell in cells if isinstance(cell.cell_contents, bool))
        return tuple(places), passed, context.irqs_off, decided

    def project(self) -> Any:
        """What both explorers can say of a state, in words of neither."""
        machine, queue, jobs = self.machine, self.machine.queue, self.machine.drivers[0].work_queue
        banks = tuple(
            (
                bank.fsr & (FSR_FAULT_BITS | FSR_SS),
                bank.cfie,
                bank.cfcfg,
                tuple(isinstance(waiting, Fault) for waiting in bank.fifo),
                bank.current is not None and bank.current.seen,
            )
            for bank in machine.banks
        )
        return (
            self.left,
            banks,
            len(machine.arrivals),
            tuple(
                (line.masked or line.switched_off > 0, line.deliver_at is not None) for line in machine.lines
            ),
            tuple(context.runnable for context in machine.contexts if self._counts(context)),
            tuple(context.irqs_off for context in machine.contexts if self._counts(context)),
            frozenset((context.kind, context.number) for context in machine.running.values()),
            machine.dumps.exists(0),
            machine.dumps.capturing,
            machine.power.used_until < 0,
            None if queue is None else tuple(map(len, (queue.entries, queue.held, queue.stalled, jobs))),
        )

    def _counts(self, context: Context) -> bool:
        return context.kind != SUBMIT or bool(self.machine.submitting)


def frames(context: Context) -> Iterator[Any]:
    """The frames of a context's program, the outermost first."""
    program: Any = context.script
    while program is not None and hasattr(program, "gi_frame"):
        if program.gi_frame is not None:
            yield program.gi_frame
        program = program.gi_yieldfrom


def pass_of(context: Context) -> Pass | None:
    found = [frame.f_locals["p"] for frame in frames(context) if "p" in frame.f_locals]
    return found[-1] if found else None


def number_of_bank(context: Context) -> int:
    """The bank that a context's pass is about: a hard IRQ may look at several."""
    for frame in frames(context):
        if context.kind == HARD and "driver" in frame.f_locals:
            return int(frame.f_locals["driver"].bank.number)
    return context.number
