"""The lines that follow a first line, or in one layout come before it: each sets one or more named values.

A pattern's groups are values of the fault.  A line is only taken for the fault whose values it agrees with.
"""

from __future__ import annotations

import re

from traces.kernel_log.forms import H32, H64


def _part(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


_P = r"(?:0x)?[0-9a-fA-F]{8,16}|\(_{1,4}ptrval_{1,4}\)|0x\(null\)|\(null\)"

#: SMMUv2: the pretty-printed registers of v6.11, and the dumps of Qualcomm's downstream kernels.
CONTEXT = (
    _part(
        rf"FSR\s*=\s*(?P<fsr>(?:0x)?[0-9a-f]{{8}}) \[(?P<fsr_words>[^\]]{{0,80}})\](?:, SID=(?P<sid>{H32}))?"
    ),
    _part(r"FSYNR0\s*=\s*(?P<fsynr0>[0-9a-f]{8}) \[(?P<fsynr0_words>[^\]]{0,80})\]"),
    _part(rf"FSYNR0\s*=\s*(?P<fsynr0>{H32})"),
    _part(rf"FSYNR1\s*=\s*(?P<fsynr1>{H32})"),
    _part(r"FAR\s*=\s*(?P<iova>(?:0x)?[0-9a-f]{16})"),
    _part(rf"PAR\s*=\s*(?P<par>{_P})"),
    _part(rf"context bank#\s*=\s*(?P<cb>{H32})"),
    _part(rf"TTBR0\s*=\s*(?P<ttbr0_text>{_P})"),
    _part(rf"TTBR1\s*=\s*(?P<ttbr1>{_P})"),
    _part(rf"SCTLR\s*=\s*(?P<sctlr>{H32})\s+ACTLR\s*=\s*(?P<actlr>{H32})"),
    _part(rf"CBAR\s*=\s*(?P<cbar>{H32})"),
    _part(rf"MAIR0\s*=\s*(?P<mair0>{H32})\s+MAIR1\s*=\s*(?P<mair1>{H32})"),
    _part(rf"(?:SSD=(?P<ssd>{H32}) )?SID\s?=\s?(?P<sid>{H32})"),
    _part(r"Client info: (?P<client_info>BID=0x[0-9a-f]{1,8}, PID=0x[0-9a-f]{1,8}, MID=0x[0-9a-f]{1,8})"),
    _part(rf"soft iova-to-phys=(?P<soft>{H64})"),
    _part(r"(?P<walk_failed>SOFTWARE TABLE WALK FAILED)! Looks like \S{1,80} accessed an unmapped address!"),
    _part(rf"hard iova-to-phys \(ATOS\)(?:=(?P<atos>{H64})| (?P<atos_failed>failed))"),
    _part(r"PTE = (?P<pte>[0-9a-f]{16})"),
    _part(r"ATOS results differed across (?P<atos_differed>access privileges|TLBIALL)\.\.\."),
    _part(rf"Before: (?P<atos_before>{H64}) After: (?P<atos_after>{H64})"),
)
#: Those with which a dump may begin that ends in its first line.
PRELUDE = CONTEXT[:1] + CONTEXT[4:12]

GLOBAL = (
    _part(
        r"GFSR (?P<fsr>0x[0-9a-f]{8}),\s*GFSYNR0 (?P<fsynr0>0x[0-9a-f]{8}),"
        r"\s*GFSYNR1 (?P<fsynr1>0x[0-9a-f]{8}),\s*GFSYNR2 (?P<gfsynr2>0x[0-9a-f]{8})"
    ),
)

#: A word of an event, and the second pretty line.
EVENT_WORD = _part(r"(?P<word>0x[0-9a-f]{16})")
EVENT = (
    _part(
        r"(?P<privilege>priv|unpriv) (?P<access>inst|data) (?P<dir>read|write) (?P<stage>s1|s2)"
        r' "(?P<event_class>[\w ]{1,40})"(?: (?P<ttd>ttd_read|ttd_write))?(?P<stall> stall)?'
        r" stag: (?P<stag>0|0x[0-9a-f]{1,8})"
    ),
)

FAULT_INFO = tuple(
    _part(rf"- {name}=(?P<{name}>{value})")
    for name, value in {
        "ttbr0": "[0-9a-f]{16}",
        "iova": "[0-9a-f]{16}",
        "dir": "READ|WRITE",
        "type": "[A-Z]{1,20}",
        "source": r"[^()=]{1,60}",
    }.items()
)

_WHO = r"\((?P<dir>read|write) (?P<type>[a-z ]{1,30}) fault\)"
KGSL = (
    _part(rf"context=(?P<context>\S{{1,40}}) TTBR0=(?P<ttbr0>{H64})(?: CIDR=(?P<cidr>{H32}))? {_WHO}"),
    _part(rf"context = (?P<context>\d{{1,3}}) TTBR0 = (?P<ttbr0>{H64}) {_WHO}"),
    _part(
        r"context = (?P<context>\d{1,3})(?: TTBR0 = (?P<ttbr0>[0-9A-F]{1,16}))? FSR = (?P<fsr>[0-9A-F]{1,8})"
        r"(?: FSYNR0 = (?P<fsynr0>[0-9A-F]{1,8}) FSYNR1 = (?P<fsynr1>[0-9A-F]{1,8}) ?"
        r"\((?P<dir>read|write) fault\))?"
    ),
    _part(r"FAULTING BLOCK: (?P<block>.{1,80})"),
    _part(r"<- fault @ (?P<iova>[0-9A-F]{8,16})"),
)

#: These may also stand one behind another in one line.
MALI = (
    _part(r"Reason: (?P<reason>\w[^\n]{0,60}?)(?=\s+raw fault status:|$)"),
    _part(r"raw fault status: (?P<status>0x[0-9a-fA-F]{1,8})(?![0-9a-fA-F])"),
    _part(r"decoded fault status: (?P<decoded>DECODER FAULT|SLAVE FAULT)"),
    _part(r"exception type (?P<exception>0x[0-9a-fA-F]{1,2}): (?P<type>[A-Za-z_0-9]{1,40}(?: at level \d)?)"),
    _part(r"access type (?P<access>0x[0-3]): (?P<dir>READ|WRITE|EXECUTE|ATOMIC|UNKNOWN)"),
    _part(r"source id (?P<source>0x[0-9a-fA-F]{1,4})"),
    _part(r"pid: (?P<pid>\d{1,10})"),
)

PARTS = {
    "context": CONTEXT,
    "global": GLOBAL,
    "event": EVENT,
    "msm-fault-info": FAULT_INFO,
    "kgsl": KGSL,
    "mali": MALI,
}
