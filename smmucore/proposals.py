"""The policies that were argued for on the lists and not merged, and two of ours.

Each row names the message that its order is from.
"""

from __future__ import annotations

from dataclasses import replace

from smmucore.mainline import MAINLINE
from smmucore.policy import FAULT_ONLY, FAULT_OR_SS, READ_AND_CHECK, READ_FAR_FIRST, REPORT_AND_LOG, UNHANDLED
from smmucore.steps import (
    BY_RETURN,
    BY_TERMINATE,
    EAGAIN,
    EBUSY,
    ENOSYS,
    IF_SS,
    Step,
    anything_but,
    cfie,
    done,
    irq_off,
    irq_on,
    lock,
    log,
    pm_get,
    pm_put,
    read,
    reads,
    report,
    resume,
    returned,
    unlock,
    write_fsr,
)

_P3, _P4, _P8, _P9 = (next(p for p in MAINLINE if p.id == key) for key in ("P3", "P4", "P8", "P9"))

_MASK_WHILE_STALLED = tuple(step.when_also(IF_SS) for step in (lock(), *cfie(on=False), unlock()))
_RESUME_UNDER_LOCK = (lock(), resume(BY_TERMINATE), *cfie(on=True), unlock())


def _threaded(*steps: Step) -> tuple[Step, ...]:
    """Return the thread of v6.16 with `steps` where it clears FSR."""
    return (
        *READ_FAR_FIRST,
        FAULT_OR_SS,
        *REPORT_AND_LOG,
        *steps,
        resume(BY_RETURN, EAGAIN, IF_SS),
        done(),
    )


#: P4's order as it was from v6.11 to v6.15: everything is read before FSR is looked at, and three lines.
_P4_LATE = (*READ_FAR_FIRST, FAULT_OR_SS, *REPORT_AND_LOG, write_fsr(), done())

PROPOSALS = (
    replace(
        _P4,
        id="P4v",
        name="report-clear-smmu-v2",
        source=f"{_P4.source}; Connor Abbott, freedreno list, 2025 (archive a640259cf859)",
        why="P4 where followers that fault during a stall are terminated: no queue of stalls",
        only_where="terminate",
    ),
    replace(
        _P4,
        id="P5",
        name="stall-only-on-smmu-v2",
        kernel="proposal, December 2024",
        source="Rob Clark, freedreno list, 2024-12-16 and 2025-01-02 (archive 603e5ebee211)",
        why="P4, with stall offered only on the part that does not queue faults; others terminate",
        handler=_P4_LATE,
        stalls_where="terminate",
    ),
    replace(
        _P4,
        id="P6",
        name="mask-cfie-clear-last",
        kernel="v1 and v2 of the stall-on-fault series, January 2025",
        source="Connor Abbott, freedreno list, 2025-01-17 and 01-20",
        why="CFIE off while stalled, but FSR cleared after the report: a RESUME in the report is ignored",
        handler=(
            *READ_FAR_FIRST,
            FAULT_ONLY,
            *_MASK_WHILE_STALLED,
            *REPORT_AND_LOG,
            write_fsr(),
            done(),
        ),
        client_resume=_RESUME_UNDER_LOCK,
    ),
    replace(
        _P8,
        id="P7w",
        name="cfie-before-resume",
        kernel="suggestion, May 2025",
        source="Will Deacon, freedreno list, 2025-05-06 (archive 09f8fe47cbd1)",
        why="one threaded handler does it all: CFIE comes back before RESUME, and needs no lock",
        handler=(
            *READ_FAR_FIRST,
            FAULT_ONLY,
            *(step.when_also(IF_SS) for step in cfie(on=False)),
            *reads("FSYNR1", "TTBR0", "CONTEXTIDR"),
            write_fsr(),
            *REPORT_AND_LOG,
            *(step.when_also(IF_SS) for step in cfie(on=True)),
            resume(BY_RETURN, EAGAIN, IF_SS),
            done(),
        ),
        saved_info=True,
    ),
    replace(
        _P9,
        id="P11",
        name="runtime-pm-guard",
        kernel="proposal, January to March 2026",
        source="Prakash Gupta, v2 of 2026-03-13: pm_runtime in the fault handlers",
        why="P9 that looks at no register unless the SMMU is awake, and keeps it so",
        handler=(pm_get(if_active=True), *_P9.handler[:-1], pm_put(), done()),
    ),
    replace(
        _P4,
        id="will-2021",
        name="clear-always-log-nonzero",
        kernel="review of v2, January 2021",
        source="Will Deacon, iommu list, 2021-01-22 (archive 3303a0690d42)",
        why="clear FSR whatever the client says, and log whenever it says anything but 0",
        handler=(*READ_AND_CHECK, report(), log(1, UNHANDLED), write_fsr(), done()),
    ),
    replace(
        _P3,
        id="jordan-2021",
        name="one-code-skips-the-clear",
        kernel="reply to the review, January 2021",
        source="Jordan Crouse, iommu list, 2021-01-25",
        why="P3 narrowed: one specific error code, here -EBUSY, leaves FSR to the client",
        handler=(
            *READ_AND_CHECK,
            report(),
            log(1, returned(ENOSYS)),
            write_fsr().when_also(anything_but(EBUSY)),
            done(),
        ),
        defers_with=EBUSY,
    ),
    replace(
        _P3,
        id="jordan-2021-masked",
        name="client-masks-cfie",
        kernel="what the thread of January 2021 assumes",
        source="Jordan Crouse, iommu list, 2021-01-25: the client masks interrupts; by CFIE is our reading",
        why="P3, and the client turns CFIE off in its handler until its worker is done",
        client_defers=cfie(on=False),
        worker_resume=(*_P3.worker_resume, *cfie(on=True)),
    ),
    replace(
        _P3,
        id="jordan-2021-irq",
        name="client-disables-irq",
        kernel="what the thread of January 2021 assumes",
        source="Jordan Crouse, iommu list, 2021-01-25: the client masks; by disable_irq is our reading",
        why="P3, and the client calls disable_irq_nosync in its handler until its worker is done",
        client_defers=(irq_off(),),
        worker_resume=(*_P3.worker_resume, irq_on()),
    ),
    replace(
        _P4,
        id="robin-rob-2021",
        name="clear-at-once-defer-resume",
        kernel="agreement of January 2021",
        source="Robin Murphy and Rob Clark, iommu list, 2021-01-26",
        why="FSR is cleared at once and only RESUME waits for the client's worker",
        handler=(*READ_AND_CHECK, write_fsr(), report(), log(1, returned(ENOSYS)), done()),
    ),
    replace(
        _P4,
        id="rob-2025",
        name="client-clears-before-resume",
        kernel="alternative raised in 2025",
        source="Rob Clark, freedreno list, 2025 (archive 4af78bc55216); objection a616bec4e80c",
        why="the client clears FSR itself before RESUME, and the core clears it once more",
        handler=_P4_LATE,
        client_resume=(write_fsr(), resume(BY_TERMINATE)),
    ),
    replace(
        _P8,
        id="reread-clear",
        name="reread-then-clear",
        kernel="ours",
        source="smmubench: P8 with one more read, so that a MULTI that came meanwhile is cleared too",
        why="FSR is read again just before the clear",
        handler=_threaded(read("FSR"), write_fsr()),
    ),
    replace(
        _P8,
        id="clear-all",
        name="clear-all-ones",
        kernel="ours",
        source="smmubench: P8 that writes all ones, so that no MULTI is left",
        why="all ones are written to FSR, whatever was read",
        handler=_threaded(write_fsr("all")),
    ),
)
