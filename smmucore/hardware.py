"""Hardware presets: what a given SMMU does where implementations differ, field by field, cited.

A value without a public source is an assumption of ours and says so.  The presets are named after
what they behave like in the fault path; TLB depths are build-time parameters of the real parts,
and every depth here is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from smmucore.records import one
from smmucore.shapes import NONE, Caches, Shape

QUEUE = 0
TERMINATE = 1

#: Of the numbers that a user may set: as far as the ranges go that the presets state.
MOST = {"tbus": 32, "events": 1 << 15}
MOST_OTHERS = 1024


@dataclass(frozen=True)
class Hardware:
    """One preset.  `sources` says, for every field, where its value comes from."""

    name: str
    title: str
    stalls: bool
    second_fault: str
    resume_needs_fsr_clear: bool
    ss_asserts_irq: bool
    irq_held_until_resume: bool
    fsr_frozen_while_stalled: bool
    sync_waits_for_stall: bool
    shared_line: bool
    events: int
    stall_max: int
    tbus: int
    slots: int
    walk_slots: int
    fifo_depth: int
    accept: int
    utlb: Shape
    tlb: Shape
    walk_cache: Shape
    walk_cache1: Shape
    walk_cache2: Shape
    stage2_walk_cache: Shape
    stage2_walk_cache1: Shape
    stage2_walk_cache2: Shape
    ipa_cache: Shape
    sources: dict[str, str]

    @property
    def caches(self) -> Caches:
        """The shapes of all caches."""
        return Caches(
            utlb=self.utlb,
            tlb=self.tlb,
            walk=(self.walk_cache, self.walk_cache1, self.walk_cache2),
            stage2_walk=(self.stage2_walk_cache, self.stage2_walk_cache1, self.stage2_walk_cache2),
            ipa=self.ipa_cache,
            tbus=self.tbus,
        )

    def record(self) -> Any:
        """Return the preset as the kernels see it: an array of one HW record."""
        return one(
            HW,
            stalls=self.stalls,
            second_fault=TERMINATE if self.second_fault == "terminate" else QUEUE,
            resume_needs_fsr_clear=self.resume_needs_fsr_clear,
            ss_asserts_irq=self.ss_asserts_irq,
            irq_held_until_resume=self.irq_held_until_resume,
            fsr_frozen_while_stalled=self.fsr_frozen_while_stalled,
            sync_waits_for_stall=self.sync_waits_for_stall,
            shared_line=self.shared_line or self.events > 0,
            events=self.events,
            stall_max=self.stall_max,
            slots=self.slots,
            walk_slots=self.walk_slots,
            fifo_depth=self.fifo_depth,
            accept=self.accept,
        )


HW = np.dtype(
    [
        (name, "i8")
        for name in (
            "stalls",
            "second_fault",
            "resume_needs_fsr_clear",
            "ss_asserts_irq",
            "irq_held_until_resume",
            "fsr_frozen_while_stalled",
            "sync_waits_for_stall",
            "shared_line",
            "events",
            "stall_max",
            "slots",
            "walk_slots",
            "fifo_depth",
            "accept",
        )
    ],
    align=True,
)

_TRM = "MMU-500 TRM (DDI 0517) 2.3.5"
_OURS = "assumption: a build-time parameter of the part"

_MMU500 = Hardware(
    name="mmu500",
    title="Arm CoreLink MMU-500",
    stalls=True,
    second_fault="queue",
    resume_needs_fsr_clear=True,
    ss_asserts_irq=True,
    irq_held_until_resume=False,
    fsr_frozen_while_stalled=True,
    sync_waits_for_stall=True,
    shared_line=False,
    events=0,
    stall_max=0,
    tbus=1,
    slots=128,
    walk_slots=8,
    fifo_depth=64,
    accept=1,
    utlb=Shape(8, 8),
    tlb=Shape(128, 4),
    walk_cache=Shape(16, 4),
    walk_cache1=NONE,
    walk_cache2=NONE,
    stage2_walk_cache=Shape(16, 4),
    stage2_walk_cache1=NONE,
    stage2_walk_cache2=NONE,
    ipa_cache=Shape(16, 4),
    sources={
        "stalls": "MMU-500 TRM 2.3.4: terminate and stall are supported",
        "second_fault": "Connor Abbott, freedreno list, 2025: followers queue, as the architecture says",
        "resume_needs_fsr_clear": "Linux 3053a2c5086d: RESUME is ignored unless all of FSR but SS is clear",
        "ss_asserts_irq": "Linux 3053a2c5086d: the interrupt is raised while only SS is set",
        "irq_held_until_resume": "an implementation-defined corner; not seen on this part",
        "sync_waits_for_stall": "assumption: a handler's TLBSYNC waits for the stalled transaction; try both",
        "shared_line": "assumption: a line for each bank; where banks share one, set it",
        "events": "SMMUv2: context banks, no event queue",
        "stall_max": "SMMUv2: of no effect",
        "fsr_frozen_while_stalled": "pseudocode as quoted by Connor Abbott; not settled (H5): try both",
        "tbus": "assumption: one TBU carries every stream; range 1 to 32",
        "slots": f"{_TRM}: 128 reads and 128 writes outstanding in each TBU",
        "walk_slots": f"{_TRM}: 8 parallel walks in each TBU; a miss beyond them blocks its channel",
        "fifo_depth": "assumption: accesses waiting before a channel; range 1 to 1024",
        "accept": "assumption: one access a channel and ns; range 1 to 3",
        "utlb": _OURS,
        "tlb": _OURS,
        "walk_cache": _OURS,
        "walk_cache1": _OURS,
        "walk_cache2": _OURS,
        "stage2_walk_cache": _OURS,
        "stage2_walk_cache1": _OURS,
        "stage2_walk_cache2": _OURS,
        "ipa_cache": _OURS,
    },
)

_SMMU_V2 = replace(
    _MMU500,
    name="qcom-smmu-v2",
    title="Qualcomm SMMUv2 before the MMU-500",
    second_fault="terminate",
    sources={
        **_MMU500.sources,
        "stalls": "used with stall by drm/msm since v5.14",
        "second_fault": "Connor Abbott, freedreno list, 2025: followers that fault are terminated",
        "resume_needs_fsr_clear": "assumption: as mmu500; nobody has said otherwise",
        "ss_asserts_irq": "assumption: as mmu500; nobody has said otherwise",
        "slots": "assumption: as mmu500",
        "walk_slots": "assumption: as mmu500",
    },
)

_IDEAL = replace(
    _MMU500,
    name="ideal",
    title="An SMMU whose line follows the FSR fault bits alone",
    resume_needs_fsr_clear=False,
    ss_asserts_irq=False,
    sources={
        **_MMU500.sources,
        "stalls": "hypothetical part",
        "second_fault": "architecture: followers stall",
        "resume_needs_fsr_clear": "architecture: RESUME acts whenever a transaction is stalled",
        "ss_asserts_irq": "the reading of the architecture that drivers before 2025 relied on",
    },
)

_YARDSTICK = "the yardstick's geometry (bench/yardstick): no part's, and the same in its C++"

_REFERENCE = replace(
    _MMU500,
    name="reference-39bit",
    title="The machine of the speed yardstick: 39-bit input, three levels",
    utlb=Shape(16, 4),
    sources={
        **{field: f"as mmu500: {source}" for field, source in _MMU500.sources.items()},
        "utlb": _YARDSTICK,
        "tlb": _YARDSTICK,
        "walk_cache": _YARDSTICK,
    },
)

_THUNDERX = replace(
    _MMU500,
    name="thunderx-smmuv2",
    title="Cavium ThunderX SMMUv2: it cannot stall",
    stalls=False,
    sources={
        **_MMU500.sources,
        "stalls": "Cavium BDK SMMU registers: CFCFG, HUPCF read-only; terminates, and goes on",
        "second_fault": "of no effect: nothing stalls",
        "resume_needs_fsr_clear": "of no effect: nothing stalls",
        "ss_asserts_irq": "of no effect: SS is always 0",
        "slots": "assumption: as mmu500",
        "walk_slots": "assumption: as mmu500",
    },
)

_HELD = replace(
    _MMU500,
    name="held-until-resume",
    title="The implementation-defined corner: the line stays up until RESUME",
    irq_held_until_resume=True,
    sources={
        **_MMU500.sources,
        "irq_held_until_resume": "allowed by the architecture (Robin Murphy, iommu list, 2021-01-22, archive "
        "a3d559a239b5); no such part is known",
    },
)

_V3 = {
    **dict.fromkeys(("second_fault", "resume_needs_fsr_clear", "ss_asserts_irq"), "SMMUv3: of no effect"),
    **dict.fromkeys(("irq_held_until_resume", "fsr_frozen_while_stalled"), "SMMUv3: of no effect"),
    **dict.fromkeys(("sync_waits_for_stall", "shared_line"), "SMMUv3: of no effect"),
    "stalls": "SMMUv3: what faults may stall, where its CD says so",
    "events": "assumption: an event queue of 1,024; range 128 to 32,768 (Linux takes what the part allows)",
    "stall_max": "assumption: IDR5.STALL_MAX, as many as the slots of a TBU; range 1 to 1,024",
}

_GEM5 = "gem5 src/dev/arm/SMMUv3.py, defaults"
_GEM5_SMMUV3 = replace(
    _MMU500,
    name="gem5-smmuv3",
    title="An SMMUv3 with the caches of gem5's model",
    events=1024,
    stall_max=128,
    slots=64,
    walk_slots=16,
    utlb=Shape(1, 32, "round-robin"),
    tlb=Shape(512, 4, "round-robin"),
    walk_cache=Shape(4, 87, "round-robin"),
    walk_cache1=Shape(4, 7, "round-robin"),
    walk_cache2=Shape(1, 4, "round-robin"),
    stage2_walk_cache=Shape(4, 23, "round-robin"),
    stage2_walk_cache1=Shape(4, 7, "round-robin"),
    stage2_walk_cache2=Shape(1, 4, "round-robin"),
    ipa_cache=Shape(32, 4, "round-robin"),
    sources={
        **_MMU500.sources,
        **_V3,
        "slots": f"{_GEM5}: 64 translation slots",
        "walk_slots": f"{_GEM5}: 16 walks at a time",
        "utlb": f"{_GEM5}: 32 entries, fully associative",
        "tlb": f"{_GEM5}: 2,048 entries, 4 ways",
        **{
            f"{stage}walk_cache{depth}": f"{_GEM5}: as many entries; sets are ours, powers of two"
            for stage in ("", "stage2_")
            for depth in ("", "1", "2")
        },
        "ipa_cache": f"{_GEM5}: 128 entries, 4 ways",
    },
)

_AGILEX = "Intel 814346 (Agilex 5), tables 90 and 96"
_MMU600 = replace(
    _GEM5_SMMUV3,
    name="agilex5-mmu600",
    title="Arm CoreLink MMU-600 as in Intel's Agilex 5",
    stall_max=256,
    slots=128,
    walk_slots=64,
    utlb=Shape(8, 8, "tree-plru"),
    tlb=Shape(128, 4),
    walk_cache=Shape(64, 4),
    walk_cache1=Shape(64, 4),
    walk_cache2=Shape(64, 4),
    stage2_walk_cache=Shape(64, 4),
    stage2_walk_cache1=Shape(64, 4),
    stage2_walk_cache2=Shape(64, 4),
    ipa_cache=Shape(16, 4),
    sources={
        **_GEM5_SMMUV3.sources,
        "slots": "assumption: as mmu500",
        "walk_slots": f"{_AGILEX}: 64 translation slots",
        "utlb": f"{_AGILEX}: PLRU (or round-robin) by strap; its size is an assumption",
        "tlb": _OURS,
        **{
            f"{stage}walk_cache{depth}": f"{_AGILEX}: 256 entries for each level and stage; ways are ours"
            for stage in ("", "stage2_")
            for depth in ("", "1", "2")
        },
        "ipa_cache": _OURS,
    },
)

PRESETS = {
    preset.name: preset
    for preset in (_MMU500, _SMMU_V2, _IDEAL, _THUNDERX, _HELD, _GEM5_SMMUV3, _MMU600, _REFERENCE)
}

#: What a comparison runs unless told otherwise: the parts that the argument is about.
COMPARED = (_MMU500, _SMMU_V2, _IDEAL)


def find(text: str) -> Hardware:
    """Return the preset called `text`, with changes: ``mmu500,tlb=256x8:tree-plru,walk_slots=16``.

    Raises
    ------
    KeyError
        With the known names, when there is no such preset.
    ValueError
        A change names no field, or a value that the field cannot have.

    Examples
    --------
    >>> find("mmu500,tlb=256x8:tree-plru").tlb
    Shape(sets=256, ways=8, replacement='tree-plru', seed=0)
    """
    name, *changes = text.split(",")
    if name not in PRESETS:
        raise KeyError(f"hardware: expected one of {', '.join(PRESETS)}; found {name!r}")
    made = PRESETS[name]
    for change in changes:
        field, equals, word = change.partition("=")
        if field not in rule_fields() or not equals:
            raise ValueError(
                f"expected FIELD=VALUE with a field of {', '.join(rule_fields())}; found {change!r}"
            )
        value = _value(field, word, getattr(made, field))
        made = replace(made, sources={**made.sources, field: "set by the user"}, **{field: value})
    caches = made.caches  # refuses what no SMMU can be without
    return replace(made, name=text) if caches else made


def _value(field: str, word: str, before: Any) -> Any:
    if isinstance(before, bool):
        if word not in ("yes", "no"):
            raise ValueError(f"{field}: expected yes or no, found {word!r}")
        return word == "yes"
    if isinstance(before, Shape):
        try:
            return Shape.parse(word)
        except ValueError as error:
            raise ValueError(f"{field}: {error}") from None
    if isinstance(before, int):
        most = MOST.get(field, MOST_OTHERS)
        if not word.isdecimal() or not 1 <= int(word) <= most:
            raise ValueError(f"{field}: expected a whole number from 1 to {most}, found {word!r}")
        return int(word)
    if word not in ("queue", "terminate"):
        raise ValueError(f"{field}: expected queue or terminate, found {word!r}")
    return word


def rule_fields() -> tuple[str, ...]:
    """Return the names of the fields that carry a source."""
    return tuple(f.name for f in fields(Hardware) if f.name not in {"name", "title", "sources"})
