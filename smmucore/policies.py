"""The policies: who clears FSR, who writes RESUME, when, from which context. As data.

Each row is the order of one kernel version or proposal.  The steps restate behaviour in the words
of `steps`; commits and messages are named so that a reader can hold them against the source.
"""

from __future__ import annotations

from dataclasses import dataclass

from smmucore.registers import FSR_FAULT, FSR_SS
from smmucore.steps import (
    BY_MAPPED,
    BY_RETURN,
    BY_TERMINATE,
    EAGAIN,
    EFAULT,
    ENOSYS,
    IF_SS,
    IRQ_NONE,
    OK,
    Step,
    anything_but,
    cfie,
    check,
    done,
    lock,
    log,
    read,
    reads,
    report,
    resume,
    returned,
    unlock,
    write_fsr,
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
    handler : tuple of Step
        The core's handler.
    client_resume : tuple of Step
        What the client's resume call does when the client itself resumes; empty: the core does.
    worker_resume : tuple of Step
        The same from the client's worker; empty: as `client_resume`.
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
    defers_with: int = OK
    retry_code: int = OK
    saved_info: bool = False

    @property
    def client_resumes(self) -> bool:
        """Whether RESUME is the client's to write."""
        return bool(self.client_resume)


FAULT_OR_SS = check(FSR_FAULT | FSR_SS, "fault bits | SS")
FAULT_ONLY = check(FSR_FAULT, "fault bits")
UNHANDLED = anything_but(OK)
#: How handlers from v5.2 to v6.10 begin.
READ_AND_CHECK = (read("FSR"), FAULT_OR_SS, *reads("FSYNR0", "FAR", "CBFRSYNRA"))

_POLICIES = (
    Policy(
        id="P0",
        name="legacy-retry",
        kernel="v3.11 to v4.7",
        source="Linux drivers/iommu/arm-smmu.c as of v3.13 (2ef0f03120ea)",
        why="stall everything; retry if the client says so, else terminate and claim not to have handled it",
        context="hard",
        cfcfg=True,
        hupcf=False,
        handler=(
            read("FSR"),
            FAULT_OR_SS,
            *reads("FSYNR0", "FAR_LO", "FAR_HI"),
            report(),
            log(1, UNHANDLED),
            write_fsr(),
            resume(BY_RETURN, OK, IF_SS),
            done(IRQ_NONE, UNHANDLED),
            done(),
        ),
        retry_code=OK,
    ),
    Policy(
        id="P1",
        name="print-and-clear",
        kernel="v4.8 to v5.13",
        source="Linux 3714ce1d6655 (2016-08-05, stalling faults disabled), bc580b56cb78 (CBFRSYNRA)",
        why="never stall: the hardware terminates, the handler prints and clears FSR",
        context="hard",
        cfcfg=False,
        hupcf=False,
        handler=(
            *READ_AND_CHECK,
            log(1),
            write_fsr(),
            done(),
        ),
    ),
    Policy(
        id="P2",
        name="stall-then-terminate",
        kernel="RFC, April 2020",
        source="Sai Prakash Ranjan, iommu list, 2020-04 (archive 3227a69aa263)",
        why="stall, print, clear FSR, then terminate by RESUME in the handler",
        context="hard",
        cfcfg=True,
        hupcf=False,
        handler=(
            *READ_AND_CHECK,
            log(1),
            write_fsr(),
            resume(BY_TERMINATE, when=IF_SS),
            done(),
        ),
    ),
    Policy(
        id="P2b",
        name="resume-before-clear",
        kernel="question to the RFC, April 2020",
        source="Robin Murphy, iommu list, 2020-04 (archive d87f2808644c)",
        why="P2 with RESUME before the clear: the order the MMU-500 ignores",
        context="hard",
        cfcfg=True,
        hupcf=False,
        handler=(
            *READ_AND_CHECK,
            log(1),
            resume(BY_TERMINATE, when=IF_SS),
            write_fsr(),
            done(),
        ),
    ),
    Policy(
        id="P3",
        name="client-clears",
        kernel="v1/v2 of the driver fault handlers, November 2020",
        source="Jordan Crouse, iommu list, 2020-11 (archive 730c4e741c77, a84171452791)",
        why="on any other error the core leaves FSR set for the client to clear when it is done",
        context="hard",
        cfcfg=True,
        hupcf=True,
        handler=(
            *READ_AND_CHECK,
            report(),
            log(1, returned(ENOSYS)),
            write_fsr().when_also(returned(OK, ENOSYS)),
            done(),
        ),
        # The worker's order was never posted; the mails say only that it clears FSR when done.
        client_resume=(resume(BY_TERMINATE),),
        worker_resume=(resume(BY_TERMINATE), write_fsr("all")),
        defers_with=EFAULT,
    ),
    Policy(
        id="P4",
        name="report-clear-client-resumes",
        kernel="v5.14 to v6.15",
        source="Linux, driver fault handlers v5 of 2021-06-10 (archive ed0fb5d7c0fb); drm/msm ba6014a4e480",
        why="the core always clears FSR; the client writes RESUME, at once or from its worker",
        context="hard",
        cfcfg=True,
        hupcf=True,
        handler=(
            *READ_AND_CHECK,
            report(),
            log(1, returned(ENOSYS)),
            write_fsr(),
            done(),
        ),
        client_resume=(resume(BY_TERMINATE),),
    ),
    Policy(
        id="P7",
        name="mask-cfie-until-resume",
        kernel="v3 to v5 of the stall-on-fault series, January to March 2025",
        source="Connor Abbott, freedreno list, 2025-01-22 to 03-19",
        why="CFIE off while stalled, FSR cleared before the report, CFIE on again after RESUME under a lock",
        context="hard",
        cfcfg=True,
        hupcf=True,
        handler=(
            *reads("FAR", "FSR", "FSYNR0", "CBFRSYNRA"),
            FAULT_ONLY,
            *(step.when_also(IF_SS) for step in (lock(), *cfie(on=False), unlock())),
            *reads("FSYNR1", "TTBR0", "CONTEXTIDR"),
            write_fsr(),
            report(),
            log(3, returned(ENOSYS)),
            done(),
        ),
        client_resume=(lock(), resume(BY_TERMINATE), *cfie(on=True), unlock()),
        saved_info=True,
    ),
    Policy(
        id="P8",
        name="threaded-resume",
        kernel="v6.16 on",
        source="Linux 1650620774fa (threaded), 3053a2c5086d (RESUME in the handler), 2025-05-21",
        why="a ONESHOT thread reports, clears FSR, then writes RESUME; the line stays masked meanwhile",
        context="threaded",
        cfcfg=True,
        hupcf=True,
        handler=(
            *reads("FAR", "FSR", "FSYNR0", "CBFRSYNRA"),
            FAULT_OR_SS,
            report(),
            log(3, returned(ENOSYS)),
            write_fsr(),
            resume(BY_RETURN, EAGAIN, IF_SS),
            done(),
        ),
        retry_code=EAGAIN,
    ),
)

POLICIES = {policy.id: policy for policy in _POLICIES}


def find(name: str) -> Policy:
    """Return the policy with this id or name.

    Raises
    ------
    KeyError
        With the known ids and names, when there is none.

    Examples
    --------
    >>> find("threaded-resume").id
    'P8'
    """
    for policy in _POLICIES:
        if name in (policy.id, policy.name):
            return policy
    known = ", ".join(f"{p.id} ({p.name})" for p in _POLICIES)
    raise KeyError(f"policy: expected one of {known}; found {name!r}")


def mapped_resume(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return a resume sequence that retries what the pager has mapped instead of terminating."""
    wanted = resume(BY_TERMINATE)
    return tuple(resume(BY_MAPPED, when=step.when) if step.op == wanted.op else step for step in steps)
