"""Tells an access's direction and length, which QEMU's SMMU does not log."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from traces.events import MAP, PROT_DEVICE, PROT_READ, PROT_WRITE, READ, WRITE
from traces.qemu.guest_log import GuestEvent
from traces.qemu.qemu_log import ATTACH, UNKNOWN, WRITES
from traces.qemu.tables import Leaf
from traces.qemu.workloads import Area, Device

_PAGE = 4096
_BOTH = PROT_READ | PROT_WRITE

#: Length given to an access whose own is unknown, where its page is that long.
UNKNOWN_SIZE = 64


def ring_areas(base: int, entries: int) -> tuple[list[Area], int]:
    """Lay out a split virtqueue (Virtual I/O Device specification 1.1, section 2.6).

    Parameters
    ----------
    base : int
        Its IOVA.
    entries : int

    Returns
    -------
    list of Area
        Descriptors and the driver's ring, which the device reads; its own ring, which it writes.
    int
        Bytes that it takes.
    """
    available = base + 16 * entries
    # Linux aligns the used ring to a cache line.
    used = (available + 6 + 2 * entries + 63) & -64
    end = used + 6 + 8 * entries
    areas = [
        Area(base, available, READ, 16),
        Area(available, used, READ, 2),
        Area(used, used + 4, WRITE, 2),
        Area(used + 4, end - 2, WRITE, 8),
        Area(end - 2, end, WRITE, 2),
    ]
    return areas, end - base


def find_rings(device: Device, events: list[GuestEvent]) -> list[Area]:
    """Find a device's virtqueues among its mappings.

    They are what its driver maps first for both directions, in the order of their set-up.

    Parameters
    ----------
    device : Device
    events : list of GuestEvent
        Of the device's own page tables.

    Returns
    -------
    list of Area
    """
    shared = [e for e in events if e.op == MAP and e.prot & _BOTH == _BOTH and not e.prot & PROT_DEVICE]
    areas: list[Area] = []
    for entries in device.rings:
        needed = -(-ring_areas(0, entries)[1] // _PAGE) * _PAGE
        base = 1 << 64
        # A ring of two pages may lie in two places of memory, and then takes two MAPs.
        while needed > 0 and shared:
            base = min(base, shared[0].iova)
            needed -= shared.pop(0).size
        areas += ring_areas(base, entries)[0]
    return areas


@dataclass
class Describer:
    """Names the operation and length of a device's accesses.

    Attributes
    ----------
    areas : list of Area
    guessed : collections.Counter of str
        How many accesses had to be guessed: their "direction", their "size".
    """

    areas: list[Area]
    guessed: Counter[str] = field(default_factory=Counter)

    def describe(self, iova: int, detail: int, writes: int, size: int, leaf: Leaf | None) -> tuple[int, int]:
        """Describe one access.

        Parameters
        ----------
        iova : int
        detail, writes, size : int
            As the log has them (`traces.qemu.qemu_log.ROW`).
        leaf : Leaf or None
            The table entry that it used.

        Returns
        -------
        int
            ``READ`` or ``WRITE``.
        int
            Bytes; never beyond the page of its first byte.
        """
        rest = _PAGE - iova % _PAGE
        op = WRITE if writes == WRITES else READ
        if writes != UNKNOWN and size:
            return op, size
        for area in self.areas:
            if area.begin <= iova < area.end:
                return area.op, min(area.size, rest)
        rights = leaf.prot if leaf is not None else 0
        if rights & PROT_DEVICE:
            # The page of the interrupt controller's doorbell: a message is one 32-bit write.
            return WRITE, 4
        if detail == ATTACH and rights & _BOTH == _BOTH:
            return READ, rest
        self.guessed["size"] += not size
        if rights & _BOTH == PROT_WRITE:
            op = WRITE
        elif rights & _BOTH == _BOTH:
            self.guessed["direction"] += 1
        return op, size or min(UNKNOWN_SIZE, rest)
