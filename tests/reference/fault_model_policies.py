"""Handlers and clients of the plain-Python fault model, written as what they are: programs.

A program yields steps; it goes on when its context has paid for the step and the step has had its effect, so
a plain `if` is a step's condition (docs/model.md, section 6).  `do` makes the steps, `p` is the pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .fault_model_bank import FSR_FAULT_BITS, FSR_SS, Fault

if TYPE_CHECKING:
    from .fault_model_cpus import Step, Steps

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
    worker_resumes = False  #: a client's worker does, even where the client in the handler does not
    in_worker = False  #: the client is told in the core's worker
    client_reads = 7  #: registers of the SMMU that an Adreno client reads for itself
    deferred_ret = OK  #: what a client returns that leaves the fault to its worker
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
        yield from self.clear(do, p)
        if p.ss:
            yield do.write_resume(retry=p.ret == EAGAIN)

    def clear(self, do: Steps, p: Pass) -> Program:
        yield do.write_fsr(p.fsr)


class P5(P4):
    """Stall only on qcom,smmu-v2."""

    def stalls_on(self, hw: dict[str, Any]) -> bool:
        return bool(hw["second_fault"] == "terminate")


class P6(P7):
    """Connor v1 and v2: CFIE masked, FSR cleared last; the client reads the registers itself."""

    client_reads = 7

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
        yield do.report()
        yield from client.report(do, p, self)
        if p.ret == ENOSYS:
            yield do.log(CORE, 3)
        yield do.write_fsr(p.fsr)


class P7w(P8):
    """Will's: in one thread, CFIE comes back before RESUME."""

    fault_mask = FSR_FAULT_BITS
    client_reads = 0

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        for register in ("FAR", "FSR", "FSYNR0", "CBFRSYNRA"):
            yield do.read(register)
        yield do.check()
        if self.no_fault(p):
            return
        if p.ss:
            yield do.read("SCTLR")
            yield do.write_cfie(False)
        yield do.write_fsr(p.fsr)
        yield do.report()
        yield from client.report(do, p, self)
        if p.ret == ENOSYS:
            yield do.log(CORE, 3)
        if p.ss:
            yield do.read("SCTLR")
            yield do.write_cfie(True)
            yield do.write_resume(retry=p.ret == EAGAIN)


class P12(Policy):
    """qcom_iommu: RESUME=terminate whether anything is stalled or not; prints what was handled."""

    hupcf = False

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        yield do.read("FSR")
        yield do.check()
        if self.no_fault(p):
            return
        yield do.read("FSYNR0")
        yield do.read("FAR")
        yield do.report()
        yield from client.report(do, p, self)
        if p.ret == OK:
            yield do.log(CORE, 1)
        yield do.write_fsr(p.fsr)
        yield do.write_resume(retry=False)


def recover_as_kgsl(do: Steps, retry: bool) -> Program:
    yield do.read("SCTLR")
    yield do.no_more_stalls()
    yield do.write_fsr(ALL_ONES)
    yield do.write_resume(retry)
    yield do.write_fsr(ALL_ONES)
    yield do.read("SCTLR")
    yield do.write_cfie(True)


class P13(Policy):
    """Qualcomm downstream: -EBUSY leaves both registers to the client."""

    threaded = True
    worker_resumes = True
    deferred_ret = EBUSY

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        yield do.read("FSR")
        yield do.check()
        if self.no_fault(p):
            return
        for register in ("FSR", "FSYNR0", "FAR"):
            yield do.read(register)
        yield do.report()
        yield from client.report(do, p, self)
        if p.ret == ENOSYS:
            yield do.log(CORE, 1)
        if p.ret != EBUSY:
            yield do.write_fsr(p.fsr)
            if p.ss:
                yield do.write_resume(retry=False)

    def defer(self, do: Steps, p: Pass) -> Program:
        yield do.read("SCTLR")
        yield do.write_cfie(False)

    def resume(self, do: Steps, p: Pass, retry: bool, worker: bool) -> Program:
        yield from recover_as_kgsl(do, retry)


class P16(Policy):
    """As IOPF: the thread queues a record, the worker asks the client and resumes."""

    threaded = True
    in_worker = True
    fault_mask = FSR_FAULT_BITS
    client_reads = 0
    mapped_ret = EAGAIN

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        for register in ("FAR", "FSR", "FSYNR0", "CBFRSYNRA"):
            yield do.read(register)
        yield do.check()
        if self.no_fault(p):
            return
        if p.ss:
            yield do.read("SCTLR")
            yield do.write_cfie(False)
        yield do.wake()
        yield do.write_fsr(p.fsr)

    def work(self, do: Steps, p: Pass, client: Client) -> Program:
        yield do.report()
        yield from client.report(do, p, self)
        if p.ret == ENOSYS:
            yield do.log(CORE, 3)
        if p.ss:
            yield do.write_resume(retry=p.ret == EAGAIN)
            yield do.read("SCTLR")
            yield do.write_cfie(True)


class P17(P8):
    """TBU debug: IRQ_NONE for what no client handles; -EBUSY leaves both registers alone."""

    worker_resumes = True
    deferred_ret = EBUSY

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        for register in ("FAR", "FSR", "FSYNR0", "CBFRSYNRA"):
            yield do.read(register)
        yield do.check()
        if self.no_fault(p):
            return
        yield do.report()
        yield from client.report(do, p, self)
        handled = p.ret in (OK, EBUSY, EAGAIN)
        if not handled:
            yield do.log(CORE, 3)
        if p.ret != EBUSY:
            yield do.write_fsr(p.fsr)
            if p.ss:
                yield do.write_resume(retry=p.ret == EAGAIN)
        p.none = not handled

    def resume(self, do: Steps, p: Pass, retry: bool, worker: bool) -> Program:
        yield do.write_fsr(ALL_ONES)
        yield do.write_resume(retry)


class Will2021(P4):
    """Clear always, log any nonzero return."""

    def logs(self, p: Pass) -> bool:
        return p.ret != OK


class Jordan2021(P3):
    """Only -EBUSY skips the clear."""

    deferred_ret = EBUSY

    def clears(self, p: Pass) -> bool:
        return p.ret != EBUSY


class JordanMasked(P3):
    """P3, CFIE off from the client's handler to the end of its worker."""

    def defer(self, do: Steps, p: Pass) -> Program:
        yield do.read("SCTLR")
        yield do.write_cfie(False)

    def resume(self, do: Steps, p: Pass, retry: bool, worker: bool) -> Program:
        yield from super().resume(do, p, retry, worker)
        if worker:
            yield do.read("SCTLR")
            yield do.write_cfie(True)


class JordanMaskedIrq(P3):
    """P3, disable_irq from the client's handler to the end of its worker."""

    def defer(self, do: Steps, p: Pass) -> Program:
        yield do.switch_irq(False)

    def resume(self, do: Steps, p: Pass, retry: bool, worker: bool) -> Program:
        yield from super().resume(do, p, retry, worker)
        if worker:
            yield do.switch_irq(True)


class RobinRob2021(P4):
    """FSR is cleared before anybody is asked."""

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        yield do.read("FSR")
        yield do.check()
        if self.no_fault(p):
            return
        yield do.read("FSYNR0")
        yield do.read("FAR")
        yield do.read("CBFRSYNRA")
        yield do.write_fsr(p.fsr)
        yield do.report()
        yield from client.report(do, p, self)
        if p.ret == ENOSYS:
            yield do.log(CORE, 1)


class Rob2025(P4):
    """The client clears FSR with its pass's bits before it resumes."""

    def resume(self, do: Steps, p: Pass, retry: bool, worker: bool) -> Program:
        yield do.write_fsr(p.fsr)
        yield do.write_resume(retry)


class RereadClear(P8):
    """One more read of FSR before the clear."""

    def clear(self, do: Steps, p: Pass) -> Program:
        yield do.read("FSR")
        yield do.write_fsr(p.fsr)


class ClearAll(P8):
    """All ones."""

    def clear(self, do: Steps, p: Pass) -> Program:
        yield do.write_fsr(ALL_ONES)


POLICIES: dict[str, Callable[[], Policy]] = {
    "P0": P0, "P1": P1, "P2": P2, "P2b": P2b, "P3": P3, "P4": P4, "P7": P7, "P8": P8,
    "P4v": P4, "P5": P5, "P6": P6, "P7w": P7w, "P12": P12, "P13": P13, "P16": P16, "P17": P17,
    "will-2021": Will2021, "jordan-2021": Jordan2021, "jordan-2021-masked": JordanMasked,
    "jordan-2021-irq": JordanMaskedIrq, "robin-rob-2021": RobinRob2021, "rob-2025": Rob2025,
    "reread-clear": RereadClear, "clear-all": ClearAll,
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
        capture = "handler" if policy.in_worker and self.capture == "worker" else self.capture
        dump = capture != "nobody" and not do.dump_exists()
        defer = dump and capture == "worker"
        for _ in range(policy.client_reads + 4):  # get_fault_info, then the GPU's CP scratch registers
            yield do.read("OTHER")
        if dump and capture == "handler" and not do.dump_exists():
            yield do.capture()
        if policy.client_resumes and not defer:
            yield from policy.resume(do, p, retry=False, worker=False)
        yield do.log(GPU, 1)
        if defer:
            yield from policy.defer(do, p)
            yield do.wake()
        p.ret = policy.deferred_ret if defer else OK

    def worker(self, do: Steps, p: Pass, policy: Policy) -> Program:
        if not do.dump_exists():
            yield do.capture()
        if policy.client_resumes or policy.worker_resumes:
            yield from policy.resume(do, p, retry=False, worker=True)


class Pager(Client):
    """Maps the page that was touched, and lets the access be tried again."""

    def report(self, do: Steps, p: Pass, policy: Policy) -> Program:
        if (policy.client_resumes or policy.worker_resumes) and policy.mapped_ret != EAGAIN:
            yield from policy.defer(do, p)
            yield do.wake()
            p.ret = policy.deferred_ret
        else:
            yield do.map_page()
            p.ret = policy.mapped_ret if p.mapped else EFAULT

    def worker(self, do: Steps, p: Pass, policy: Policy) -> Program:
        yield do.map_page()
        yield from policy.resume(do, p, retry=p.mapped, worker=True)


class Kgsl(Client):
    """Masks CFIE, says -EBUSY, and recovers from its worker whatever the core does."""

    def report(self, do: Steps, p: Pass, policy: Policy) -> Program:
        p.ret = EBUSY
        if p.ss:
            yield do.read("SCTLR")
            yield do.write_cfie(False)
        yield do.log(GPU, 1)
        if policy.in_worker:
            yield from self.worker(do, p, policy)
        else:
            yield do.wake()

    def worker(self, do: Steps, p: Pass, policy: Policy) -> Program:
        if not do.dump_exists():
            yield do.capture()
        yield from recover_as_kgsl(do, retry=False)


class Einval(Client):
    """Returns -EINVAL and does nothing."""

    def report(self, do: Steps, p: Pass, policy: Policy) -> Program:
        p.ret = EINVAL
        yield from ()


CLIENTS: dict[str, Callable[[], Client]] = {
    "none": Client,
    "display": Client,
    "kgsl": Kgsl,
    "einval": Einval,
    "adreno-nodump": lambda: Adreno("nobody"),
    "adreno-worker": lambda: Adreno("worker"),
    "adreno-inline": lambda: Adreno("handler"),
    "pager": Pager,
}
