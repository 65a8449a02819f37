"""The vocabulary of a pass in the plain-Python fault model (docs/model.md, section 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from traces import events as ev

from .fault_model_cpus import HARD, Context, Step
from .fault_model_policies import GPU, Pass
from .fault_model_power import BusError
from .sync import READS_IN_A_ROUND, ROUNDS

if TYPE_CHECKING:
    from .fault_model_lines import Driver
    from .fault_model_queue import FaultEvent

CONSOLE = ("console_first", "console_second", "console_third")
RATELIMIT_BURST = 10
RATELIMIT_NS = 5_000_000_000


@dataclass
class Ratelimit:
    """The state of one call site: 10 per 5 s, for the whole machine."""

    begin: int | None = None
    printed: int = 0
    missed: int = 0


class Steps:
    """The vocabulary of a pass: each method makes one step."""

    def __init__(self, driver: Driver, context: Context, p: Pass) -> None:
        self.driver = driver
        self.machine = driver.machine
        self.bank = driver.bank
        self.context = context
        self.p = p
        self.costs = driver.machine.setup.costs

    def _awake(self) -> None:
        """What touches a register needs an SMMU that is awake."""
        if self.machine.power.asleep:
            raise BusError

    def read(self, register: str) -> Step:
        def effect() -> None:
            self._awake()
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
            self._awake()
            self.machine.counters["mmio_writes"] += 1
            effect()

        return Step(self.costs["mmio_write"], counted)

    def write_fsr(self, value: int) -> Step:
        return self._write(lambda: self.bank.write_fsr(value))

    def write_resume(self, retry: bool) -> Step:
        return self._write(lambda: self.bank.write_resume(retry, self.p.meant))

    def write_sctlr(self, **bits: bool) -> Step:
        """The bits that are named change: cfie, cfcfg, hupcf."""
        return self._write(lambda: self.bank.write_sctlr(**bits))

    def tlbi_asid(self) -> Step:
        def effect() -> None:
            self._awake()
            self.machine.counters["tlbi_writes"] += 1
            self.machine.translator.invalidate(ev.TLBI_ASID, self.bank.number, 0, 0)

        return Step(self.costs["mmio_write"], effect)

    def tlb_sync(self) -> Iterator[Step]:
        """One step, of as many rounds of polls as it takes: it cannot end while a transaction is stalled."""
        counters, read = self.machine.counters, self.costs["mmio_read"]

        def polled(reads: int) -> None:
            counters["tlb_sync_reads"] += reads

        def done() -> None:
            self._awake()
            polled(1)
            counters["tlb_syncs"] += 1

        cost, delay = self.costs["mmio_write"], 1000
        if not self.bank.stalled or not self.machine.setup.hw["sync_waits_for_stall"]:
            yield Step(cost + read, done)
            return
        for _ in range(ROUNDS):
            yield Step(cost + READS_IN_A_ROUND * read + delay, lambda: polled(READS_IN_A_ROUND))
            if not self.bank.stalled:
                yield Step(read, done)
                return
            cost, delay = 0, 2 * delay
        counters["tlb_syncs"] += 1
        counters["tlb_sync_timeouts"] += 1

    def switch_irq(self, on: bool) -> Step:
        """disable_irq_nosync() and enable_irq()."""

        def effect() -> None:
            self.driver.line.switched_off += -1 if on else 1

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
        return Step(self.costs["queue_work"], lambda: self.driver.queue_work(self.p))

    # --- an event queue ------------------------------------------------------------------------

    def next_event(self) -> Step:
        """Take the next event; PROD is read where the driver knows of none."""
        queue = self.machine.queue
        assert queue is not None
        reads_prod = not queue.known

        def effect() -> None:
            self._awake()
            if reads_prod:
                self.machine.counters["mmio_reads"] += 1
                queue.known = len(queue.entries)
            event = queue.take()
            if event is not None:
                self.machine.counters["mmio_writes"] += 1
                self._has_taken(event)

        return Step(self.costs["event_read"] + reads_prod * self.costs["mmio_read"], effect)

    def _has_taken(self, event: FaultEvent) -> None:
        p, queue = self.p, self.machine.queue
        assert queue is not None
        p.event, p.far, p.fsr, p.fsynr0 = event, event.far, event.bits, event.fault.fsynr0
        event.fault.seen = True
        event.fault.t_irq = p.entered
        p.saw_new = True
        queue.last_seen = event.fault
        self.machine.progress()

    def queue_event(self) -> Step:
        def effect() -> None:
            queue, event = self.machine.queue, self.p.event
            assert queue is not None
            assert event is not None
            if event.fault in queue.stalled and not event.joined:
                event.joined = True
                self.driver.queue_work(self.p)

        return Step(self.costs["queue_work"], effect)

    def cmd_resume(self, retry: bool) -> Step:
        def effect() -> None:
            self._awake()
            queue, event = self.machine.queue, self.p.event
            assert queue is not None
            assert event is not None
            queue.resume(event, retry)

        return Step(self.costs["cmd_issue"], effect)

    # --- crash dumps, pages, the TBU -----------------------------------------------------------

    def dump_exists(self) -> bool:
        return self.machine.dumps.exists(self.machine.now)

    def capture(self) -> Step:
        self.machine.dumps.begin(self.machine.now)
        return Step(self.costs["capture"], lambda: self.machine.dumps.end(self.machine.now))

    def map_page(self) -> Step:
        def effect() -> None:
            self.p.mapped = self.machine.map_shadow_page(self.bank.number, self.p.far, self.p.fsynr0)

        return Step(self.costs["map_page"], effect)

    def spend(self, what: str) -> Step:
        return Step(self.costs[what])

    def note_far(self) -> Step:
        def effect() -> None:
            self.p.new_far = self.p.far != self.driver.noted_far
            self.driver.noted_far = self.p.far

        return Step(0, effect)

    # --- the driver's book on stalls -----------------------------------------------------------

    def stall_is_on(self) -> bool:
        return self.driver.stall_on

    def cool_down(self) -> Step:
        def effect() -> None:
            self.driver.stall_on = False
            self.driver.cool_at = self.machine.now + self.costs["cooldown"]

        return Step(0, effect)

    def may_stall(self) -> Step:
        def effect() -> None:
            start = self.driver.may_stall_from()
            self.p.may_stall = start is not None and self.machine.now >= start
            self.driver.stall_on |= self.p.may_stall

        return Step(self.costs["check"], effect)

    # --- runtime PM ----------------------------------------------------------------------------

    def pm_get_if_active(self) -> Step:
        """Where the SMMU sleeps the pass returns IRQ_NONE."""

        def effect() -> None:
            self.p.none = self.machine.power.asleep
            if not self.p.none:
                self.machine.power.get(self.p)

        return Step(self.costs["pm_get"], effect)

    def pm_get(self) -> Step:
        return Step(self.costs["pm_get"], lambda: self.machine.power.get(self.p))

    def pm_put(self) -> Step:
        return Step(self.costs["pm_put"], lambda: self.machine.power.put(self.p))
