"""A policy: who clears FSR, who writes RESUME, when, from which context. As data.

The rows are in `mainline`, `proposals` and `drivers`; `policies` is the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass

from smmucore.hardware import Hardware
from smmucore.registers import FSR_FAULT, FSR_SS
from smmucore.steps import (
    ENOSYS,
    IF_MAY_STALL,
    IF_STALL_ON,
    OK,
    Step,
    anything_but,
    check,
    cool_down,
    lock,
    log,
    may_stall,
    pm_get,
    pm_put,
    read,
    reads,
    report,
    returned,
    sctlr_clear,
    sctlr_set,
    unlock,
)


@dataclass(frozen=True)
class Policy:
    """One way of handling a context fault.

    Attributes
    ----------
    id, name, kernel, source, why : str
        What it is called, where it ran, who wrote it, and its point in one line.
    context : str
        ``hard``: the steps run in the hard interrupt.  ``threaded``: in a ONESHOT thread.
    cfcfg, hupcf : bool
        The SCTLR profile; CFIE and CFRE are always set.
    stalls_where : str
        With ``terminate``: CFCFG is only set on hardware that terminates what faults during a stall.
    only_where : str
        With ``terminate``: the row is about such hardware alone.  With ``events``: about an SMMUv3, as no
        other row is.
    handler : tuple of Step
        The core's handler.
    client_resume : tuple of Step
        What the client's resume call does when the client itself resumes; empty: the core does.
    worker_resume : tuple of Step
        The same from the client's worker; empty: as `client_resume`.
    client_defers : tuple of Step
        What a client does in the handler before it leaves the rest to its worker.
    work : tuple of Step
        The core's own worker, where it is the worker that reports to the client.
    defers_with : int
        What a client returns that leaves the resume to its worker.
    retry_code : int
        What a client returns from the handler to have the transaction retried.
    saved_info : bool
        The core saves the fault registers, and the client reads the copy.
    at_fault : tuple of Step
        What an Adreno client does first when a fault is reported to it.
    submit : tuple of Step
        What the GPU's driver does at a submit.
    dump_needs_ss : bool
        A crash dump is only taken where the copy of FSR has SS.
    gmu_waits : bool
        The GMU's deadlines begin anew after a crash dump.
    polls_all : bool
        Every entry looks at all banks.
    """

    id: str
    name: str
    kernel: str
    source: str
    why: str
    context: str
    cfcfg: bool
    hupcf: bool
    handler: tuple[Step, ...]
    client_resume: tuple[Step, ...] = ()
    worker_resume: tuple[Step, ...] = ()
    client_defers: tuple[Step, ...] = ()
    work: tuple[Step, ...] = ()
    defers_with: int = OK
    retry_code: int = OK
    saved_info: bool = False
    stalls_where: str = ""
    only_where: str = ""
    at_fault: tuple[Step, ...] = ()
    submit: tuple[Step, ...] = ()
    dump_needs_ss: bool = False
    gmu_waits: bool = False
    polls_all: bool = False

    def is_about(self, hardware: Hardware) -> bool:
        """Tell whether the row is about this hardware."""
        if hardware.events:
            return self.only_where == "events"
        return self.only_where in ("", hardware.second_fault)

    @property
    def defers(self) -> bool:
        """Whether a client may leave the fault to its worker."""
        return bool(self.client_resume or self.worker_resume)


FAULT_OR_SS = check(FSR_FAULT | FSR_SS, "fault bits | SS")
FAULT_ONLY = check(FSR_FAULT, "fault bits")
UNHANDLED = anything_but(OK)
#: How handlers from v5.2 to v6.10 begin.
READ_AND_CHECK = (read("FSR"), FAULT_OR_SS, *reads("FSYNR0", "FAR", "CBFRSYNRA"))
#: How they begin from v6.11 on, and what the core does next where a client is told in the handler.
READ_FAR_FIRST = reads("FAR", "FSR", "FSYNR0", "CBFRSYNRA")
REPORT_AND_LOG = (report(), log(3, returned(ENOSYS)))
#: drm/msm from v6.16-rc3 on: the first fault turns stall off ..
COOL_DOWN_AT_FAULT = (
    lock(),
    *(step.when_also(IF_STALL_ON) for step in sctlr_clear("CFCFG")),
    cool_down(),
    unlock(),
)
#: .. and a submit after the cool-down turns it on again, with the GPU awake.
STALL_AT_SUBMIT = (
    pm_get(),
    lock(),
    may_stall(),
    *(step.when_also(IF_MAY_STALL) for step in (read("SCTLR"), sctlr_set("CFCFG"))),
    unlock(),
    pm_put(),
)
