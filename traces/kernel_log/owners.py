"""Who prints a message: the driver and device that stand before it, as dev_err and Xen write them."""

from __future__ import annotations

import re

_OWNED = re.compile(
    r"\s*(?P<driver>[\w.+-]{1,40}) (?P<device>[\w.@:/+,-]{1,80}): ?(?P<body>.*)", re.ASCII | re.DOTALL
)
_XEN = re.compile(
    r"\s*\(XEN\)(?: \[[^]]{0,40}\])? smmu: (?P<device>[\w.@:/+,-]{1,80}): ?(?P<body>.*)", re.ASCII | re.DOTALL
)
#: The same at the end of what stands before a phrase; KGSL has a function's name in bars, lima the MMU's.
_OWNER = re.compile(
    r"(?:^|[\s\]>])(?P<driver>[\w.+-]{1,40}) (?P<device>[\w.@:/+,-]{1,80}): ?"
    r"(?:\|\w{1,60}\| ?|[gp]pmmu\d{0,2})?\s*$",
    re.ASCII,
)
_XEN_OWNER = re.compile(r"\(XEN\).{0,50}? smmu: (?P<device>[\w.@:/+,-]{1,80}): ?\s*$", re.ASCII)
_FUNCTION = re.compile(r"^\|\w{1,60}\| ?", re.ASCII)


def owned(text: str) -> tuple[str, str, str]:
    """Split a message into driver, device and the rest; the first two may be empty."""
    match = _XEN.match(text)
    if match is not None:
        return "xen", match["device"], match["body"]
    match = _OWNED.match(text)
    if match is None:
        return "", "", text
    return match["driver"], match["device"], _FUNCTION.sub("", match["body"])


def owner(before: str) -> tuple[str, str]:
    """Return the driver and device at the end of what stands before a phrase."""
    match = _XEN_OWNER.search(before)
    if match is not None:
        return "xen", match["device"]
    match = _OWNER.search(before)
    return (match["driver"], match["device"]) if match is not None else ("", "")
