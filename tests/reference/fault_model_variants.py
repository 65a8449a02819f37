"""Handlers beside the main line: what was argued for, other drivers, two of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .fault_model_bank import FSR_FAULT_BITS
from .fault_model_policies import (
    ALL_ONES,
    CORE,
    EAGAIN,
    EBUSY,
    ENOSYS,
    OK,
    P3,
    P4,
    P7,
    P8,
    Pass,
    Policy,
    Program,
)  # fmt: skip

if TYPE_CHECKING:
    from .fault_model_clients import Client
    from .fault_model_steps import Steps


class P4Late(P4):
    """P4 in the form of v6.11 to v6.15: everything is read first, three lines."""

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        yield from self.look_far_first(do, p)
        if p.none:
            return
        yield from self.tell(do, p, client)
        yield do.write_fsr(p.fsr)


class P5(P4Late):
    """Stall only on qcom,smmu-v2."""

    def stalls_on(self, hw: dict[str, Any]) -> bool:
        return bool(hw["second_fault"] == "terminate")


class P6(P7):
    """Connor v1 and v2: CFIE masked, FSR cleared last; the client reads the registers itself."""

    client_reads = 7

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        yield from self.look_far_first(do, p)
        if p.none:
            return
        yield from self.mask_under_lock(do, p)
        yield from self.tell(do, p, client)
        yield do.write_fsr(p.fsr)


class P7w(P8):
    """Will's: in one thread, CFIE comes back before RESUME."""

    fault_mask = FSR_FAULT_BITS
    client_reads = 0

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        yield from self.look_far_first(do, p)
        if p.none:
            return
        if p.ss:
            yield do.read("SCTLR")
            yield do.write_sctlr(cfie=False)
        for register in ("FSYNR1", "TTBR0", "CONTEXTIDR"):
            yield do.read(register)
        yield do.write_fsr(p.fsr)
        yield from self.tell(do, p, client)
        if p.ss:
            yield do.read("SCTLR")
            yield do.write_sctlr(cfie=True)
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
    yield do.write_sctlr(cfcfg=False, hupcf=False)
    yield do.write_fsr(ALL_ONES)
    yield do.write_resume(retry)
    yield do.write_fsr(ALL_ONES)
    yield do.read("SCTLR")
    yield do.write_sctlr(cfie=True)


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
        yield from self.look_again(do, p, client)

    def look_again(self, do: Steps, p: Pass, client: Client) -> Program:
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
        yield do.write_sctlr(cfie=False)

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
        yield from self.look_far_first(do, p)
        if p.none:
            return
        if p.ss:
            yield do.read("SCTLR")
            yield do.write_sctlr(cfie=False)
        yield do.wake()
        yield do.write_fsr(p.fsr)

    def work(self, do: Steps, p: Pass, client: Client) -> Program:
        yield from self.tell(do, p, client)
        if p.ss:
            yield do.write_resume(retry=p.ret == EAGAIN)
            yield do.read("SCTLR")
            yield do.write_sctlr(cfie=True)


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
        yield do.write_sctlr(cfie=False)

    def resume(self, do: Steps, p: Pass, retry: bool, worker: bool) -> Program:
        yield from super().resume(do, p, retry, worker)
        if worker:
            yield do.read("SCTLR")
            yield do.write_sctlr(cfie=True)


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
        yield from self.look_fsr_first(do, p)
        if p.none:
            return
        yield do.write_fsr(p.fsr)
        yield do.report()
        yield from client.report(do, p, self)
        if p.ret == ENOSYS:
            yield do.log(CORE, 1)


class Rob2025(P4Late):
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
