"""Handlers after P8 and of other drivers, which need more than a bank; and all policies by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .fault_model_policies import (
    ALL_ONES,
    CORE,
    EAGAIN,
    EBUSY,
    OK,
    P0,
    P1,
    P2,
    P3,
    P4,
    P7,
    P8,
    P2b,
    Pass,
    Policy,
    Program,
    halt_tbu,
)  # fmt: skip
from .fault_model_v3 import V3Iopf, V3Terminate
from .fault_model_variants import (
    P5,
    P6,
    P12,
    P13,
    P16,
    ClearAll,
    Jordan2021,
    JordanMasked,
    JordanMaskedIrq,
    P7w,
    RereadClear,
    Rob2025,
    RobinRob2021,
    Will2021,
)  # fmt: skip

if TYPE_CHECKING:
    from .fault_model_clients import Client
    from .fault_model_steps import Steps


class P9(P8):
    """v6.16-rc3: a fault turns stalls off for a while, a later submit turns them on again."""

    cools_down = True


class P10(P9):
    """v6.19: the GMU's waits begin anew when a crash dump is done."""

    gmu_waits = True


class P11(P9):
    """Runtime PM: nothing is touched while the SMMU sleeps."""

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        yield do.pm_get_if_active()
        if p.none:
            return
        yield from super().handler(do, p, client)
        if not p.none:
            yield do.pm_put()


class P14(P13):
    """Qualcomm downstream: an address that has not just faulted is invalidated and tried again."""

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        yield do.read("FSR")
        yield do.check()
        if self.no_fault(p):
            return
        yield do.read("FAR")
        yield do.read("FSR")
        yield do.note_far()
        if p.new_far:
            yield do.tlbi_asid()
            yield from do.tlb_sync()
            yield do.write_fsr(p.fsr)
            yield do.write_resume(retry=True)
        else:
            yield from self.look_again(do, p, client)


class P15(P1):
    """NVIDIA: P1 for every bank, whoever's line it is."""

    polls_all = True


class P17(P8):
    """TBU debug: IRQ_NONE for what no client handles; -EBUSY leaves both registers alone."""

    worker_resumes = True
    deferred_ret = EBUSY

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        yield from self.look_far_first(do, p)
        if p.none:
            return
        yield do.spend("soft_walk")
        yield do.report()
        yield from client.report(do, p, self)
        handled = p.ret in (OK, EBUSY, EAGAIN)
        if not handled:
            yield from halt_tbu(do, p, p.fsr)
            yield do.log(CORE, 3)
        if p.ret != EBUSY:
            yield do.write_fsr(p.fsr)
            if p.ss:
                yield do.write_resume(retry=p.ret == EAGAIN)
        p.none = not handled

    def resume(self, do: Steps, p: Pass, retry: bool, worker: bool) -> Program:
        yield do.write_fsr(ALL_ONES)
        yield do.write_resume(retry)


POLICIES: dict[str, Callable[[], Policy]] = {
    "P0": P0, "P1": P1, "P2": P2, "P2b": P2b, "P3": P3, "P4": P4, "P7": P7, "P8": P8,
    "P4v": P4, "P5": P5, "P6": P6, "P7w": P7w, "P9": P9, "P10": P10, "P11": P11, "P12": P12, "P13": P13,
    "P14": P14, "P15": P15, "P16": P16, "P17": P17,
    "will-2021": Will2021, "jordan-2021": Jordan2021, "jordan-2021-masked": JordanMasked,
    "jordan-2021-irq": JordanMaskedIrq, "robin-rob-2021": RobinRob2021, "rob-2025": Rob2025,
    "reread-clear": RereadClear, "clear-all": ClearAll,
    "v3-iopf": V3Iopf, "v3-terminate": V3Terminate,
}  # fmt: skip
