"""The clients of the plain-Python fault model: what a driver does when a fault is reported to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .fault_model_policies import (
    ALL_ONES,
    EAGAIN,
    EBUSY,
    EFAULT,
    EINVAL,
    ENOSYS,
    GPU,
    OK,
    Pass,
    Policy,
    Program,
    cool_down,
    halt_tbu,
)
from .fault_model_variants import recover_as_kgsl

if TYPE_CHECKING:
    from .fault_model_steps import Steps


class Client:
    """No client: every report ends in -ENOSYS."""

    cools_down = False  #: as a policy's
    gmu_waits = False

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
        cools_down = self.cools_down or policy.cools_down
        capture = "handler" if policy.in_worker and self.capture == "worker" else self.capture
        dump = capture != "nobody" and not do.dump_exists() and (p.ss or not cools_down)
        defer = dump and capture == "worker"
        for _ in range(policy.client_reads + 4):  # get_fault_info, then the GPU's CP scratch registers
            yield do.read("OTHER")
        if cools_down:
            yield from cool_down(do)
        if policy.client_resumes and not dump:
            yield from policy.resume(do, p, retry=False, worker=False)
        yield do.log(GPU, 1)
        if dump and not defer:
            if not do.dump_exists():
                yield do.capture()
            if policy.client_resumes:
                yield from policy.resume(do, p, retry=False, worker=False)
        if defer:
            yield from policy.defer(do, p)
            yield do.wake()
        p.ret = policy.deferred_ret if defer else OK

    def worker(self, do: Steps, p: Pass, policy: Policy) -> Program:
        if not do.dump_exists():
            yield do.capture()
        if policy.client_resumes or policy.worker_resumes:
            yield from policy.resume(do, p, retry=False, worker=True)


class CoolDown(Adreno):
    """Dumps in the handler, and brings the cool-down under any policy."""

    cools_down = True

    def __init__(self) -> None:
        super().__init__("handler")


class GmuWait(CoolDown):
    """Its GMU waits for the dump besides."""

    gmu_waits = True


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
            yield do.write_sctlr(cfie=False)
        yield do.log(GPU, 1)
        if policy.in_worker:
            yield from self.worker(do, p, policy)
        else:
            yield do.wake()

    def worker(self, do: Steps, p: Pass, policy: Policy) -> Program:
        if not do.dump_exists():
            yield do.capture()
        yield from recover_as_kgsl(do, retry=False)


class TbuDebug(Client):
    """Ends the stall itself, asks the TBU, and says -EBUSY."""

    def report(self, do: Steps, p: Pass, policy: Policy) -> Program:
        p.ret = EBUSY
        yield do.spend("soft_walk")
        yield from halt_tbu(do, p, ALL_ONES)
        yield do.log(GPU, 1)


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
    "adreno-cooldown": CoolDown,
    "gmu-wait": GmuWait,
    "tbu-debug": TbuDebug,
    "pager": Pager,
}
