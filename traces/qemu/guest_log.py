"""Reads the guest kernel's trace: what its driver mapped and unmapped, and the workload's marks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from traces.errors import TraceError
from traces.events import (
    MAP,
    MARK,
    PROT_CACHE,
    PROT_DEVICE,
    PROT_EXEC,
    PROT_PRIV,
    PROT_READ,
    PROT_WRITE,
    UNMAP,
)

#: Entries of one translation table, for 4 KiB granules.
_ENTRIES = 512

# The kernel's IOMMU_* bits (include/linux/iommu.h).
_READ, _WRITE, _CACHE, _NOEXEC, _MMIO, _PRIV = (1 << bit for bit in range(6))

_LINE = re.compile(r"\s*\S.*-\d+\s+\[\d+\]\s+\S+\s+(\d+)\.(\d{6}): (map|unmap|tracing_mark_write): (.*)")
_ENTRIES_LINE = re.compile(r"# entries-in-buffer/entries-written: (\d+)/(\d+)")
_FIELD = re.compile(r"(\w+)=0x([0-9a-f]+)")


@dataclass(frozen=True)
class GuestEvent:
    """One event of the guest.

    Attributes
    ----------
    t_us : int
        Guest time, microseconds.
    op : int
        ``MAP``, ``UNMAP`` or ``MARK``.
    tables : int
        The kernel's address of the io_pgtable_ops: which page tables; 0 for a mark.
    iova, size, pa : int
        Bytes; `pa` of a MAP only.
    leaf : int
        Bytes of one table entry.
    prot : int
        ``PROT_*`` of a MAP.
    text : str
        Of a mark.
    """

    t_us: int
    op: int
    tables: int = 0
    iova: int = 0
    size: int = 0
    pa: int = 0
    leaf: int = 0
    prot: int = 0
    text: str = ""


def prot_of(kernel: int) -> int:
    """Turn the kernel's IOMMU_* bits into ``PROT_*``.

    Examples
    --------
    >>> prot_of(1 | 8) == PROT_READ
    True
    """
    prot = 0 if kernel & _NOEXEC else PROT_EXEC
    for theirs, ours in (
        (_READ, PROT_READ),
        (_WRITE, PROT_WRITE),
        (_CACHE, PROT_CACHE),
        (_MMIO, PROT_DEVICE),
        (_PRIV, PROT_PRIV),
    ):
        prot |= ours if kernel & theirs else 0
    return prot


def covered(iova: int, leaf: int, count: int, entries: int = _ENTRIES) -> int:
    """Bytes that one call of arm_lpae_(un)map_pages covers.

    A table has `entries`.  The kernel asks for `count` of them and the function stops at the end of the
    table; the caller then calls again for the rest.

    Examples
    --------
    >>> covered(511 * 4096, 4096, 2) // 4096
    1
    """
    return min(count, entries - iova // leaf % entries) * leaf


def read_guest_log(lines: Iterable[str], where: str | Path) -> list[GuestEvent]:
    """Read a guest's ftrace text.

    Parameters
    ----------
    lines : iterable of str
    where : str or pathlib.Path
        The file, named in errors.

    Returns
    -------
    list of GuestEvent
        In the kernel's order, time never decreasing.

    Raises
    ------
    TraceError
        Events were overwritten in the kernel's buffer, a line cannot be read, or time runs backwards.
    """
    events: list[GuestEvent] = []
    complete = False
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            if match := _ENTRIES_LINE.match(line):
                complete = match[1] == match[2]
                if not complete:
                    raise TraceError(
                        "the kernel's trace buffer overran", where, f"{match[2]} events", f"{match[1]}"
                    )
            continue
        match = _LINE.match(line)
        if match is None:
            if line.strip():
                raise TraceError(
                    "cannot read the line", f"{where}: line {number}", "an ftrace event", line[:80]
                )
            continue
        t_us = int(match[1]) * 1_000_000 + int(match[2])
        if events and t_us < events[-1].t_us:
            raise TraceError(
                "time runs backwards", f"{where}: line {number}", f"{events[-1].t_us} us", f"{t_us}"
            )
        if match[3] == "tracing_mark_write":
            events.append(GuestEvent(t_us, MARK, text=match[4].strip()))
            continue
        fields = {name: int(value, 16) for name, value in _FIELD.findall(match[4])}
        try:
            leaf, iova = fields["pgsize"], fields["iova"]
            size = covered(iova, leaf, fields["pgcount"])
            if match[3] == "map":
                prot = prot_of(fields["prot"])
                events.append(GuestEvent(t_us, MAP, fields["ops"], iova, size, fields["pa"], leaf, prot))
            else:
                events.append(GuestEvent(t_us, UNMAP, fields["ops"], iova, size, leaf=leaf))
        except (KeyError, ZeroDivisionError):
            raise TraceError(
                f"cannot read {match[3]}", f"{where}: line {number}", "its kprobe's fields", match[4][:80]
            ) from None
    if not complete:
        raise TraceError("no ftrace header", where, "entries-in-buffer/entries-written")
    return events
