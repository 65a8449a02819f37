"""A policy: who clears FSR, who writes RESUME, when, from which context. As data.

The rows are in `mainline`, `proposals` and `drivers`; `policies` is the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass

from smmucore.registers import FSR_FAULT, FSR_SS
from smmucore.steps import ENOSYS, OK, Step, anything_but, check, log, read, reads, report, returned


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
        With ``terminate``: the row is about such hardware alone.
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

    def is_about(self, second_fault: str) -> bool:
        """Tell whether the row is about hardware with this `second_fault`."""
        return self.only_where in ("", second_fault)

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
