"""Makes the trace's events from the two records of a capture."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from traces.errors import TraceError
from traces.events import EVENT, MAP, MARK, PA_UNKNOWN, TLBI, TLBI_ALL
from traces.qemu.describe import Describer, find_rings
from traces.qemu.guest_log import GuestEvent
from traces.qemu.merge import Merged
from traces.qemu.qemu_log import ACCESS, INVALIDATE
from traces.qemu.workloads import Workload


@dataclass
class Assembled:
    """A trace's events, and what its manifest needs to know of them.

    Attributes
    ----------
    events : numpy.ndarray
        1-D, dtype `traces.events.EVENT`.
    marks : list of str
    accesses : dict of int to int
        By stream ID.
    spaces_of : dict of int to int
        Stream ID -> space.
    foreign : int
        Invalidations of ASIDs that no access of this capture uses, left out.
    guessed : collections.Counter of str
    """

    events: np.ndarray
    marks: list[str] = field(default_factory=list)
    accesses: Counter[int] = field(default_factory=Counter)
    spaces_of: dict[int, int] = field(default_factory=dict)
    foreign: int = 0
    guessed: Counter[str] = field(default_factory=Counter)


def assemble(workload: Workload, guest: list[GuestEvent], rows: np.ndarray, merged: Merged) -> Assembled:
    """Make the events.

    The trace begins with the guest's first event and ends with its last mark; what devices did before
    the first mapping (the SMMU's own start-up) and while recording stopped is left out.

    Parameters
    ----------
    workload : Workload
    guest : list of GuestEvent
    rows : numpy.ndarray
        1-D, dtype `traces.qemu.qemu_log.ROW`.
    merged : Merged

    Returns
    -------
    Assembled

    Raises
    ------
    TraceError
        An access before the first mapping, by an unknown device, or of a stream in two spaces.
    """
    out = Assembled(np.empty(0, EVENT))
    space_of_asid = {asid: space for space, asid in enumerate(merged.asids)}
    devices = {device.stream: device for device in workload.devices}
    describers: dict[int, Describer] = {}
    row_list = rows.tolist()
    mark_index: dict[str, int] = {}
    order = _trim(merged, guest, row_list)
    start = order[0][0]
    events: list[tuple[int, ...]] = []
    for t_us, which in order:
        t_ns = (t_us - start) * 1000
        if which < 0:
            event = guest[-1 - which]
            if event.op == MARK:
                index = mark_index.setdefault(event.text, len(mark_index))
                events.append((t_ns, MARK, 0, 0, index, 0, 0, 0))
            else:
                space = merged.space_of_tables[event.tables]
                events.append((t_ns, event.op, 0, space, event.iova, event.size, event.pa, event.prot))
            continue
        _, kind, detail, writes, stream, asid, iova, size, pa = row_list[which][:9]
        if kind == INVALIDATE:
            if detail != TLBI_ALL and asid not in space_of_asid:
                out.foreign += 1
            else:
                events.append((t_ns, TLBI, 0, space_of_asid.get(asid, 0), iova, size, 0, detail))
            continue
        if stream not in devices or asid not in space_of_asid:
            raise TraceError("an access that the capture cannot place", f"stream {stream:#x}, ASID {asid}")
        space = space_of_asid[asid]
        if out.spaces_of.setdefault(stream, space) != space:
            raise TraceError("a stream in two spaces", f"stream {stream:#x}, ASID {asid}")
        if stream not in describers:
            own = [e for e in guest if merged.space_of_tables.get(e.tables) == space]
            describers[stream] = Describer([*devices[stream].areas, *find_rings(devices[stream], own)])
        op, size = describers[stream].describe(iova, detail, writes, size, merged.used[which])
        out.accesses[stream] += 1
        events.append((t_ns, op, stream, space, iova, size, pa if kind == ACCESS else int(PA_UNKNOWN), 0))
    out.events = np.array(events, EVENT)
    out.marks = list(mark_index)
    for describer in describers.values():
        out.guessed.update(describer.guessed)
    return out


def _trim(merged: Merged, guest: list[GuestEvent], row_list: list[tuple[int, ...]]) -> list[tuple[int, int]]:
    """Cut the merged order to what both records cover."""
    is_map = [which < 0 and guest[-1 - which].op == MAP for _, which in merged.order]
    is_mark = [which < 0 and guest[-1 - which].op == MARK for _, which in merged.order]
    if True not in is_mark:
        raise TraceError("no mark", "the guest's trace", "the mark that ends the recording")
    first = is_map.index(True)
    last = len(is_mark) - 1 - is_mark[::-1].index(True)
    for _, which in merged.order[:first]:
        if which >= 0 and row_list[which][1] != INVALIDATE:
            raise TraceError("an access before the first mapping", f"row {which} of QEMU's log")
    return merged.order[first : last + 1]
