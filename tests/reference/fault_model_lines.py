"""Lines and the contexts that serve them, in the plain-Python fault model (docs/model.md, section 5)."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .fault_model_bank import ContextBank
from .fault_model_clients import Client
from .fault_model_cpus import HARD, SUBMIT, THREAD, WORKER, Context, Step
from .fault_model_policies import Pass, Policy, submit
from .fault_model_steps import Steps

if TYPE_CHECKING:
    from .fault_model import Machine

STORM = 8  #: more spurious entries than this for one fault are a storm
DETECTOR_ENTRIES = 100_000
DETECTOR_UNHANDLED = 99_900
DETECTOR_GAP_NS = 100_000_000


class Driver:
    """What the kernel has for one bank: a thread, a worker and a submit, and the book on its stalls."""

    line: Line

    def __init__(self, machine: Machine, bank: ContextBank, policy: Policy, client: Client) -> None:
        cpus = machine.setup.cpus
        self.machine = machine
        self.bank = bank
        self.policy = policy
        self.client = client
        self.thread = Context(THREAD, bank.number, cpus["thread"])
        self.work = Context(WORKER, bank.number, cpus["work"])
        self.submit = Context(SUBMIT, bank.number, cpus["submit"])
        self.work_queue: list[Pass] = []  #: one at most, but for events
        self.submits = policy.cools_down or client.cools_down
        self.stalls = policy.stalls_on(machine.setup.hw)
        self.stall_on = self.stalls
        self.cool_at = 0  #: the end of the last cool-down
        self.noted_far: int | None = None

    def handler_pass(self, line: Line, context: Context) -> Iterator[Step]:
        """One pass of the steps; where a line polls all banks it need not be this one's."""
        if self.machine.queue is not None:
            yield from self._event_passes(line, context)
            return
        entry = line.entry
        p = Pass(entered=entry.taken_at)
        self.machine.pass_begins(context)
        yield from self.policy.handler(Steps(self, context, p), p, self.client)
        yield Step(0, lambda: line.pass_ends(p, entry))
        context.pass_began = None

    def _event_passes(self, line: Line, context: Context) -> Iterator[Step]:
        """Passes of the steps, until one of them finds no event: that one ends at once, and the entry too."""
        entry = line.entry
        while True:
            p = Pass(entered=entry.taken_at)
            self.machine.pass_begins(context)
            yield from self.policy.handler(Steps(self, context, p), p, self.client)
            if p.event is None:
                line.pass_ends(p, entry)
                context.pass_began = None
                return
            entry.saw_new = True
            yield self._return(p)
            context.pass_began = None

    def run_thread(self) -> Iterator[Step]:
        yield Step(self.machine.time_to_wake("thread_wake"))
        yield from self.handler_pass(self.line, self.thread)
        yield Step(self.machine.setup.costs["oneshot_unmask"], self.line.thread_ends)

    def queue_work(self, p: Pass) -> None:
        if p.event is not None or not self.work_queue:
            self.work_queue.append(copy(p))
            self.work_queue[-1].user = False
            if not self.work.runnable:
                self.work.start(self._run_worker())

    def _run_worker(self) -> Iterator[Step]:
        yield Step(self.machine.time_to_wake("work_wake"))
        while self.work_queue:  # once awake, it takes what has been queued meanwhile
            p = self.work_queue.pop(0)
            self.machine.pass_begins(self.work)
            about = self if p.event is None else self.machine.drivers[p.event.bank]
            yield from self.policy.work(Steps(about, self.work, p), p, self.client)
            yield self._return(p)
            self.work.pass_began = None

    def _return(self, p: Pass) -> Step:
        return Step(0, lambda: self.machine.power.put(p))

    # --- stalls in the driver's book, and the submit that brings them back --------------------

    def may_stall_from(self) -> int | None:
        """From when on MAY_STALL succeeds, as far as is known now."""
        if not self.stalls or self.stall_on or self.machine.dumps.capturing:
            return None
        return max(self.cool_at + 1, self.machine.dumps.gone_at)

    def next_submit(self) -> int | None:
        """The first frame whose submit would bring stalls back."""
        start = self.may_stall_from()
        if start is None or not self.submits or self.submit.runnable:
            return None
        every = self.machine.setup.costs["submit_every"]
        return -(-max(self.machine.now, start) // every) * every

    def begin_submit(self) -> None:
        self.submit.start(self._run_submit())

    def _run_submit(self) -> Iterator[Step]:
        p = Pass()
        yield from submit(Steps(self, self.submit, p), p)
        yield self._return(p)


@dataclass
class Entry:
    """One hard IRQ, and the passes that it brings about."""

    taken_at: int
    passes_left: int
    threads_left: int
    saw_new: bool = False
    none: bool = True  #: every pass returned IRQ_NONE


class Line:
    """An interrupt line: the banks that assert it, and those that its handler looks at."""

    def __init__(self, machine: Machine, number: int, sources: list[Driver], served: list[Driver]) -> None:
        self.machine = machine
        self.number = number
        self.sources = sources
        self.served = served
        self.threaded = served[0].policy.threaded
        self.hard = Context(HARD, number, machine.setup.cpus["irq"])
        self.masked = False
        self.switched_off = 0
        self.disabled = False
        self.deliver_at: int | None = None
        self.pending = False  #: delivered, and waiting for its CPU
        self.entry = Entry(0, 0, 0)
        self.detector_count = 0
        self.unhandled = 0
        self.last_unhandled: int | None = None
        for driver in sources:
            driver.line = self

    @property
    def up(self) -> bool:
        if self.machine.power.asleep:
            return False
        if self.machine.queue is not None:
            return bool(self.machine.queue.entries)
        return any(driver.bank.line_up for driver in self.sources)

    @property
    def wants_cpu(self) -> bool:
        return not (self.masked or self.switched_off or self.disabled) and self.up

    def settle(self) -> None:
        """Start a delivery where one is due."""
        if self.deliver_at is None and not self.pending and not self.hard.runnable and self.wants_cpu:
            self.deliver_at = self.machine.now + self.machine.setup.costs["irq_delivery"]

    def delivered(self) -> None:
        self.deliver_at = None
        self.pending = self.wants_cpu

    def take(self) -> None:
        machine = self.machine
        self.pending = False
        self.entry = Entry(machine.now, len(self.served), len(self.served))
        machine.counters["irq_entries"] += 1
        idle = not any(other.runnable and other.cpu == self.hard.cpu for other in machine.contexts)
        self.hard.start(self._hard_threaded() if self.threaded else self._hard(idle))

    # --- what the hard IRQ runs -----------------------------------------------------------

    def _hard(self, idle: bool) -> Iterator[Step]:
        costs = self.machine.setup.costs
        yield Step(costs["irq_entry_idle" if idle else "irq_entry_task"])
        for driver in self.served:
            yield from driver.handler_pass(self, self.hard)
        yield Step(costs["irq_exit_idle" if idle else "irq_exit_task"], self._exit)

    def _exit(self) -> None:
        self._detect(self.entry.none)
        self._retake()

    def _hard_threaded(self) -> Iterator[Step]:
        costs = self.machine.setup.costs
        yield Step(costs["oneshot_entry"], self._mask_and_wake)
        yield Step(costs["oneshot_exit"], self._retake)

    def _mask_and_wake(self) -> None:
        self.masked = True
        for driver in self.served:
            driver.thread.start(driver.run_thread())

    def thread_ends(self) -> None:
        """The last thread of an entry opens the line again."""
        self.entry.threads_left -= 1
        if self.entry.threads_left:
            return
        self._detect(self.entry.none)
        self.masked = False
        if not self.hard.runnable:  # else the end of the hard part looks at the line
            self._retake()

    def _retake(self) -> None:
        """Level-triggered: the line is looked at again, and taken with no delivery time."""
        self.pending = self.wants_cpu

    # --- the end of a pass ------------------------------------------------------------------

    def pass_ends(self, p: Pass, entry: Entry) -> None:
        """Judge the entry once its last pass has ended."""
        self.machine.power.put(p)
        entry.saw_new |= p.saw_new
        entry.none &= p.none
        entry.passes_left -= 1
        if entry.passes_left:
            return
        self.machine.counters["irq_none"] += entry.none
        if entry.saw_new:
            return
        self.machine.counters["irq_spurious"] += 1
        queue = self.machine.queue
        looked_at = [driver.bank for driver in self.served] if queue is None else [queue]
        for last_seen in [place.last_seen for place in looked_at]:
            if last_seen is not None:
                last_seen.spurious_entries += 1
                self.machine.stormed |= last_seen.spurious_entries > STORM

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
