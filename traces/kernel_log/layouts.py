"""Every layout by name: who prints it, which kernels do, and what it can tell.

The wordings are facts, from the sources that `docs/fault-logs.md` names.  `kernels` says which releases print
a line so; "about" marks a release that we infer.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """One wording: the kernels that have it, and its form with values left out."""

    name: str
    kind: str
    kernels: str
    form: str


_ALL = (
    Layout("arm-smmu-v3.11", "context", "v3.11 to v4.7", "Unexpected context fault (fsr F)"),
    Layout("arm-smmu-v3.13", "context", "v3.13 to v4.7", "Unhandled context fault: iova, fsynr, cb"),
    Layout("arm-smmu-v4.8", "context", "v4.8 to v5.1", "Unhandled context fault: fsr, iova, fsynr, cb"),
    Layout("arm-smmu-v5.2", "context", "v5.2 to v6.10",
           "Unhandled context fault: fsr, iova, fsynr, cbfrsynra, cb"),
    Layout("arm-smmu-v6.11", "context", "v6.11 on",
           "that of v5.2, then FSR = F [..], SID and FSYNR0 = F [..]"),
    Layout("qcom-debug-v6.10", "context", "about v6.10, arm-smmu-qcom-debug and vendors' copies",
           "that of v5.2, then FSR = F [TF ], SID and soft iova-to-phys"),
    Layout("qcom-debug-v6.11", "context", "v6.11 on, arm-smmu-qcom-debug",
           "that of v6.11, then soft iova-to-phys and ATOS"),
    Layout("qcom-iommu", "context", "mainline qcom_iommu.c, v4.14 on",
           "Unhandled context fault: fsr, iova (16 digits), fsynr, cb"),
    Layout("tegra-downstream", "context", "NVIDIA downstream, 4.4 class",
           "Unhandled context fault: smmuN, iova, fsynr, cb, sid, pgd, pud, pmd, pte"),
    Layout("qcom-downstream-4.19", "context", "Qualcomm downstream, up to 4.19",
           "Unhandled context fault: iova, fsr, fsynr, cb, then FAR, FSR, soft and hard iova-to-phys, SID"),
    Layout("qcom-downstream-dump", "context", "Qualcomm downstream, between 4.14 and 5.4 (not settled)",
           "FAR, PAR, FSR, TTBRn, SCTLR ... then Unhandled context fault: iova, cb, fsr, fsynr0, fsynr1"),
    Layout("qcom-downstream-5.10", "context", "Qualcomm downstream, 5.10 and 5.15",
           "Unhandled arm-smmu context fault from DEV!, then FAR, PAR, FSR, FSYNR0, FSYNR1, context bank#"),
    Layout("xen-smmu", "context", "Xen's SMMUv2 driver",
           "(XEN) smmu: NODE: Unhandled context fault: fsr, iova, fsynr, cb"),
    Layout("smmu-global", "global", "v3.11 on",
           "Unexpected global fault / Blocked unknown Stream ID, then GFSR"),
    Layout("xen-smmu-global", "global", "Xen's SMMUv2 driver", "that of Linux behind (XEN) smmu: NODE:"),
    Layout("smmuv3-event", "event", "v4.2 on", "event N received: and four words"),
    Layout("smmuv3-event-pretty", "event", "about v6.14 on",
           "that, then event: NAME client sid ssid iova ipa, and a line of what it was"),
    Layout("msm-gpu-fault", "gpu", "v5.14 on", "*** gpu fault: ttbr0 iova dir type source (scratch)"),
    Layout("msm-gpu-fault-flags", "gpu", "v5.14 on, where registers are not at hand",
           "*** gpu fault: iova flags (scratch)"),
    Layout("msm-gpu-fault-old", "gpu", "up to v5.13; on A5xx some releases longer",
           "*** gpu fault: iova, flags (scratch)"),
    Layout("msm-fault", "gpu", "drm/msm without a GPU handler", "*** fault: iova, flags"),
    Layout("msm-fault-info", "gpu", "v5.14 on, in a devcoredump", "fault-info: ttbr0 iova dir type source"),
    Layout("kgsl", "gpu", "Qualcomm downstream (KGSL)", "GPU PAGE FAULT: addr pid ..., then context= ..."),
    Layout("mali", "gpu", "panfrost (v5.2 on), panthor, and Arm's kbase",
           "Unhandled Page fault in ASn at VA A ..."),
    Layout("mali-bus", "gpu", "Arm's kbase", "GPU bus fault in ASn at VA/PA A ..."),
    Layout("lima", "gpu", "v5.2 on, and out of tree before",
           "mmu page fault at A from bus id N of type T on IP"),
)  # fmt: skip

LAYOUTS = {layout.name: layout for layout in _ALL}
