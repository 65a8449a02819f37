"""Which policies a line can come from: its wording dates the kernel, and the kernel's handler is a policy.

Only what was merged, or shipped by a vendor, is named; a kernel with a proposal applied prints as the one
it was made from.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.fault_decode import Decoded
from smmucore.policies import POLICIES
from traces.kernel_log import Fault


@dataclass(frozen=True)
class Era:
    """The policies whose handlers print a layout, and what that rests on."""

    policies: tuple[str, ...]
    why: str


_NOT_AN_SMMU = "the GPU's own MMU: no SMMU, and no policy"
ERAS = {
    "arm-smmu-v3.11": Era(("P0",), "printed before the client is asked, so it may be handled all the same"),
    "arm-smmu-v3.13": Era(("P0",), "the client did not handle it; FSR is not printed"),
    "arm-smmu-v4.8": Era(("P1",), "no client is asked"),
    "arm-smmu-v5.2": Era(
        ("P1", "P4", "P4v", "P15", "P8"),
        "P1 to v5.13; P4 from v5.14, where no client handled it; P4 or P8 too where a grep has cut "
        "the two lines that v6.11 prints after it",
    ),
    "arm-smmu-v6.11": Era(("P4", "P4v", "P8"), "P4 to v6.15; P8 from v6.16; no client handled it"),
    "qcom-debug-v6.10": Era(("P17",), "arm-smmu-qcom-debug with a TBU, or a vendor's copy of it"),
    "qcom-debug-v6.11": Era(("P17",), "arm-smmu-qcom-debug with a TBU"),
    "qcom-iommu": Era(("P12",), "printed where the client handled it: the test is the other way round there"),
    "tegra-downstream": Era(("P0",), "P0's order with one more read"),
    "qcom-downstream-4.19": Era(("P13",), "P13 is the 5.15 class; older trees have its -EBUSY contract too"),
    "qcom-downstream-dump": Era(("P13",), "P13 is the 5.15 class; older trees have its -EBUSY contract too"),
    "qcom-downstream-5.10": Era(("P13", "P14"), "P14 prints only what one retry has not cured"),
    "xen-smmu": Era((), "Xen's handler is not in the catalogue"),
    "smmu-global": Era((), "global faults: every era handles them alike, no policy differs"),
    "xen-smmu-global": Era((), "global faults: no policy differs"),
    "smmuv3-event": Era(("v3-iopf", "v3-terminate"), "printed where nobody handled the event"),
    "smmuv3-event-pretty": Era(("v3-iopf", "v3-terminate"), "printed where nobody handled the event"),
    "msm-gpu-fault": Era(
        ("P4", "P4v", "P8", "P9", "P10"), "P4 to v6.15; P8 in v6.16-rc1, P9 from -rc3, P10 from v6.19"
    ),
    "msm-gpu-fault-flags": Era(("P4", "P4v", "P8", "P12"), "an SMMU without adreno_smmu_priv, or qcom_iommu"),
    "msm-gpu-fault-old": Era(
        ("P0", "P4", "P4v", "P12"), "v4.8 to v5.13 ask no client on an SMMU: P0 or qcom_iommu"
    ),
    "msm-fault": Era(("P0", "P4", "P4v", "P8", "P12"), "drm/msm before its GPU handler is set"),
    "msm-fault-info": Era(
        ("P4", "P4v", "P8", "P9", "P10"), "P4 to v6.15; P8 and P9 from v6.16, P10 from v6.19"
    ),
    "kgsl": Era(("P13", "P14"), "KGSL is the client that returns -EBUSY"),
    "mali": Era((), _NOT_AN_SMMU),
    "mali-bus": Era((), _NOT_AN_SMMU),
    "lima": Era((), _NOT_AN_SMMU),
}


def policies(fault: Fault, decoded: Decoded) -> tuple[str, ...]:
    """Return the ids of the policies that can have printed this line.

    SS says that a transaction was stalled: policies that never set CFCFG are out then.
    """
    known = ERAS[fault.layout].policies
    return tuple(key for key in known if not decoded.stall or POLICIES[key].cfcfg)
