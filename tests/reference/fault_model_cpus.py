"""Lines, contexts and CPUs of the plain-Python fault model (docs/model.md, sections 5 and 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .fault_model_bank import ContextBank
from .fault_model_clients import Client
from .fault_model_policies import GPU, Pass, Policy

if TYPE_CHECKING:
    from .fault_model import Machine

HARD, THREAD, WORKER = 0, 1, 2  #: in order of priority
CPU_COUNTER = ("cpu_irq_ns", "cpu_thread_ns", "cpu_work_ns")
CONSOLE = ("console_first", "console_second", "console_third")

STORM = 8  #: more spurious entries than this for one fault are a storm
RATELIMIT_BURST = 10
RATELIMIT_NS = 5_000_000_000
DETECTOR_ENTRIES = 100_000
DETECTOR_UNHANDLED = 99_900
DETECTOR_GAP_NS = 100_000_000


@dataclass
class Step:
    """Something that takes a CPU for `cost`, and has its effect at the end of that."""

    cost: int
    effect: Callable[[], None] = lambda: None
    waits_for: Callable[[], bool] = lambda: True  #: spins, on the CPU, until this holds


@dataclass(eq=False)
class Context:
    """A hard IRQ, an IRQ thread or a worker, of one bank, on one CPU."""

    kind: int
    bank: ContextBank
    cpu: int
    script: Iterator[Step] | None = None
    step: Step | None = None
    remaining: int = 0
    irqs_off: bool = False
    pass_began: int | None = None
    last_ran: int = 0

    @property
    def runnable(self) -> bool:
        return self.script is not None

    def start(self, script: Iterator[Step]) -> None:
        assert not self.runnable
        self.script = script
        self.fetch()

    def fetch(self) -> None:
        assert self.script is not None
        self.step = next(self.script, None)
        if self.step is None:
            self.script = None
        else:
            self.remaining = self.step.cost

    def end_step(self) -> None:
        """Have the effect, and go on to the next step whose condition holds."""
        assert self.step is not None
        self.step.effect()
        self.fetch()


@dataclass
class Ratelimit:
    """The state of one call site: 10 per 5 s, for the whole machine."""

    begin: int | None = None
    printed: int = 0
    missed: int = 0


class Line:
    """The interrupt line of one bank, with the contexts that serve it."""

    def __init__(self, machine: Machine, bank: ContextBank, policy: Policy, client: Client) -> None:
        cpus = machine.setup.cpus
        self.machine = machine
        self.bank = bank
        self.policy = policy
        self.client = client
        self.hard = Context(HARD, bank, cpus["irq"])
        self.thread = Context(THREAD, bank, cpus["thread"])
        self.work = Context(WORKER, bank, cpus["work"])
        self.masked = False
        self.switched_off = 0
        self.disabled = False
        self.deliver_at: int | None = None
        self.pending = False  #: delivered, and waiting for its CPU
        self.taken_at = 0
        self.detector_count = 0
        self.unhandled = 0
        self.last_unhandled: int | None = None
        self.work_pending: Pass | None = None

    @property
    def wants_cpu(self) -> bool:
        return self.bank.line_up and not self.masked and not self.switched_off and not self.disabled

    def settle(self) -> None:
        """Start a delivery where one is due."""
        if self.wants_cpu and not self.hard.runnable and not self.pending and self.deliver_at is None:
            self.deliver_at = self.machine.now + self.machine.setup.costs["irq_delivery"]

    def delivered(self) -> None:
        self.deliver_at = None
        self.pending = self.wants_cpu

    def take(self) -> None:
        machine = self.machine
        self.pending = False
        self.taken_at = machine.now
        machine.counters["irq_entries"] += 1
        idle = not any(other.runnable and other.cpu == self.hard.cpu for other in machine.contexts)
        self.hard.start(self._hard_threaded() if self.policy.threaded else self._hard(idle))

    # --- what the contexts run ------------------------------------------------------------

    def _hard(self, idle: bool) -> Iterator[Step]:
        costs = self.machine.setup.costs
        yield Step(costs["irq_entry_idle" if idle else "irq_entry_task"])
        yield from self._handler_pass(self.hard)
        yield Step(costs["irq_exit_idle" if idle else "irq_exit_task"], self._retake)

    def _hard_threaded(self) -> Iterator[Step]:
        costs = self.machine.setup.costs
        yield Step(costs["oneshot_entry"], self._mask_and_wake)
        yield Step(costs["oneshot_exit"], self._retake)

    def _mask_and_wake(self) -> None:
        self.masked = True
        self.thread.start(self._thread())

    def _thread(self) -> Iterator[Step]:
        yield Step(self.machine.time_to_wake("thread_wake"))
        yield from self._handler_pass(self.thread)
        yield Step(self.machine.setup.costs["oneshot_unmask"], self._unmask)

    def _unmask(self) -> None:
        self.masked = False
        if not self.hard.runnable:  # else the end of the hard part looks at the line
            self._retake()

    def _retake(self) -> None:
        """Level-triggered: the line is looked at again, and taken with no delivery time."""
        self.pending = self.wants_cpu

    def _handler_pass(self, context: Context) -> Iterator[Step]:
        p = Pass(entered=self.taken_at)
        self.machine.pass_begins(context)
        yield from self.policy.handler(Steps(self, context, p), p, self.client)
        yield Step(0, lambda: self._end_pass(p))
        context.pass_began = None

    def _worker(self) -> Iterator[Step]:
        yield Step(self.machine.time_to_wake("work_wake"))
        while self.work_pending is not None:  # once awake, it takes what has been queued meanwhile
            p, self.work_pending = self.work_pending, None
            self.machine.pass_begins(self.work)
            yield from self.policy.work(Steps(self, self.work, p), p, self.client)
            yield Step(0)  # RETURN
            self.work.pass_began = None

    def queue_work(self, p: Pass) -> None:
        if self.work_pending is None:
            self.work_pending = copy(p)
            if not self.work.runnable:
                self.work.start(self._worker())

    # --- the end of a pass ------------------------------------------------------------------

    def _end_pass(self, p: Pass) -> None:
        counters = self.machine.counters
        if not p.saw_new:
            counters["irq_spurious"] += 1
            if self.bank.last_seen is not None:
                self.bank.last_seen.spurious_entries += 1
                self.machine.stormed |= self.bank.last_seen.spurious_entries > STORM
        counters["irq_none"] += p.none
        self._detect(p.none)

    def _detect(self, none: bool) -> None:
        """Linux's note_interrupt()."""
        now = self.machine.now
        if none:
            restart = self.last_unhandled is not None and now > self.last_unhandled + DETECTOR_GAP_NS
            self.unhandled = 1 if restart else self.unhandled + 1
            self.last_unhandled = now
        if not self.unhandled:
            return
        self.detector_count += 1
        if self.detector_count < DETECTOR_ENTRIES:
            return
        self.detector_count = 0
        if self.unhandled > DETECTOR_UNHANDLED:
            self.disabled = True
        self.unhandled = 0


class Steps:
    """The vocabulary of a pass: each method makes one step."""

    def __init__(self, line: Line, context: Context, p: Pass) -> None:
        self.line = line
        self.machine = line.machine
        self.bank = line.bank
        self.context = context
        self.p = p
        self.costs = line.machine.setup.costs

    def read(self, register: str) -> Step:
        def effect() -> None:
            self.machine.counters["mmio_reads"] += 1
            p, bank = self.p, self.bank
            if register == "FSR":
                p.fsr, p.meant, p.fsr_of = bank.fsr, bank.head, bank.current
            elif register == "FAR":
                p.far, p.far_of = bank.far, bank.current
            elif register == "FSYNR0":
                p.fsynr0 = bank.fsynr0
            self._see()

        return Step(self.costs["mmio_read"], effect)

    def _see(self) -> None:
        p, record = self.p, self.bank.current
        if record is None or record.seen or p.fsr_of is not record or p.far_of is not record:
            return
        record.seen = True
        record.t_irq = p.entered
        p.saw_new = True
        self.bank.last_seen = record
        self.machine.progress()

    def check(self) -> Step:
        return Step(self.costs["check"])

    def report(self) -> Step:
        return Step(self.costs["report"])

    def log(self, site: int, lines: int) -> Step:
        """Ask the ratelimit now, as the step starts; what it says decides the cost."""
        now, limit = self.machine.now, self.machine.ratelimits[site]
        cost = printed = 0
        if limit.begin is None:
            limit.begin = now
        if now > limit.begin + RATELIMIT_NS:
            if limit.missed:
                cost += self.costs["log_summary"] + self.costs["console_summary"]
                self.machine.counters["console_ns"] += self.costs["printer_summary"]
                printed += 1
            limit.begin, limit.printed, limit.missed = now, 0, 0
        if limit.printed == RATELIMIT_BURST:
            limit.missed += 1
            self.machine.counters["log_suppressed"] += 1
            return Step(cost + self.costs["log_suppressed"])
        limit.printed += 1
        consoles = ("console_gpu",) if site == GPU else CONSOLE[:lines]
        cost += sum(self.costs["log_line"] + self.costs[console] for console in consoles)
        self.machine.counters["log_lines"] += printed + lines
        printers = (console.replace("console", "printer") for console in consoles)
        self.machine.counters["console_ns"] += sum(self.costs[printer] for printer in printers)
        return Step(cost)

    def _write(self, effect: Callable[[], None]) -> Step:
        def counted() -> None:
            self.machine.counters["mmio_writes"] += 1
            effect()

        return Step(self.costs["mmio_write"], counted)

    def write_fsr(self, value: int) -> Step:
        return self._write(lambda: self.bank.write_fsr(value))

    def write_resume(self, retry: bool) -> Step:
        return self._write(lambda: self.bank.write_resume(retry, self.p.meant))

    def write_cfie(self, cfie: bool) -> Step:
        return self._write(lambda: self.bank.write_cfie(cfie))

    def no_more_stalls(self) -> Step:
        return self._write(self.bank.no_more_stalls)

    def switch_irq(self, on: bool) -> Step:
        """disable_irq_nosync() and enable_irq()."""

        def effect() -> None:
            self.line.switched_off += -1 if on else 1

        return Step(self.costs["mmio_write"], effect)

    def lock(self) -> Step:
        """Interrupts are off from the start of the step, so that a spin cannot be interrupted."""

        def effect() -> None:
            self.bank.lock_owner = self.context

        self.context.irqs_off = self.context.kind != HARD
        return Step(0, effect, waits_for=lambda: self.bank.lock_owner is None)

    def unlock(self) -> Step:
        def effect() -> None:
            self.bank.lock_owner = None
            self.context.irqs_off = False

        return Step(0, effect)

    def wake(self) -> Step:
        return Step(self.costs["queue_work"], lambda: self.line.queue_work(self.p))

    def dump_exists(self) -> bool:
        return self.machine.crash_dump

    def capture(self) -> Step:
        def effect() -> None:
            self.machine.crash_dump = True

        return Step(self.costs["capture"], effect)

    def map_page(self) -> Step:
        def effect() -> None:
            self.p.mapped = self.machine.map_shadow_page(self.bank.number, self.p.far, self.p.fsynr0)

        return Step(self.costs["map_page"], effect)
