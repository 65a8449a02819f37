"""The counters of a run, with the names they carry everywhere."""

from __future__ import annotations

import numpy as np

#: Name and meaning, in the order of every table.
MEANINGS = {
    "accesses": "accesses issued to the SMMU",
    "utlb_hits": "translations answered by a micro-TLB",
    "tlb_hits": "translations answered by the TLB",
    "walks": "translations that needed a walk, faulting ones included",
    "walk_reads": "descriptors read from memory",
    "faults_injected": "faulting translations, as the hardware sees them",
    "faults_recorded": "faults whose syndrome FSR, FAR and FSYNR0 held, until software cleared it",
    "faults_coalesced": "faults told only by MULTI",
    "faults_lost": "faults no register ever told, or told and cleared unread",
    "faults_pending": "faults still queued when the run was cut off",
    "irq_entries": "hard interrupts taken",
    "irq_spurious": "handler passes that saw no new record",
    "irq_none": "handler passes that returned IRQ_NONE",
    "mmio_reads": "register reads by the handler and the client",
    "mmio_writes": "register writes by the handler and the client",
    "log_lines": "lines printed",
    "log_suppressed": "reports suppressed by the ratelimit",
    "resume_written": "writes of RESUME",
    "resume_ignored": "writes of RESUME without effect",
    "resume_stray": "writes of RESUME that hit another fault than the one meant",
    "retried": "stalled transactions that RESUME retried",
    "terminated": "transactions that were terminated",
    "collateral": "innocent transactions stalled or terminated because HUPCF=0",
    "stalled_ns": "time with SS set, summed over banks",
    "cpu_irq_ns": "CPU time in hard interrupts",
    "cpu_thread_ns": "CPU time in IRQ threads",
    "cpu_work_ns": "CPU time in workers",
    "console_ns": "time that console output took in a printing thread",
    "makespan_ns": "time at which the last transaction ended",
    "faultfree_makespan_ns": "the same trace's makespan without the scenario",
    "watchdogs": "deadlines missed",
    "hangchecks": "stalls that the GPU's hang check saw",
    "mmio_asleep": "register accesses while the SMMU slept: bus errors",
    "translations": "translations made, retries included",
    "completed": "transactions that ended with an output address",
    "transactions_pending": "transactions issued and not ended",
    "bypassed": "accesses of streams that bypass the SMMU",
    "tlbi_writes": "register writes of TLBIs",
    "tlb_syncs": "TLBSYNCs",
    "tlb_sync_reads": "reads of TLBSTATUS",
    "tlb_sync_timeouts": "TLBSYNCs that the driver gave up",
    "cpu_tlbi_ns": "time of the CPU that asked in TLBIs and TLBSYNCs, delays included",
    "global_faults": "accesses that a global fault terminated",
}

NAMES = tuple(MEANINGS)
COUNTERS = np.dtype([(name, "i8") for name in NAMES], align=True)
