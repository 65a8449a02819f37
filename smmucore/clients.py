"""The clients: what the GPU's driver does when the fault is reported to it, and what it returns.

The client is an axis of its own.  What it may do depends on the policy: where the core writes
RESUME, a client that would have resumed does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from smmucore.drivers import KGSL_RESUME, tbu_halt
from smmucore.policies import mapped_resume
from smmucore.policy import COOL_DOWN_AT_FAULT, Policy
from smmucore.steps import (
    EAGAIN,
    EBUSY,
    EFAULT,
    EINVAL,
    ENOSYS,
    IF_DUMP,
    IF_NO_DUMP,
    IF_SS,
    OK,
    Step,
    capture,
    cfie,
    client_reads,
    log,
    map_page,
    spend,
    wake,
)

Build = Callable[[Policy], tuple[tuple[Step, ...], tuple[Step, ...]]]

_FAULT_INFO = ("FSR", "FSYNR0", "FSYNR1", "FAR", "CBFRSYNRA", "TTBR0", "CONTEXTIDR")
_SCRATCH = tuple(f"CP_SCRATCH{n}" for n in range(4, 8))


@dataclass(frozen=True)
class Client:
    """One client: `build` gives its inline and its worker's steps under a policy.

    `returns` is its code when it does not defer; `dumps`, whether it takes a crash dump at the first
    fault; `pages`, whether it maps pages; `never_else`, that it returns the same code whatever it leaves
    to its worker; `cools`, that it turns stall off for a while at every fault, and wants SS for a dump;
    `gmu_waits`, that the GMU's deadlines begin anew after a dump.
    """

    name: str
    title: str
    source: str
    returns: int
    dumps: bool
    build: Build
    pages: bool = False
    never_else: bool = False
    cools: bool = False
    gmu_waits: bool = False


def _info(policy: Policy) -> tuple[Step, ...]:
    """Fault registers (a copy where the core saved one), then the CP's scratch registers.

    The client keeps its own copies; the core's pass is not touched by them.
    """
    return client_reads(*(() if policy.saved_info else _FAULT_INFO), *_SCRATCH)


def _under(steps: tuple[Step, ...], condition: int) -> tuple[Step, ...]:
    return tuple(step.when_also(condition) for step in steps)


def _worker_resume(policy: Policy) -> tuple[Step, ...]:
    return policy.worker_resume or policy.client_resume


def _none(policy: Policy) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    return (), ()


def _nodump(policy: Policy) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    return (*_info(policy), *policy.at_fault, *policy.client_resume, log(1, site=1)), ()


def _worker(policy: Policy) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    if policy.work:
        return _inline(policy)  # it is in a worker already
    inline = (
        *_info(policy),
        *policy.at_fault,
        *_under(policy.client_resume, IF_NO_DUMP),
        log(1, site=1),
        *_under(policy.client_defers, IF_DUMP),
        wake().when_also(IF_DUMP),
    )
    return inline, (capture(), *_worker_resume(policy))


def _inline(policy: Policy) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    return (
        *_info(policy),
        *policy.at_fault,
        *_under(policy.client_resume, IF_NO_DUMP),
        log(1, site=1),
        capture().when_also(IF_DUMP),
        *_under(policy.client_resume, IF_DUMP),
    ), ()


def _cooling(policy: Policy) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    return _inline(replace(policy, at_fault=COOL_DOWN_AT_FAULT))


def _tbu_debug(policy: Policy) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    return (spend("soft_walk"), *tbu_halt("all"), spend("atos"), log(1, site=1)), ()


def _pager(policy: Policy) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    if policy.defers and policy.retry_code != EAGAIN:
        return (*policy.client_defers, wake()), (map_page(), *mapped_resume(_worker_resume(policy)))
    return (map_page(policy.retry_code, EFAULT),), ()


def _kgsl(policy: Policy) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    inline = (*_under(cfie(on=False), IF_SS), log(1, site=1))
    if policy.work:
        return (*inline, capture(), *KGSL_RESUME), ()
    return (*inline, wake()), (capture(), *KGSL_RESUME)


CLIENTS = {
    client.name: client
    for client in (
        Client(
            "none",
            "no fault handler is installed",
            "report_iommu_fault: -ENOSYS without a handler",
            ENOSYS,
            False,
            _none,
        ),
        Client(
            "adreno-nodump",
            "drm/msm, a crash dump exists already",
            "drm/msm adreno_fault_handler, v5.14 to v6.15: no dump is taken",
            OK,
            False,
            _nodump,
        ),
        Client(
            "adreno-worker",
            "drm/msm, the first fault's dump is captured by a worker",
            "drm/msm, v5.14 to v6.15: fault_work on the GPU's kthread",
            OK,
            True,
            _worker,
        ),
        Client(
            "adreno-inline",
            "drm/msm, the first fault's dump is captured in the handler",
            "drm/msm, v6.16 on: no worker captures the dump",
            OK,
            True,
            _inline,
        ),
        Client(
            "adreno-cooldown",
            "drm/msm, the handler captures, and stall is off until 500 ms after the last fault",
            "drm/msm, v6.16-rc3 on (b13044092c1e), whatever the core does",
            OK,
            True,
            _cooling,
            cools=True,
        ),
        Client(
            "gmu-wait",
            "the same, and the GMU's waits begin anew after a crash dump",
            "drm/msm, v6.19 on: GMU OOB and HFI waits while a devcoredump is captured",
            OK,
            True,
            _cooling,
            cools=True,
            gmu_waits=True,
        ),
        Client(
            "display",
            "a display driver looks at the fault and leaves it to the core",
            "drm/msm msm_disp_fault_handler: -ENOSYS",
            ENOSYS,
            False,
            _none,
        ),
        Client(
            "kgsl",
            "KGSL masks CFIE and recovers from a worker, whatever the core does",
            "downstream kgsl_iommu.c (msm-5.15 class): -EBUSY; CFCFG, HUPCF off, FSR, RESUME, FSR, CFIE",
            EBUSY,
            False,
            _kgsl,
            never_else=True,
        ),
        Client(
            "tbu-debug",
            "halts the TBU, which terminates the stall, walks the tables by ATOS, and keeps both registers",
            "Linux arm-smmu-qcom-debug.c, v7.0, with the vendor's -EBUSY: client terminates, core keeps off",
            EBUSY,
            False,
            _tbu_debug,
            never_else=True,
        ),
        Client(
            "einval",
            "a client that returns -EINVAL by accident and does nothing",
            "the case of the thread of January 2021: any other error",
            EINVAL,
            False,
            _none,
        ),
        Client(
            "pager",
            "a demand pager maps the page and asks for a retry",
            "what IOPF would do on SMMUv2: hypothetical, no upstream driver does",
            OK,
            False,
            _pager,
            pages=True,
        ),
    )
}


def find(name: str) -> Client:
    """Return the client called `name`.

    Raises
    ------
    KeyError
        With the known names, when there is none.
    """
    if name not in CLIENTS:
        raise KeyError(f"client: expected one of {', '.join(CLIENTS)}; found {name!r}")
    return CLIENTS[name]
