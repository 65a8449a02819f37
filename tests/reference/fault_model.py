"""The timed fault model in plain Python: slow, and written from docs/model.md alone.

The compiled model must print the same integers.  The loop is the obvious one: ask every source for its next
event, take the earliest (section 7's order where several share an instant), let it happen, ask again.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, log
from statistics import NormalDist

from traces import events as ev

from .fault_model_bank import FSYNR0_IND, FSYNR0_PNU, FSYNR0_WNR, ContextBank, Fault
from .fault_model_clients import CLIENTS
from .fault_model_cpus import CPU_COUNTER, HARD, Context
from .fault_model_dump import Dumps
from .fault_model_later import POLICIES
from .fault_model_lines import Driver, Line
from .fault_model_power import BusError, Power
from .fault_model_queue import EventQueue
from .fault_model_setup import COUNTERS, Channel, Event, Lane, LaneState, Outcome, Setup, Tbu, Transaction
from .fault_model_steps import Ratelimit
from .fault_model_translation import Tables, Translation, Translator, permits
from .sync import Sync, sync, tlbi_writes

__all__ = ["Lane", "Machine", "Outcome", "Setup", "simulate"]

ARRIVALS, CONTEXTS, CHANNELS, LANES, SUBMITS = range(5)  #: the order of sources at one instant
READS, WRITES = 0, 1
GRANULE = 4096
TLBI_NAMES = {
    ev.TLBI_VA: "TLBI_VA",
    ev.TLBI_VA_LAST: "TLBI_VA_LAST",
    ev.TLBI_ASID: "TLBI_ASID",
    ev.TLBI_ALL: "TLBI_ALL",
}


def last_end(transactions: list[Transaction]) -> int | None:
    """When the last of them has ended; None while that is not known."""
    ends = [transaction.ended_at for transaction in transactions]
    if None in ends:
        return None
    return max((end for end in ends if end is not None), default=0)


def splitmix64(seed: int, n: int) -> int:
    """Output n, from 0, of the generator by Steele, Lea and Flood (2014)."""
    z = (seed + (n + 1) * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


class Machine:
    """TBUs, banks, lines and CPUs, and the loop over them."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.now = 0
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.tables = Tables()
        self.shadow = Tables()
        for space, iova, size, pa, prot in setup.premapped:
            self.tables.map(space, iova, size, pa, prot)
        self.translator = Translator(setup.hw, setup.costs, self.counters, self.tables)
        self.tbus = [Tbu([0] * setup.hw["walk_slots"]) for _ in range(setup.hw["tbus"])]
        self.channels = [Channel(n // 2) for n in range(2 * setup.hw["tbus"])]
        self.lanes = [LaneState(iter(setup.events), 0)]
        self.lanes += [LaneState(lane.events(), lane.deadline_ns) for lane in setup.lanes]

        policy, client = POLICIES[setup.policy](), CLIENTS[setup.client]()
        banks = 1 + max(space for _, space, _ in setup.requesters)
        self.banks = [
            ContextBank(n, setup.hw, policy.stalls_on(setup.hw), policy.hupcf, self) for n in range(banks)
        ]
        self.queue: EventQueue | None = None
        if setup.hw.get("events", 0):
            self.queue = EventQueue(setup.hw["events"], setup.hw["stall_max"], self)
        self.drivers = [Driver(self, bank, policy, client) for bank in self.banks]
        if self.queue is not None:
            self.lines = [Line(self, 0, self.drivers[:1], self.drivers[:1])]
        elif setup.hw["shared_line"]:
            self.lines = [Line(self, 0, self.drivers, self.drivers)]
        else:
            self.lines = [
                Line(self, n, [driver], self.drivers if policy.polls_all else [driver])
                for n, driver in enumerate(self.drivers)
            ]
        self.contexts: list[Context] = [line.hard for line in self.lines]
        self.contexts += [driver.thread for driver in self.drivers]
        self.contexts += [driver.work for driver in self.drivers]
        self.contexts += [driver.submit for driver in self.drivers]
        self.context_of = {(context.kind, context.number): context for context in self.contexts}
        self.submitting = [driver for driver in self.drivers if driver.submits]
        self.gmu_waits = policy.gmu_waits or client.gmu_waits
        self.running: dict[int, Context] = {}  #: by CPU
        self.ratelimits = (Ratelimit(), Ratelimit())
        self.dumps = Dumps(setup.costs["dump_kept"])
        self.power = Power(self, setup.suspend_after)
        self.fruitless = 0
        self.fruitless_since = 0
        self.waited = False
        self.livelocked = False
        self.stormed = False

        self.transactions: list[Transaction] = []  #: every one that arrived at a queue
        self.faults: list[Fault] = []
        self.arrivals: list[tuple[int, int, Fault]] = []  #: (time, order of translation, fault)
        self.ends: list[tuple[int, int, Transaction]] = []  #: (end, order known, transaction)
        self.translations = 0
        self.wake_ups = 0

    def time_to_wake(self, cost: str) -> int:
        """How long the next wake-up takes (section 5)."""
        self.wake_ups += 1
        if cost not in self.setup.drawn:
            return self.setup.costs[cost]
        p50, p99 = self.setup.drawn[cost]
        z = NormalDist().inv_cdf
        k = splitmix64(self.setup.seed, self.wake_ups - 1) >> 54
        return round(p50 * exp(z((k + 0.5) / 1024) * (log(p99 / p50) / z(0.99))))

    # --- transactions ---------------------------------------------------------------------

    def translate(self, transaction: Transaction) -> None:
        """Translate now: at issue, on a retry, or when a held access is let go."""
        tbu = self.tbus[transaction.tbu]
        done = self.translator.translate(
            transaction.tbu, transaction.bank, transaction.iova, transaction.op, transaction.privileged
        )
        self.translations += 1
        end = self._end_of(tbu, done)
        if not done.fault:
            self._end(transaction, end)
            return
        fsynr0 = done.level
        fsynr0 |= FSYNR0_WNR * (transaction.op == ev.WRITE)
        fsynr0 |= FSYNR0_PNU * transaction.privileged
        fsynr0 |= FSYNR0_IND * (transaction.op == ev.EXEC)
        self.arrivals.append((end, self.translations, Fault(transaction, done.fault, fsynr0, end)))

    def _end_of(self, tbu: Tbu, done: Translation) -> int:
        if not done.walked:
            assert done.cached is not None
            return max(self.now + done.latency, done.cached.ready)
        slot = tbu.walk_slots.index(min(tbu.walk_slots))
        end = max(self.now, tbu.walk_slots[slot]) + done.latency
        tbu.walk_slots[slot] = end
        if done.cached is not None:
            done.cached.ready = end
        return end

    def terminate(self, transaction: Transaction) -> None:
        self.counters["terminated"] += 1
        self._end(transaction, self.now)

    def _end(self, transaction: Transaction, end: int) -> None:
        assert transaction.ended_at is None
        transaction.ended_at = end
        transaction.missed = self._is_late(transaction.intended, transaction.deadline, end)
        self.power.access_ends(end)
        self.ends.append((end, len(self.ends), transaction))

    # --- what the CPUs do to the rest -------------------------------------------------------

    def progress(self) -> None:
        """Nothing is a livelock while this goes on happening."""
        self.fruitless, self.waited = 0, False

    def pass_begins(self, context: Context) -> None:
        """Count passes without progress; too many are a livelock, unless an older pass still runs."""
        self.fruitless += 1
        if self.fruitless == 1:
            self.fruitless_since = self.now
        if self.fruitless >= self.setup.livelock_limit:
            since = self.fruitless_since
            running = [
                other.pass_began
                for other in self.contexts
                if other.kind != HARD
                and other is not context
                and other.pass_began is not None
                and (other in self.running.values() or other.last_ran > since)
            ]
            if min(running, default=since + 1) <= since or (running and not self.waited):
                self.fruitless, self.waited = 0, True
            else:
                self.livelocked = True
        context.pass_began = self.now

    def stall_ends(self, since: int) -> None:
        """The hang check: its timer stands still while a dump is being captured."""
        lasted = self.now - since - self.dumps.within(since, self.now)
        self.counters["hangchecks"] += lasted > self.setup.costs["hangcheck"]

    def map_shadow_page(self, space: int, iova: int, fsynr0: int) -> bool:
        """Map what the pager has, if it allows the access that FSYNR0 tells of."""
        page = self.shadow.page_at(space, iova)
        op = ev.WRITE if fsynr0 & FSYNR0_WNR else ev.EXEC if fsynr0 & FSYNR0_IND else ev.READ
        if page is None or not permits(page[2], op, bool(fsynr0 & FSYNR0_PNU)):
            return False
        self.tables.map_page(space, *page)
        return True

    # --- the loop ---------------------------------------------------------------------------

    def run(self) -> str:
        """Run to the end: 'complete', 'hang', 'livelock' or 'crash'."""
        for _ in range(self.setup.event_limit):
            candidates = [*self._next_arrival(), *self._next_of_contexts()]
            candidates += [*self._next_of_channels(), *self._next_of_lanes()]
            if candidates:
                candidates += self._next_of_submits()
            if not candidates:
                return "complete" if self._nothing_left() else "hang"
            t, source, major, minor = min(candidates)
            assert t >= self.now
            self._advance(t)
            if source == ARRIVALS:
                self._fault_arrives()
            elif source == CONTEXTS:
                try:
                    self._context_event(major, minor)
                except BusError:
                    self.counters["mmio_asleep"] += 1
                    return "crash"
            elif source == CHANNELS:
                self._channel_event(self.channels[major])
            elif source == LANES:
                self._lane_event(self.lanes[major])
            else:
                self.drivers[major].begin_submit()
            self._settle()
            if self.livelocked:
                return "livelock"
            if self.faults and self.faults[-1].transaction.faults > self.setup.retry_limit:
                return "livelock"
        raise RuntimeError(f"still going after {self.setup.event_limit} events, at {self.now} ns")

    def _nothing_left(self) -> bool:
        return (
            all(lane.next is None for lane in self.lanes)
            and not any(channel.queue for channel in self.channels)
            and all(transaction.ended_at is not None for transaction in self.transactions)
            and not any(context.runnable for context in self.contexts)
            and not any(line.up for line in self.lines)
        )

    def _advance(self, t: int) -> None:
        for context in self.running.values():
            self.counters[CPU_COUNTER[context.kind]] += t - self.now
            context.remaining = max(0, context.remaining - (t - self.now))
            if t > self.now:
                context.last_ran = t
        self.now = t

    def _settle(self) -> None:
        """After an event: lines follow registers, and CPUs are given to those who should have them."""
        for bank in self.banks:
            bank.update_line()
        for line in self.lines:
            line.settle()
        cpus = set(self.setup.cpus.values())
        for cpu in cpus:
            self._take_pending(cpu)
        self.running = {cpu: best for cpu in cpus if (best := self._best_of(cpu)) is not None}

    def _take_pending(self, cpu: int) -> None:
        on_cpu = [context for context in self.contexts if context.cpu == cpu and context.runnable]
        if any(context.kind == HARD or context.irqs_off for context in on_cpu):
            return
        for line in self.lines:
            if line.pending and line.hard.cpu == cpu:
                line.pending = line.wants_cpu
                if line.pending:
                    line.take()
                    return

    def _best_of(self, cpu: int) -> Context | None:
        on_cpu = [context for context in self.contexts if context.cpu == cpu and context.runnable]
        keeps = [context for context in on_cpu if context.irqs_off]
        return next(iter(keeps or on_cpu), None)  # self.contexts is in order of priority

    # --- sources: (time, source, major, minor), the least is next ---------------------------

    def _next_arrival(self) -> Iterator[tuple[int, int, int, int]]:
        for end, order, _ in self.arrivals:
            yield end, ARRIVALS, order, 0

    def _fault_arrives(self) -> None:
        first = min(self.arrivals, key=lambda arrival: arrival[:2])
        self.arrivals.remove(first)
        self.faults.append(first[2])
        first[2].transaction.faults += 1
        bank = self.banks[first[2].transaction.bank]
        if self.queue is not None:
            self.queue.fault_arrives(first[2], bank.cfcfg)
        else:
            bank.fault_arrives(first[2])

    def _next_of_contexts(self) -> Iterator[tuple[int, int, int, int]]:
        for line in self.lines:
            if line.deliver_at is not None:
                yield line.deliver_at, CONTEXTS, HARD, line.number
        for context in self.running.values():
            assert context.step is not None
            if context.remaining or context.step.waits_for():
                yield self.now + context.remaining, CONTEXTS, context.kind, context.number

    def _context_event(self, kind: int, number: int) -> None:
        if kind == HARD and self.lines[number].deliver_at is not None:
            self.lines[number].delivered()
        else:
            self.context_of[kind, number].end_step()

    def _next_of_channels(self) -> Iterator[tuple[int, int, int, int]]:
        for number, channel in enumerate(self.channels):
            if not channel.queue:
                continue
            t = max(self.now, channel.queue[0].arrived, channel.waits_for_walk_slot)
            if channel.last_issue is not None:
                t = max(t, channel.last_issue + self.setup.hw["accept"])
            if len(channel.in_slots) >= self.setup.hw["slots"]:
                ends = [slot.ended_at for slot in channel.in_slots if slot.ended_at is not None]
                if not ends:
                    continue
                t = max(t, min(ends))
            yield t, CHANNELS, number, 0

    def _channel_event(self, channel: Channel) -> None:
        channel.in_slots = [t for t in channel.in_slots if t.ended_at is None or t.ended_at > self.now]
        channel.waits_for_walk_slot = 0
        head = channel.queue[0]
        bank = self.banks[head.bank]
        held = bank.holds_accesses()
        if not held and self.translator.needs_walk(head.tbu, head.bank, head.iova):
            first_free = min(self.tbus[channel.tbu].walk_slots)
            if first_free > self.now:
                channel.waits_for_walk_slot = first_free
                return
        del channel.queue[0]
        channel.in_slots.append(head)
        channel.last_issue = self.now
        head.issued = self.now
        self.counters["accesses"] += 1
        if held:
            bank.hold(head)
        else:
            self.translate(head)

    def _next_of_lanes(self) -> Iterator[tuple[int, int, int, int]]:
        for number, lane in enumerate(self.lanes):
            if lane.next is None:
                continue
            t = max(self.now, lane.next[0], lane.free_at)
            if lane.sync_since is not None:
                t = max(t, lane.sync_since + self._sync(lane).total_ns)
            elif lane.fence is not None:
                ended = last_end(lane.fence)
                if ended is None:
                    continue
                t = max(t, ended)
            elif lane.next[1] <= ev.EXEC and self._is_full(self._channel_of(lane.next)):
                continue
            yield t, LANES, number, 0

    def _next_of_submits(self) -> Iterator[tuple[int, int, int, int]]:
        for driver in self.submitting:
            t = driver.next_submit()
            if t is not None:
                yield t, SUBMITS, driver.bank.number, 0

    def _sync(self, lane: LaneState) -> Sync:
        """What the polls of the TLBI_SYNC at hand come to, as far as is known now."""
        read, write = self.setup.costs["mmio_read"], self.setup.costs["mmio_write"]
        assert lane.sync_since is not None
        assert lane.fence is not None
        ended = last_end(lane.fence)
        return sync(None if ended is None else max(0, ended - (lane.sync_since + write)), read, write)

    def _tlbi_sync(self, lane: LaneState, space: int) -> bool:
        """Begin a TLBI_SYNC, or end it; tell whether it has ended."""
        if lane.sync_since is None:
            lane.fence = [a for a in self.transactions if a.bank == space]
            lane.sync_since = self.now
            return False
        made = self._sync(lane)
        self.counters["tlb_syncs"] += 1
        self.counters["tlb_sync_reads"] += made.status_reads
        self.counters["tlb_sync_timeouts"] += made.timed_out
        self.counters["cpu_tlbi_ns"] += made.total_ns
        return True

    def _channel_of(self, event: Event) -> Channel:
        _, _, tbu = self.setup.requesters[event[2]]
        return self.channels[2 * tbu + (WRITES if event[1] == ev.WRITE else READS)]

    def _is_full(self, channel: Channel) -> bool:
        return len(channel.queue) >= self.setup.hw["fifo_depth"]

    def _lane_event(self, lane: LaneState) -> None:
        event = lane.next
        assert event is not None
        t, op, requester, space, iova, size, pa, prot = event
        if op <= ev.EXEC:
            stream, bank, tbu = self.setup.requesters[requester]
            privileged = bool(prot & ev.PROT_PRIV)
            access = Transaction(stream, bank, tbu, op, iova, privileged, t, self.now, lane.deadline)
            self.power.access_arrives()
            self.transactions.append(access)
            self._channel_of(event).queue.append(access)
        elif op == ev.MAP:
            (self.shadow if self.setup.demand else self.tables).map(space, iova, size, pa, prot)
        elif op == ev.TLBI and prot & ev.TLBI_KIND_MASK == ev.TLBI_SYNC:
            if not self._tlbi_sync(lane, space):
                return
        elif op in (ev.UNMAP, ev.TLBI):
            if lane.fence is None and not prot & ev.ABRUPT:
                earlier = [access for access in self.transactions if access.bank == space]
                open_ones = [a for a in earlier if a.ended_at is None or a.ended_at > self.now]
                if open_ones:
                    lane.fence = open_ones
                    return
            if op == ev.UNMAP:
                self.tables.unmap(space, iova, size)
                self.shadow.unmap(space, iova, size)
            else:
                kind = prot & ev.TLBI_KIND_MASK
                writes = tlbi_writes(TLBI_NAMES[kind], iova, size, GRANULE)
                self.counters["tlbi_writes"] += writes
                self.counters["cpu_tlbi_ns"] += writes * self.setup.costs["mmio_write"]
                self.translator.invalidate(kind, space, iova, size)
        lane.done(self.now)

    # --- the result -------------------------------------------------------------------------

    def _is_late(self, intended: int, deadline: int, end: int) -> bool:
        if deadline and self.gmu_waits:
            return self.dumps.missed(intended, deadline, end)
        return deadline > 0 and end > intended + deadline

    def _watchdogs(self) -> int:
        count = 0
        for t in self.transactions:
            count += t.missed if t.ended_at is not None else self._is_late(t.intended, t.deadline, self.now)
        for lane in self.lanes:  # what has not even arrived is late too
            if lane.deadline and lane.next is not None:
                left = (lane.next, *lane.events)
                count += sum(self._is_late(event[0], lane.deadline, self.now) for event in left)
        return count

    def _verdict(self, ending: str) -> str:
        if ending == "crash":
            return ending
        if any(line.disabled for line in self.lines):
            return "line-disabled"
        if ending != "complete":
            return ending
        if self.counters["resume_stray"]:
            return "stray"
        if self.counters["faults_lost"]:
            return "lossy"
        if self.stormed:
            return "storm"
        return "spurious" if self.counters["irq_spurious"] else "safe"

    def outcome(self, ending: str) -> Outcome:
        counters = self.counters
        counters["faults_pending"] = sum(fault.record == "pending" for fault in self.faults)
        for stalls in self.banks if self.queue is None else [self.queue]:
            counters["stalled_ns"] += stalls.stalled_ns
            if stalls.stalled:
                counters["stalled_ns"] += self.now - stalls.stalled_since
                self.stall_ends(stalls.stalled_since)
        counters["makespan_ns"] = max((end for end, _, _ in self.ends), default=0)
        counters["watchdogs"] = self._watchdogs()
        latencies: dict[int, tuple[list[int], list[int]]] = {
            stream: ([], []) for stream, _, _ in self.setup.requesters
        }
        for end, _, transaction in sorted(self.ends, key=lambda entry: entry[:2]):
            assert transaction.issued is not None
            from_intended, from_issue = latencies[transaction.stream]
            from_intended.append(end - transaction.intended)
            from_issue.append(end - transaction.issued)
        pending = sum(t.issued is not None and t.ended_at is None for t in self.transactions)
        rows = [fault.row() for fault in self.faults]
        return Outcome(counters, self._verdict(ending), ending == "complete", pending, latencies, rows)


def simulate(setup: Setup) -> Outcome:
    """Run one setup to its end."""
    machine = Machine(setup)
    return machine.outcome(machine.run())
