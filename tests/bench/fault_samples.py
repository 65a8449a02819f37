"""A sample of every layout, made by hand around the literal formats: no board has printed these.

Each is (layout, text, what is expected of the one fault in it).  IOVAs, devices and times are made up.
"""

from __future__ import annotations

ARM = "arm-smmu 2c00000.iommu: "
QCOM = "arm-smmu 6600000.apps-smmu: "


def stamped(*lines: str, start: float = 12.0, step: float = 0.000010) -> str:
    """Put dmesg's stamp before each line."""
    return "".join(f"[{start + k * step:12.6f}] {line}\n" for k, line in enumerate(lines))


SAMPLES: list[tuple[str, str, dict[str, object]]] = [
    ("arm-smmu-v3.11", stamped(ARM + "Unexpected context fault (fsr 0x40000480)"),
     {"fsr": 0x4000_0480, "device": "2c00000.iommu", "time_ns": 12_000_000_000, "kind": "context"}),
    ("arm-smmu-v3.13", stamped(ARM + "Unhandled context fault: iova=0x06031040, fsynr=0x12, cb=3"),
     {"iova": 0x0603_1040, "fsynr0": 0x12, "cb": 3, "fsr": None}),
    ("arm-smmu-v4.8", stamped(ARM + "Unhandled context fault: fsr=0x402, iova=0x7aaa35c0, fsynr=0x11, cb=1"),
     {"fsr": 0x402, "iova": 0x7AAA_35C0, "fsynr0": 0x11, "cb": 1, "sid": None}),
    ("arm-smmu-v5.2",
     stamped(ARM + "Unhandled context fault: fsr=0x80000402, iova=0x801000042000, fsynr=0x70091, "
             "cbfrsynra=0x9000, cb=7"),
     {"fsr": 0x8000_0402, "iova": 0x8010_0004_2000, "fsynr0": 0x70091, "sid": 0x9000, "cb": 7}),
    ("arm-smmu-v6.11",
     stamped(ARM + "Unhandled context fault: fsr=0xc0000408, iova=0xfff001000, fsynr=0x160013, "
             "cbfrsynra=0x740, cb=9",
             ARM + "FSR    = c0000408 [MULTI SS Format=2 PF], SID=0x740",
             ARM + "FSYNR0 = 00160013 [S1CBNDX=22 WNR PLVL=3]"),
     {"fsr": 0xC000_0408, "fsynr0": 0x160013, "sid": 0x740, "lines": (1, 2, 3)}),
    ("qcom-debug-v6.10",
     stamped(ARM + "Unhandled context fault: fsr=0x402, iova=0xfd7fe000, fsynr=0x540003, "
             "cbfrsynra=0x19c3, cb=10",
             ARM + "FSR    = 00000402 [TF ], SID=0x19c3",
             ARM + "soft iova-to-phys=0x0000000000000000",
             ARM + "SOFTWARE TABLE WALK FAILED! Looks like 2c00000.iommu accessed an unmapped address!",
             ARM + "hard iova-to-phys (ATOS) failed"),
     {"fsr": 0x402, "sid": 0x19C3, "cb": 10, "lines": (1, 2, 3, 4, 5)}),
    ("qcom-debug-v6.11",
     stamped(ARM + "Unhandled context fault: fsr=0x402, iova=0xfd7fe000, fsynr=0x3, cbfrsynra=0x8, cb=4",
             ARM + "FSR    = 00000402 [Format=2 TF], SID=0x8",
             ARM + "FSYNR0 = 00000003 [S1CBNDX=0 PLVL=3]",
             ARM + "soft iova-to-phys=0x0000000080001000",
             ARM + "hard iova-to-phys (ATOS)=0x0000000080001000"),
     {"fsr": 0x402, "sid": 8, "lines": (1, 2, 3, 4, 5)}),
    ("qcom-iommu",
     stamped("qcom-iommu-ctx 1e20000.iommu-ctx: Unhandled context fault: "
             "fsr=0x40000202, iova=0x0000000001049de0, fsynr=0x3, cb=0"),
     {"fsr": 0x4000_0202, "iova": 0x0104_9DE0, "cb": 0, "driver": "qcom-iommu-ctx"}),
    ("tegra-downstream",
     stamped("arm-smmu 13000000.iommu: Unhandled context fault: smmu0, iova=0xfe000000, fsynr=0x11, "
             "cb=2, sid=91(0x5b - PCIE0), pgd=0, pud=0, pmd=0, pte=0"),
     {"iova": 0xFE00_0000, "fsynr0": 0x11, "cb": 2, "sid": 0x5B}),
    ("qcom-downstream-4.19",
     stamped(QCOM + "Unhandled context fault: iova=0xa09e70c8, fsr=0x40000402, fsynr=0x300003, cb=5",
             QCOM + "FAR    = 00000000a09e70c8",
             QCOM + "FSR    = 40000402 [TF SS ]",
             QCOM + "soft iova-to-phys=0x0000000000000000",
             QCOM + "SOFTWARE TABLE WALK FAILED! Looks like 6600000.apps-smmu accessed an unmapped address!",
             QCOM + "hard iova-to-phys (ATOS) failed",
             QCOM + "SID=0x40"),
     {"fsr": 0x4000_0402, "sid": 0x40, "lines": (1, 2, 3, 4, 5, 6, 7)}),
    ("qcom-downstream-dump",
     stamped(QCOM + "FAR    = 0x0000000000003000",
             QCOM + "PAR    = 0x0000000000000000",
             QCOM + "FSR    = 0x40000402 [TF R SS ]",
             QCOM + "TTBR0  = 0x0000000000000000",
             QCOM + "TTBR1  = 0x0000000000000000",
             QCOM + "SCTLR  = 0x00c000e7 ACTLR  = 0x00000103",
             QCOM + "CBAR  = 0x0001f300",
             QCOM + "MAIR0   = 0xf404ff44 MAIR1   = 0x000000e4",
             QCOM + "Unhandled context fault: iova=0x00003000, cb=2, fsr=0x40000402, fsynr0=0x200001, "
                     "fsynr1=0x7",
             QCOM + "SSD=0x0 SID=0x880",
             QCOM + "Client info: BID=0x0, PID=0x0, MID=0x7"),
     {"iova": 0x3000, "fsynr1": 7, "sid": 0x880, "cb": 2, "lines": tuple(range(1, 12))}),
    ("qcom-downstream-5.10",
     stamped(QCOM + "Unhandled arm-smmu context fault from 3d00000.qcom,kgsl!",
             QCOM + "FAR    = 0x0000000512345000",
             QCOM + "PAR    = (____ptrval____)",
             QCOM + "FSR    = 0x40000408 [PF W SS ]",
             QCOM + "FSYNR0    = 0x230013",
             QCOM + "FSYNR1    = 0x18080004",
             QCOM + "context bank#    = 0x23",
             QCOM + "TTBR0  = 0x00230001012ab000",
             QCOM + "TTBR1  = 0x0000000000000000",
             QCOM + "SCTLR  = 0x0a5f00e7 ACTLR  = 0x00000003",
             QCOM + "CBAR  = 0x0001f300",
             QCOM + "MAIR0   = 0xf404ff44 MAIR1   = 0x0000efe4",
             QCOM + "SID = 0x7",
             QCOM + "Client info: BID=0x1, PID=0x2, MID=0x4",
             QCOM + "soft iova-to-phys=0x0000000081234000",
             QCOM + "hard iova-to-phys (ATOS)=0x0000000081234000"),
     {"iova": 0x5_1234_5000, "fsr": 0x4000_0408, "fsynr1": 0x1808_0004, "cb": 0x23, "sid": 7,
      "ttbr0": 0x0023_0001_012A_B000, "lines": tuple(range(1, 17))}),
    ("xen-smmu", "(XEN) smmu: /axi/smmu@fd900000: Unhandled context fault: fsr=0x402, iova=0xf9040040, "
            "fsynr=0x12, cb=0\n",
     {"iova": 0xF904_0040, "device": "/axi/smmu@fd900000", "driver": "xen", "time_ns": None}),
    ("smmu-global",
     stamped(ARM + 'Blocked unknown Stream ID 0x43; boot with "arm-smmu.disable_bypass=0" to allow, but '
             'this may have '
             "security implications",
             ARM + "\tGFSR 0x80000002, GFSYNR0 0x00000002, GFSYNR1 0x00000043, GFSYNR2 0x00000000"),
     {"fsr": 0x8000_0002, "sid": 0x43, "kind": "global", "lines": (1, 2)}),
    ("xen-smmu-global",
     "(XEN) smmu: /iommu@7fc30000: Unexpected global fault, this could be serious\n"
     "(XEN) smmu: /iommu@7fc30000: \tGFSR 0x00000004, GFSYNR0 0x00000006, GFSYNR1 0x00000000, GFSYNR2 "
             "0x00000000\n",
     {"fsr": 4, "fsynr0": 6, "device": "/iommu@7fc30000"}),
    ("smmuv3-event",
     stamped("arm-smmu-v3 2b400000.iommu: event 0x10 received:",
             "arm-smmu-v3 2b400000.iommu: \t0x0000001200000010",
             "arm-smmu-v3 2b400000.iommu: \t0x0000020880000007",
             "arm-smmu-v3 2b400000.iommu: \t0x00000000fffff040",
             "arm-smmu-v3 2b400000.iommu: \t0x0000000000000000"),
     {"iova": 0xFFFF_F040, "sid": 0x12, "kind": "event", "lines": (1, 2, 3, 4, 5)}),
    ("smmuv3-event-pretty",
     stamped("arm-smmu-v3 2b400000.iommu: event 0x13 received:",
             "arm-smmu-v3 2b400000.iommu: \t0x0000001200000013",
             "arm-smmu-v3 2b400000.iommu: \t0x0000020000000000",
             "arm-smmu-v3 2b400000.iommu: \t0x00000000fffff040",
             "arm-smmu-v3 2b400000.iommu: \t0x0000000000000000",
             "arm-smmu-v3 2b400000.iommu: event: F_PERMISSION client: 0000:01:00.0 sid: 0x12 ssid: 0 "
             "iova: 0xfffff040 ipa: 0",
             'arm-smmu-v3 2b400000.iommu: unpriv data write s1 "Input address caused fault" stag: 0'),
     {"iova": 0xFFFF_F040, "sid": 0x12, "lines": (1, 2, 3, 4, 5, 6, 7)}),
    ("msm-gpu-fault",
     stamped("*** gpu fault: ttbr0=0000000101ad5000 iova=0000000001076000 dir=WRITE type=PERMISSION "
             "source=CDP Prefetch (1,2,3,4)"),
     {"iova": 0x0107_6000, "ttbr0": 0x1_01AD_5000, "write": True}),
    ("msm-gpu-fault-flags", stamped("*** gpu fault: iova=0000000001076000 flags=1 (0,0,0,0)"),
     {"iova": 0x0107_6000, "write": True}),
    ("msm-gpu-fault-old", stamped("*** gpu fault: iova=01076000, flags=0 (0,0,0,0)"),
     {"iova": 0x0107_6000, "write": False}),
    ("msm-fault", stamped("*** fault: iova=         1076000, flags=0"),
     {"iova": 0x0107_6000, "write": False}),
    ("msm-fault-info",
     "fault-info:\n  - ttbr0=0000000919abc000\n  - iova=0000000100c18000\n  - dir=WRITE\n  - type=UNKNOWN\n"
     "  - source=CP\n",
     {"iova": 0x1_00C1_8000, "ttbr0": 0x9_19AB_C000, "write": True}),
    ("kgsl",
     stamped("kgsl kgsl-3d0: GPU PAGE FAULT: addr = 1040A7000 pid= 2071 name=demo.app drawctxt=9 "
             "context pid = 2100",
             "kgsl kgsl-3d0: context=gfx3d_user TTBR0=0x1048a5000 (read translation fault)",
             "kgsl kgsl-3d0: FAULTING BLOCK: UCHE: TP",
             "kgsl kgsl-3d0: ---- nearby memory ----",
             "kgsl kgsl-3d0: *EMPTY*",
             "kgsl kgsl-3d0:  <- fault @ 1040A7000",
             "kgsl kgsl-3d0: *EMPTY*"),
     {"iova": 0x1_040A_7000, "ttbr0": 0x1_048A_5000, "write": False, "lines": (1, 2, 3, 6)}),
    ("kgsl",
     stamped("kgsl kgsl-3d0: |kgsl_iommu_fault_handler| GPU PAGE FAULT: addr = 62A0000 pid = 411",
             "kgsl kgsl-3d0: |kgsl_iommu_fault_handler| context = 0 TTBR0 = 8A2B4000 FSR = 2 FSYNR0 = 11 "
             "FSYNR1 = 4(write fault)"),
     {"iova": 0x062A_0000, "fsr": 2, "fsynr0": 0x11, "write": True, "lines": (1, 2)}),
    ("mali",
     stamped("panfrost 1900000.gpu: Unhandled Page fault in AS0 at VA 0x0000000002404400",
             "Reason: TODO", "raw fault status: 0x800003C2", "decoded fault status: SLAVE FAULT",
             "exception type 0xC2: TRANSLATION_FAULT_LEVEL2", "access type 0x3: WRITE", "source id "
                     "0x8000", step=0),
     {"iova": 0x0240_4400, "write": True, "device": "1900000.gpu", "lines": (1, 2, 3, 4, 5, 6, 7)}),
    ("mali-bus",
     stamped("mali fb200000.gpu: GPU bus fault in AS1 at VA 0x00007FE0DA65DB80", "raw fault status: 0x88",
             "exception type 0x88: JOB_BUS_FAULT", "pid: 771", step=0),
     {"iova": 0x7FE0_DA65_DB80, "lines": (1, 2, 3, 4)}),
    ("lima", stamped("lima 1d40000.gpu: mmu page fault at 0x121020 from bus id 0 of type read on ppmmu0"),
     {"iova": 0x12_1020, "write": False}),
    ("lima", stamped("lima 1d40000.gpu: ppmmu1 page fault at 0x121020 from bus id 2 of type write"),
     {"iova": 0x12_1020, "write": True}),
]  # fmt: skip

LINES = [line for _, text, _ in SAMPLES for line in text.splitlines()]


def numbered(text: str) -> list[tuple[int, str]]:
    """Number the lines of a text."""
    return list(enumerate(text.splitlines(), start=1))
