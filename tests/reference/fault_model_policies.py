"""Handlers of the plain-Python fault model, written as what they are: programs.

A program yields steps; it goes on when its context has paid for the step and the step has had its effect, so
a plain `if` is a step's condition (docs/model.md, section 6).  `do` makes the steps, `p` is the pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .fault_model_bank import FSR_FAULT_BITS, FSR_SS, Fault
from .fault_model_queue import FaultEvent

if TYPE_CHECKING:
    from .fault_model_clients import Client
    from .fault_model_cpus import Step
    from .fault_model_steps import Steps

OK, ENOSYS, EAGAIN, EFAULT, EBUSY, EINVAL = "0", "-ENOSYS", "-EAGAIN", "-EFAULT", "-EBUSY", "-EINVAL"
ALL_ONES = 0xFFFF_FFFF
CORE, GPU = 0, 1  #: the call sites that log

Program = Iterator["Step"]


@dataclass
class Pass:
    """One run of a handler: its copies of the registers, and what it has decided."""

    entered: int = 0
    fsr: int = 0
    far: int = 0
    fsynr0: int = 0
    meant: Fault | None = None  #: the head when this pass read FSR
    fsr_of: Fault | None = None  #: the record that was current when FSR was read
    far_of: Fault | None = None
    saw_new: bool = False
    none: bool = False  #: returned IRQ_NONE
    ret: str = OK  #: of the client
    mapped: bool = False
    new_far: bool = False  #: NOTE_FAR had not just seen it
    may_stall: bool = False
    user: bool = False  #: keeps the SMMU awake
    event: FaultEvent | None = None  #: what it took from an event queue

    @property
    def ss(self) -> bool:
        return bool(self.fsr & FSR_SS)


class Policy:
    """What a policy programs, its handler, and how a client resumes under it."""

    threaded = False
    cfcfg = True
    hupcf = True
    fault_mask = FSR_FAULT_BITS | FSR_SS
    client_resumes = False
    worker_resumes = False  #: a client's worker does, even where the client in the handler does not
    in_worker = False  #: the client is told in the core's worker
    client_reads = 7  #: registers of the SMMU that an Adreno client reads for itself
    deferred_ret = OK  #: what a client returns that leaves the fault to its worker
    cools_down = False  #: a fault turns stalls off for a while; dumps need SS
    gmu_waits = False  #: deadlines begin anew behind a capture
    polls_all = False  #: every line's handler looks at every bank
    mapped_ret = OK  #: what a pager returns from the handler once it has mapped the page

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        raise NotImplementedError

    def resume(self, do: Steps, p: Pass, retry: bool, worker: bool) -> Program:
        """Resume as the client does it (P3, P4, P7)."""
        raise NotImplementedError

    def stalls_on(self, hw: dict[str, Any]) -> bool:
        return self.cfcfg

    def defer(self, do: Steps, p: Pass) -> Program:
        """What the client does before it leaves the fault to its worker."""
        yield from ()

    def work(self, do: Steps, p: Pass, client: Client) -> Program:
        """The worker: the client's, unless the core has its own."""
        yield from client.worker(do, p, self)

    def look_fsr_first(self, do: Steps, p: Pass) -> Program:
        """How handlers from v5.2 to v6.10 begin."""
        yield do.read("FSR")
        yield do.check()
        if self.no_fault(p):
            return
        yield do.read("FSYNR0")
        yield do.read("FAR")
        yield do.read("CBFRSYNRA")

    def look_far_first(self, do: Steps, p: Pass) -> Program:
        """How they begin from v6.11 on: everything is read before FSR is looked at."""
        for register in ("FAR", "FSR", "FSYNR0", "CBFRSYNRA"):
            yield do.read(register)
        yield do.check()
        self.no_fault(p)

    def tell(self, do: Steps, p: Pass, client: Client) -> Program:
        """Report, and print three lines if nobody handles it."""
        yield do.report()
        yield from client.report(do, p, self)
        if p.ret == ENOSYS:
            yield do.log(CORE, 3)

    def mask_under_lock(self, do: Steps, p: Pass) -> Program:
        """CFIE off while the fault is stalled."""
        if p.ss:
            yield do.lock()
            yield do.read("SCTLR")
            yield do.write_sctlr(cfie=False)
            yield do.unlock()

    def no_fault(self, p: Pass) -> bool:
        """CHECK: nothing of ours in the copy of FSR, so the pass returns IRQ_NONE."""
        p.none = not p.fsr & self.fault_mask
        return p.none


def cool_down(do: Steps) -> Program:
    """No more stalls for a while."""
    yield do.lock()
    if do.stall_is_on():
        yield do.read("SCTLR")
        yield do.write_sctlr(cfcfg=False)
    yield do.cool_down()
    yield do.unlock()


def halt_tbu(do: Steps, p: Pass, fsr: int) -> Program:
    """A stall is ended first, for the TBU to halt at all; then ATOS asks the hardware what it finds."""
    if p.ss:
        yield do.read("SCTLR")
        yield do.write_sctlr(cfcfg=False, cfie=False)
        yield do.write_fsr(fsr)
        yield do.write_resume(retry=False)
        yield do.write_sctlr(cfcfg=True, cfie=True)
    yield do.spend("tbu_halt")
    yield do.spend("atos")


def submit(do: Steps, p: Pass) -> Program:
    """Stalls come back with a frame, some time after the last fault."""
    yield do.pm_get()
    yield do.lock()
    yield do.may_stall()
    if p.may_stall:
        yield do.read("SCTLR")
        yield do.write_sctlr(cfcfg=True)
    yield do.unlock()
    yield do.pm_put()


class P0(Policy):
    """v3.11: retry or terminate in the hard IRQ."""

    hupcf = False

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        yield do.read("FSR")
        yield do.check()
        if self.no_fault(p):
            return
        yield do.read("FSYNR0")
        yield do.read("FAR_LO")
        yield do.read("FAR")
        yield do.report()
        yield from client.report(do, p, self)
        if p.ret != OK:
            yield do.log(CORE, 1)
        yield do.write_fsr(p.fsr)
        if p.ss:
            yield do.write_resume(retry=p.ret == OK)
        p.none = p.ret != OK


class P1(Policy):
    """v4.8: print and clear, never stall."""

    cfcfg = False
    hupcf = False

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        yield from self.look_fsr_first(do, p)
        if p.none:
            return
        yield do.log(CORE, 1)
        yield from self.finish(do, p)

    def finish(self, do: Steps, p: Pass) -> Program:
        yield do.write_fsr(p.fsr)


class P2(P1):
    """RFC 2020: stall, then terminate."""

    cfcfg = True

    def finish(self, do: Steps, p: Pass) -> Program:
        yield do.write_fsr(p.fsr)
        if p.ss:
            yield do.write_resume(retry=False)


class P2b(P1):
    """As P2, with RESUME before FSR."""

    cfcfg = True

    def finish(self, do: Steps, p: Pass) -> Program:
        if p.ss:
            yield do.write_resume(retry=False)
        yield do.write_fsr(p.fsr)


class P3(Policy):
    """Seed v1: FSR is cleared unless the client returned another error."""

    client_resumes = True
    deferred_ret = EFAULT

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        yield from self.look_fsr_first(do, p)
        if p.none:
            return
        yield do.report()
        yield from client.report(do, p, self)
        if self.logs(p):
            yield do.log(CORE, 1)
        if self.clears(p):
            yield do.write_fsr(p.fsr)

    def logs(self, p: Pass) -> bool:
        return p.ret == ENOSYS

    def clears(self, p: Pass) -> bool:
        return p.ret in (OK, ENOSYS)

    def resume(self, do: Steps, p: Pass, retry: bool, worker: bool) -> Program:
        yield do.write_resume(retry)
        if worker:
            yield do.write_fsr(ALL_ONES)


class P4(P3):
    """v5.14: report, always clear, RESUME is the client's."""

    deferred_ret = OK

    def clears(self, p: Pass) -> bool:
        return True

    def resume(self, do: Steps, p: Pass, retry: bool, worker: bool) -> Program:
        yield do.write_resume(retry)


class P7(Policy):
    """Connor v3 to v5: CFIE masked while stalled, FSR cleared before the report."""

    fault_mask = FSR_FAULT_BITS
    client_resumes = True
    client_reads = 0

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        yield from self.look_far_first(do, p)
        if p.none:
            return
        yield from self.mask_under_lock(do, p)
        for register in ("FSYNR1", "TTBR0", "CONTEXTIDR"):
            yield do.read(register)
        yield do.write_fsr(p.fsr)
        yield from self.tell(do, p, client)

    def resume(self, do: Steps, p: Pass, retry: bool, worker: bool) -> Program:
        yield do.lock()
        yield do.write_resume(retry)
        yield do.read("SCTLR")
        yield do.write_sctlr(cfie=True)
        yield do.unlock()


class P8(Policy):
    """v6.16: threaded, FSR then RESUME in the handler."""

    threaded = True
    mapped_ret = EAGAIN

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        yield from self.look_far_first(do, p)
        if p.none:
            return
        yield from self.tell(do, p, client)
        yield from self.clear(do, p)
        if p.ss:
            yield do.write_resume(retry=p.ret == EAGAIN)

    def clear(self, do: Steps, p: Pass) -> Program:
        yield do.write_fsr(p.fsr)
