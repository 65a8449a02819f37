"""The policies of other drivers than mainline's context-fault handler, and of IOPF.

qcom_iommu, Qualcomm's downstream arm-smmu with KGSL, the TBU debug handler, and what IOPF would be.
"""

from __future__ import annotations

from smmucore.policy import FAULT_ONLY, FAULT_OR_SS, READ_FAR_FIRST, REPORT_AND_LOG, Policy
from smmucore.steps import (
    BY_RETRY,
    BY_RETURN,
    BY_TERMINATE,
    EAGAIN,
    EBUSY,
    ENOSYS,
    IF_NEW,
    IF_SS,
    IRQ_NONE,
    OK,
    Step,
    anything_but,
    cfie,
    done,
    log,
    note_far,
    read,
    reads,
    report,
    resume,
    returned,
    sctlr_clear,
    sctlr_set,
    spend,
    tlbi_asid,
    tlbsync,
    wake,
    write_fsr,
)

#: KGSL's recovery: no more stalls, a clean FSR, RESUME; then a clean FSR again, and the interrupt.
KGSL_RESUME = (
    *sctlr_clear("CFCFG", "HUPCF"),
    write_fsr("all"),
    resume(BY_TERMINATE),
    write_fsr("all"),
    *cfie(on=True),
)


def tbu_halt(fsr: str) -> tuple[Step, ...]:
    """Halt a TBU: what has stalled has to be terminated first, with stall and interrupt off meanwhile."""
    freed = (*sctlr_clear("CFCFG", "CFIE"), write_fsr(fsr), resume(BY_TERMINATE), sctlr_set("CFCFG", "CFIE"))
    return (*(step.when_also(IF_SS) for step in freed), spend("tbu_halt"))


_NO_VERDICT = anything_but(OK, EBUSY, EAGAIN)
#: The vendor's handler, behind its first look at FSR.
_VENDOR = (
    *reads("FSR", "FSYNR0", "FAR"),
    report(),
    log(1, returned(ENOSYS)),
    write_fsr().when_also(anything_but(EBUSY)),
    resume(BY_TERMINATE, when=IF_SS | anything_but(EBUSY)),
    done(),
)

DRIVERS = (
    Policy(
        id="P12",
        name="qcom-iommu",
        kernel="mainline qcom_iommu.c",
        source="Linux drivers/iommu/arm/arm-smmu/qcom_iommu.c, v7.0",
        why="stall always, clear FSR and write RESUME=terminate whether stalled or not; prints when handled",
        context="hard",
        cfcfg=True,
        hupcf=False,
        handler=(
            read("FSR"),
            FAULT_OR_SS,
            *reads("FSYNR0", "FAR"),
            report(),
            log(1, returned(OK)),
            write_fsr(),
            resume(BY_TERMINATE),
            done(),
        ),
    ),
    Policy(
        id="P13",
        name="vendor-ebusy",
        kernel="Qualcomm downstream, 5.15",
        source="downstream arm-smmu.c and kgsl_iommu.c (msm-5.15 class)",
        why="-EBUSY leaves FSR and RESUME to the client, which masks CFIE and recovers from a worker",
        context="threaded",
        cfcfg=True,
        hupcf=True,
        handler=(
            read("FSR"),
            FAULT_OR_SS,
            *_VENDOR,
        ),
        client_defers=cfie(on=False),
        worker_resume=KGSL_RESUME,
        defers_with=EBUSY,
    ),
    Policy(
        id="P14",
        name="vendor-retry-once",
        kernel="Qualcomm downstream, 5.15, qcom,context-fault-retry",
        source="downstream arm-smmu.c (msm-5.15 class), Waipio",
        why="the first fault at an address is retried after a TLBI; the next goes the vendor's way",
        context="threaded",
        cfcfg=True,
        hupcf=True,
        handler=(
            read("FSR"),
            FAULT_OR_SS,
            *reads("FAR", "FSR"),
            note_far(),
            *(
                step.when_also(IF_NEW)
                for step in (tlbi_asid(), tlbsync(), write_fsr(), resume(BY_RETRY), done())
            ),
            *_VENDOR,
        ),
        client_defers=cfie(on=False),
        worker_resume=KGSL_RESUME,
        defers_with=EBUSY,
    ),
    Policy(
        id="P15",
        name="poll-all-banks",
        kernel="mainline nvidia_smmu_context_fault, v5.9 on",
        source="Linux drivers/iommu/arm/arm-smmu/arm-smmu-nvidia.c, v7.0, one instance",
        why="one line for all banks: every entry reads the FSR of each; never stalls",
        context="hard",
        cfcfg=False,
        hupcf=False,
        handler=(
            read("FSR"),
            FAULT_OR_SS,
            *reads("FSYNR0", "FAR", "CBFRSYNRA"),
            log(1),
            write_fsr(),
            done(),
        ),
        polls_all=True,
    ),
    Policy(
        id="P16",
        name="iopf-style",
        kernel="hypothetical on SMMUv2",
        source="Linux io-pgfault.c and arm-smmu-v3 as a pattern; Robin Murphy, iommu list, 2021-01-26",
        why="the thread queues a record and clears FSR; a worker reports, resumes, and opens the interrupt",
        context="threaded",
        cfcfg=True,
        hupcf=True,
        handler=(
            *READ_FAR_FIRST,
            FAULT_ONLY,
            *(step.when_also(IF_SS) for step in cfie(on=False)),
            wake(),
            write_fsr(),
            done(),
        ),
        work=(
            *REPORT_AND_LOG,
            resume(BY_RETURN, EAGAIN, IF_SS),
            *(step.when_also(IF_SS) for step in cfie(on=True)),
        ),
        retry_code=EAGAIN,
        saved_info=True,
    ),
    Policy(
        id="P17",
        name="tbu-debug",
        kernel="mainline arm-smmu-qcom-debug.c, v6.10 on",
        source="Linux drivers/iommu/arm/arm-smmu/arm-smmu-qcom-debug.c, v7.0",
        why="-EBUSY leaves both alone; what no client handles is checked by ATOS, and ends in IRQ_NONE",
        context="threaded",
        cfcfg=True,
        hupcf=True,
        handler=(
            *READ_FAR_FIRST,
            FAULT_OR_SS,
            spend("soft_walk"),
            report(),
            *(step.when_also(_NO_VERDICT) for step in (*tbu_halt("read"), spend("atos"), log(3))),
            write_fsr().when_also(anything_but(EBUSY)),
            resume(BY_RETURN, EAGAIN, IF_SS | anything_but(EBUSY)),
            done(IRQ_NONE, _NO_VERDICT),
            done(),
        ),
        # -EBUSY: debug work first, then FSR, then RESUME, as the vendor's contract has it on MMU-500.
        worker_resume=(write_fsr("all"), resume(BY_TERMINATE)),
        defers_with=EBUSY,
        retry_code=EAGAIN,
    ),
)
