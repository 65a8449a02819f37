"""Lines that are no faults but belong to the story, and what a ratelimit has kept back."""

from __future__ import annotations

import re

_KINDS = (
    ("tlb-sync-timeout", r"TLB sync timed out -- SMMU may be deadlocked"),
    ("tlb-sync-timeout", r"[tT]imeout waiting for TLB SYNC"),
    ("cmd-sync-timeout", r"CMD_SYNC timeout at 0x[0-9a-f]{8}"),
    ("events-lost", r"EVTQ overflow detected -- events lost"),
    ("nobody-cared", r"irq \d{1,6}: nobody cared"),
    ("irq-disabled", r"Disabling IRQ #\d{1,6}"),
    ("kernel", r"Linux version \d{1,3}\.\d{1,4}\S{0,60}"),
)
_PATTERNS = tuple((kind, re.compile(pattern, re.ASCII)) for kind, pattern in _KINDS)
ANY_NOTE = re.compile("|".join(pattern for _, pattern in _KINDS), re.ASCII)

SUPPRESSED = re.compile(
    r"(?P<function>[a-zA-Z_]\w{0,80}): (?P<count>\d{1,10}) callbacks suppressed", re.ASCII
)
SUPPRESSED_PHRASE = "callbacks suppressed"
#: The functions whose ratelimits keep faults back, by what their names hold.
_OURS = re.compile(r"smmu|iommu|fault_handler|kgsl|panfrost|panthor|lima", re.IGNORECASE)

MEANINGS = {
    "tlb-sync-timeout": "a TLB sync took longer than a second: a stalled transaction can hold it up",
    "cmd-sync-timeout": "an SMMUv3's CMD_SYNC was not done in time",
    "events-lost": "an SMMUv3's event queue overflowed",
    "nobody-cared": "the kernel counted 99,900 of 100,000 interrupts as nobody's",
    "kernel": "the release, as it says when it boots",
    "irq-disabled": "and turned the interrupt line off",
}


def kind_of(text: str) -> str:
    """Return the kind of a line that is no fault, or an empty string."""
    return next((kind for kind, pattern in _PATTERNS if pattern.search(text)), "")


def is_ours(function: str) -> bool:
    """Tell whether a ratelimit in this function can have kept faults back."""
    return _OURS.search(function) is not None
