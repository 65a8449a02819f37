"""Handlers and clients of the plain-Python fault model, written as what they are: programs.

A program yields steps; it goes on when its context has paid for the step and the step has had its effect, so
a plain `if` is a step's condition (docs/model.md, section 6).  `do` makes the steps, `p` is the pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .fault_model_bank import FSR_FAULT_BITS, FSR_SS, Fault

if TYPE_CHECKING:
    from .fault_model_cpus import Step, Steps

OK, ENOSYS, EAGAIN, EFAULT = "0", "-ENOSYS", "-EAGAIN", "-EFAULT"
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

    @property
    def ss(self) -> bool:
        return bool(self.fsr & FSR_SS)


# --- policies --------------------------------------------------------------------------------


class Policy:
    """What a policy programs, its handler, and how a client resumes under it."""

    threaded = False
    cfcfg = True
    hupcf = True
    fault_mask = FSR_FAULT_BITS | FSR_SS
    client_resumes = False
    client_reads = 7  #: registers of the SMMU that an Adreno client reads for itself
    deferred_ret = OK  #: what a client returns that leaves the fault to its worker
    mapped_ret = OK  #: what a pager returns from the handler once it has mapped the page

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        raise NotImplementedError

    def resume(self, do: Steps, p: Pass, retry: bool, worker: bool) -> Program:
        """Resume as the client does it (P3, P4, P7)."""
        raise NotImplementedError

    def no_fault(self, p: Pass) -> bool:
        """CHECK: nothing of ours in the copy of FSR, so the pass returns IRQ_NONE."""
        p.none = not p.fsr & self.fault_mask
        return p.none


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
        yield do.read("FSR")
        yield do.check()
        if self.no_fault(p):
            return
        yield do.read("FSYNR0")
        yield do.read("FAR")
        yield do.read("CBFRSYNRA")
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
        yield do.read("FSR")
        yield do.check()
        if self.no_fault(p):
            return
        yield do.read("FSYNR0")
        yield do.read("FAR")
        yield do.read("CBFRSYNRA")
        yield do.report()
        yield from client.report(do, p, self)
        if p.ret == ENOSYS:
            yield do.log(CORE, 1)
        if self.clears(p):
            yield do.write_fsr(p.fsr)

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
        for register in ("FAR", "FSR", "FSYNR0", "CBFRSYNRA"):
            yield do.read(register)
        yield do.check()
        if self.no_fault(p):
            return
        if p.ss:
            yield do.lock()
            yield do.read("SCTLR")
            yield do.write_cfie(False)
            yield do.unlock()
        for register in ("FSYNR1", "TTBR0", "CONTEXTIDR"):
            yield do.read(register)
        yield do.write_fsr(p.fsr)
        yield do.report()
        yield from client.report(do, p, self)
        if p.ret == ENOSYS:
            yield do.log(CORE, 3)

    def resume(self, do: Steps, p: Pass, retry: bool, worker: bool) -> Program:
        yield do.lock()
        yield do.write_resume(retry)
        yield do.read("SCTLR")
        yield do.write_cfie(True)
        yield do.unlock()


class P8(Policy):
    """v6.16: threaded, FSR then RESUME in the handler."""

    threaded = True
    mapped_ret = EAGAIN

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        for register in ("FAR", "FSR", "FSYNR0", "CBFRSYNRA"):
            yield do.read(register)
        yield do.check()
        if self.no_fault(p):
            return
        yield do.report()
        yield from client.report(do, p, self)
        if p.ret == ENOSYS:
            yield do.log(CORE, 3)
        yield do.write_fsr(p.fsr)
        if p.ss:
            yield do.write_resume(retry=p.ret == EAGAIN)


POLICIES: dict[str, Callable[[], Policy]] = {
    "P0": P0, "P1": P1, "P2": P2, "P2b": P2b, "P3": P3, "P4": P4, "P7": P7, "P8": P8,
}  # fmt: skip


# --- clients ---------------------------------------------------------------------------------


class Client:
    """No client: every report ends in -ENOSYS."""

    def report(self, do: Steps, p: Pass, policy: Policy) -> Program:
        p.ret = ENOSYS
        yield from ()

    def worker(self, do: Steps, p: Pass, policy: Policy) -> Program:
        yield from ()


class Adreno(Client):
    """Looks at the fault and prints it; `capture` says who takes the crash dump, if anyone."""

    def __init__(self, capture: str) -> None:
        self.capture = capture

    def report(self, do: Steps, p: Pass, policy: Policy) -> Program:
        dump = self.capture != "nobody" and not do.dump_exists()
        defer = dump and self.capture == "worker"
        for _ in range(policy.client_reads + 4):  # get_fault_info, then the GPU's CP scratch registers
            yield do.read("OTHER")
        if dump and self.capture == "handler" and not do.dump_exists():
            yield do.capture()
        if policy.client_resumes and not defer:
            yield from policy.resume(do, p, retry=False, worker=False)
        yield do.log(GPU, 1)
        if defer:
            yield do.wake()
        p.ret = policy.deferred_ret if defer else OK

    def worker(self, do: Steps, p: Pass, policy: Policy) -> Program:
        if not do.dump_exists():
            yield do.capture()
        if policy.client_resumes:
            yield from policy.resume(do, p, retry=False, worker=True)


class Pager(Client):
    """Maps the page that was touched, and lets the access be tried again."""

    def report(self, do: Steps, p: Pass, policy: Policy) -> Program:
        if policy.client_resumes:
            yield do.wake()
            p.ret = policy.deferred_ret
        else:
            yield do.map_page()
            p.ret = policy.mapped_ret if p.mapped else EFAULT

    def worker(self, do: Steps, p: Pass, policy: Policy) -> Program:
        yield do.map_page()
        yield from policy.resume(do, p, retry=p.mapped, worker=True)


CLIENTS: dict[str, Callable[[], Client]] = {
    "none": Client,
    "adreno-nodump": lambda: Adreno("nobody"),
    "adreno-worker": lambda: Adreno("worker"),
    "adreno-inline": lambda: Adreno("handler"),
    "pager": Pager,
}
