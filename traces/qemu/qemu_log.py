"""Reads QEMU's trace log: what the emulated SMMU was asked, and what it answered.

Lines are ``THREAD@SECONDS.MICROSECONDS:EVENT ARGUMENTS``.  Each thread's lines are in order, so what a
translation needs to know (its ASID, the burst that it belongs to) is kept by thread.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from traces.errors import TraceError
from traces.events import TLBI_ALL, TLBI_ASID, TLBI_VA, TLBI_VA_LAST

# --- kind of a row -----------------------------------------------------------------------
ACCESS = 0  #: a translation that gave `pa`
FAULT = 1  #: a translation that the SMMU refused: nothing is mapped
FAULT_PERMISSION = 2  #: ... or the mapping does not allow it
INVALIDATE = 3  #: a TLB invalidation command; `detail` is its ``TLBI_*`` kind

# --- detail of an access: what QEMU was doing ------------------------------------------------
PLAIN = 0
BURST = 1  #: a burst of an NVMe command, its size and direction logged
LIST = 2  #: a fetch of an NVMe scatter-gather list
ATTACH = 3  #: virtio-gpu mapping a buffer's pages for itself

UNKNOWN, READS, WRITES = -1, 0, 1

#: One row of the log, in the log's order.
ROW = np.dtype(
    [
        ("t_us", "i8"),  # host time, microseconds; made never to decrease
        ("kind", "u1"),
        ("detail", "u1"),
        ("writes", "i1"),  # UNKNOWN, READS or WRITES
        ("stream", "u2"),
        ("asid", "i4"),
        ("iova", "u8"),
        ("size", "u8"),  # bytes; 0 where the log does not tell
        ("pa", "u8"),
        ("rights", "u1"),  # of the table entry that an access used: bit 0 read, 1 write
        ("leaf", "u8"),  # bytes of that entry where the log tells (a walk was logged), else 0
    ]
)

#: Rows that are finished together.
_BLOCK = 1 << 15
#: Rows that wait for a later line that may add to them; an older one is taken as it is.
_MOST_WAITING = 1 << 17
#: Names of events without meaning here that are counted apart.
_MOST_NAMES = 256
#: Bursts that a thread may have announced and not begun.
_MOST_BURSTS = 1 << 16

#: Pieces of one refused access come this close together, microseconds; devices here are slower.
_PIECES_US = 20_000

# Numbers have as many digits as their field has room for: a damaged one is a line that cannot be read.
_ADDRESS = r"0x([0-9a-f]{1,16})\b"
_LINE = re.compile(r"([0-9]{1,20})@([0-9]{1,10})\.([0-9]{6}):(\w+) ?(.*)", re.ASCII)
_BARE = re.compile(r"(\w+) ?(.*)", re.ASCII)
#: A stamp with something wrong about it: no message of QEMU's own looks so.
_STAMPED = re.compile(r"@[0-9]+\.|\.[0-9]{6}:|:smmuv3?_")
_REFUSED = re.compile(rf"smmuv3-iommu-memory-region-\d+-\d+ translation failed for iova={_ADDRESS}")
_INVALID = re.compile(r"Invalid (read|write) at addr 0x([0-9A-F]{1,16}), size ([0-9]{1,9}),.*rejected")
# From QEMU 9 with vmid, stage and the like in between.
_LOOKUP = re.compile(r"asid=(-?[0-9]{1,5})\b.{0,80}? addr=0x")
_INSERT = re.compile(r"tg=([123]) level=([0-3])\b")
_SUCCESS = re.compile(
    rf"sid=0x([0-9a-f]{{1,4}})\b.{{0,80}}? iova={_ADDRESS} translated={_ADDRESS} perm=0x([0-3])\b"
)
_RECORD = re.compile(r"SMMU_EVT_(\w+) sid=0x([0-9a-f]{1,4})\b")
_RANGE = re.compile(
    rf"asid=(-?[0-9]{{1,5}}) addr={_ADDRESS} tg=([0-3]) num_pages=0x([0-9a-f]{{1,12}}) ttl=\d leaf=([01])"
)
_ASID = re.compile(r"asid=([0-9]{1,5})\b")
_BURST = re.compile(r"addr 0x([0-9a-f]{1,16}) len ([0-9]{1,10})\b")
_DIRECTION = re.compile(r"to_dev=([01])")
_NOTHING = re.compile("")


@dataclass
class QemuLog:
    """What was read.

    Attributes
    ----------
    rows : numpy.ndarray
        1-D, dtype `ROW`.
    out_of_order : int
        Rows whose stamp was before that of the row above (threads write in turns), moved up to it.
    pieces_folded : int
        Fault records that were pieces of one access, beyond the first piece.
    bypassed, aborted : int
        Accesses that the SMMU passed through untranslated, and that it aborted for having no
        configuration; neither is in `rows`.
    unstamped : int
        Events without a time, in a log of a QEMU that was not asked for it: each is 1 us after the last.
    messages : int
        Lines that are no events: QEMU's own messages.
    ignored : collections.Counter of str
        Events that say nothing of translations, by name.
    """

    rows: np.ndarray
    out_of_order: int = 0
    pieces_folded: int = 0
    bypassed: int = 0
    aborted: int = 0
    unstamped: int = 0
    messages: int = 0
    ignored: Counter[str] = field(default_factory=Counter)


@dataclass
class _Thread:
    asid: int = -1
    leaf: int = 0
    bursts: deque[list[int]] = field(default_factory=lambda: deque(maxlen=_MOST_BURSTS))  # [iova, bytes left]
    direction: int = UNKNOWN
    list_row: int = -1
    attaching: bool = False


def _raise(error: TraceError) -> None:
    raise error


class _Parser:
    def __init__(self, where: str | Path, refuse: Callable[[TraceError], None]) -> None:
        self.where = where
        self.refuse = refuse
        self.rows: list[list[int]] = []
        self.taken = 0  # rows that were finished and handed on
        self.threads: dict[str, _Thread] = {}
        self.log = QemuLog(np.empty(0, ROW))
        self.refused: int | None = None
        self.new_command = True
        self.now = 0
        self.line = 0
        self.events: dict[str, tuple[re.Pattern[str], Callable[[_Thread, re.Match[str]], None]]] = {
            "smmu_iotlb_lookup_hit": (_LOOKUP, self.lookup),
            "smmu_iotlb_lookup_miss": (_LOOKUP, self.lookup),
            "smmu_iotlb_insert": (_INSERT, self.insert),
            "smmuv3_translate_success": (_SUCCESS, self.success),
            "smmuv3_record_event": (_RECORD, self.fault),
            "smmuv3_cmdq_opcode": (_NOTHING, self.command),
            "smmuv3_s1_range_inval": (_RANGE, self.invalidate_range),
            "smmuv3_range_inval": (_RANGE, self.invalidate_range),
            "smmuv3_cmdq_tlbi_nh_asid": (_ASID, self.invalidate_asid),
            "smmuv3_cmdq_tlbi_nh": (_NOTHING, self.invalidate_all),
            # Not smmu_iotlb_inv_all: QEMU empties its own TLB whenever that is full.
            "pci_nvme_map_addr": (_BURST, self.burst),
            "dma_blk_io": (_DIRECTION, self.start_transfer),
            "virtio_gpu_cmd_res_back_attach": (_NOTHING, self.attach),
            "smmuv3_translate_bypass": (_NOTHING, self.bypass),
            "smmuv3_translate_disable": (_NOTHING, self.bypass),
            "smmuv3_translate_abort": (_NOTHING, self.abort),
        }

    def read(self, lines: Iterable[str]) -> Iterator[np.ndarray]:
        for line in lines:
            self.line += 1
            try:
                self.read_line(line)
            except TraceError as error:
                self.refuse(error)
            if len(self.rows) >= 2 * _BLOCK and (block := self.take()).size:
                yield block
        if (block := self.take(whole=True)).size:
            yield block

    def read_line(self, line: str) -> None:
        if match := _LINE.match(line):
            name, arguments = match[4], match[5]
            stamp = int(match[2]) * 1_000_000 + int(match[3])
            thread = match[1]
        # Messages of QEMU's own that stand between the events, without a stamp.
        elif match := _REFUSED.match(line):
            self.refused = int(match[1], 16)
            return
        elif match := _INVALID.match(line):
            self.invalid(match)
            return
        else:
            bare = _BARE.match(line)
            if bare is None or bare[1] not in self.events:
                if _STAMPED.search(line) or "\0" in line or "\ufffd" in line:
                    raise TraceError(
                        "cannot read the line", self.place(),
                        "THREAD@SECONDS.MICROSECONDS:EVENT ARGUMENTS, or a message of QEMU's", line[:80],
                    )  # fmt: skip
                self.log.messages += 1
                return
            name, arguments = bare[1], bare[2]
            stamp, thread = self.now + 1, ""
            self.log.unstamped += 1
        event = self.events.get(name)
        if event is None:
            if len(self.log.ignored) < _MOST_NAMES or name in self.log.ignored:
                self.log.ignored[name] += 1
            return
        found = event[0].search(arguments)
        if found is None:
            raise TraceError(
                f"cannot read {name}", self.place(),
                f"arguments like {event[0].pattern!r}", arguments[:80] or "none",
            )  # fmt: skip
        self.now = stamp
        event[1](self.threads.setdefault(thread, _Thread()), found)

    def place(self) -> str:
        return f"{self.where}: line {self.line}"

    def take(self, whole: bool = False) -> np.ndarray:
        """Hand on the rows that no later line can change."""
        held = max(0, len(self.rows) - 2)
        if whole:
            held = len(self.rows)
        elif len(self.rows) < _MOST_WAITING:
            waiting = (thread.list_row - self.taken for thread in self.threads.values())
            held = min([held, *(row for row in waiting if row >= 0)])
        block = np.array([tuple(row) for row in self.rows[:held]], ROW)
        del self.rows[:held]
        self.taken += held
        return block

    def add(
        self, kind: int, detail: int, writes: int, stream: int, asid: int, iova: int, size: int, pa: int,
        rights: int = 0, leaf: int = 0,
    ) -> None:  # fmt: skip
        if self.rows and self.now < self.rows[-1][0]:
            self.log.out_of_order += 1
            self.now = self.rows[-1][0]
        self.rows.append([self.now, kind, detail, writes, stream, asid, iova, size, pa, rights, leaf])

    def lookup(self, thread: _Thread, match: re.Match[str]) -> None:
        thread.asid, thread.leaf = int(match[1]), 0

    def insert(self, thread: _Thread, match: re.Match[str]) -> None:
        # tg 1, 2 and 3: 4, 16 and 64 KiB; each level above the last has (granule / 8) times as much.
        page = 10 + 2 * int(match[1])
        thread.leaf = 1 << page + (3 - int(match[2])) * (page - 3)

    def success(self, thread: _Thread, match: re.Match[str]) -> None:
        stream, iova, pa = (int(match[i], 16) for i in (1, 2, 3))
        detail, writes, size = PLAIN, UNKNOWN, 0
        if thread.attaching:
            # It ends with the first access that is not the start of a page: the answer in the ring.
            thread.attaching = iova % 4096 == 0
            detail = ATTACH if thread.attaching else PLAIN
        elif thread.bursts and thread.direction != UNKNOWN and thread.bursts[0][0] == iova:
            # QEMU translates a burst page by page, in the order of the list.
            left = thread.bursts[0][1]
            size = min(left, 4096 - iova % 4096)
            if size == left:
                thread.bursts.popleft()
            else:
                thread.bursts[0] = [iova + size, left - size]
            detail, writes = BURST, thread.direction
        elif not thread.bursts or thread.direction == UNKNOWN:
            # A list longer than QEMU's chunk is fetched in turns, with bursts noted in between.
            thread.list_row = self.taken + len(self.rows)
        self.add(ACCESS, detail, writes, stream, thread.asid, iova, size, pa, int(match[4]), thread.leaf)
        thread.leaf = 0

    def burst(self, thread: _Thread, match: re.Match[str]) -> None:
        thread.direction = UNKNOWN
        thread.bursts.append([int(match[1], 16), int(match[2])])
        if thread.list_row >= self.taken:
            # The descriptors just fetched tell how long the fetch was: 16 bytes each.
            row = self.rows[thread.list_row - self.taken]
            row[2], row[3] = LIST, READS
            row[7] = min(row[7] + 16, 4096 - row[6] % 4096)

    def start_transfer(self, thread: _Thread, match: re.Match[str]) -> None:
        # "To the device" is a read of memory.
        thread.direction = READS if match[1] == "1" else WRITES
        thread.list_row = -1

    def attach(self, thread: _Thread, _match: re.Match[str]) -> None:
        thread.attaching = True

    def fault(self, thread: _Thread, match: re.Match[str]) -> None:
        kind = {"F_TRANSLATION": FAULT, "F_PERMISSION": FAULT_PERMISSION}.get(match[1])
        if kind is None or self.refused is None:
            raise TraceError(
                "a fault of a kind that is not understood", self.place(),
                "F_TRANSLATION or F_PERMISSION, after its iova", match[1],
            )  # fmt: skip
        self.add(kind, PLAIN, UNKNOWN, int(match[2], 16), thread.asid, self.refused, 0, 0)
        self.refused = None

    def invalid(self, match: re.Match[str]) -> None:
        writes, iova, size = WRITES if match[1] == "write" else READS, int(match[2], 16), int(match[3])
        row = self.rows[-1] if self.rows else None
        if row is None or row[1] not in (FAULT, FAULT_PERMISSION) or row[6] != iova or row[7]:
            return
        row[3], row[7] = writes, size
        before = self.rows[-2] if len(self.rows) > 1 else None
        # kind, detail, direction, stream and ASID alike, and the addresses in a row: one access that
        # QEMU's memory core cut into words before it refused each.
        if (
            before is not None
            and before[1:6] == row[1:6]
            and before[6] + before[7] == iova
            and row[0] - before[0] < _PIECES_US
        ):
            before[7] += size
            self.rows.pop()
            self.log.pieces_folded += 1

    def command(self, _thread: _Thread, _match: re.Match[str]) -> None:
        self.new_command = True

    def invalidate_range(self, _thread: _Thread, match: re.Match[str]) -> None:
        asid, iova, pages = int(match[1]), int(match[2], 16), int(match[4], 16)
        # tg 0 is a command without a range: one page of the smallest size.
        size = pages << (10 + 2 * (int(match[3]) or 1))
        if iova + size > 1 << 64:
            raise TraceError("an invalidation beyond 64 bits", self.place(), "a range", match[0][:80])
        kind = TLBI_VA_LAST if match[5] == "1" else TLBI_VA
        if (
            not self.new_command
            and self.rows[-1][1] == INVALIDATE
            and self.rows[-1][6] + self.rows[-1][7] == iova
        ):
            # QEMU cuts one command's range into powers of two.
            self.rows[-1][7] += size
            return
        self.new_command = False
        self.add(INVALIDATE, kind, UNKNOWN, 0, asid, iova, size, 0)

    def invalidate_asid(self, _thread: _Thread, match: re.Match[str]) -> None:
        self.add(INVALIDATE, TLBI_ASID, UNKNOWN, 0, int(match[1]), 0, 0, 0)

    def invalidate_all(self, _thread: _Thread, _match: re.Match[str]) -> None:
        self.add(INVALIDATE, TLBI_ALL, UNKNOWN, 0, -1, 0, 0, 0)

    def bypass(self, _thread: _Thread, _match: re.Match[str]) -> None:
        self.log.bypassed += 1

    def abort(self, _thread: _Thread, _match: re.Match[str]) -> None:
        self.log.aborted += 1


def stream_qemu_log(
    lines: Iterable[str], where: str | Path, refuse: Callable[[TraceError], None] = _raise
) -> tuple[QemuLog, Iterator[np.ndarray]]:
    """Read a QEMU trace log, some rows at a time.

    Parameters
    ----------
    lines : iterable of str
    where : str or pathlib.Path
        The log, named in errors.
    refuse : callable
        Told of each line that cannot be read: it may raise, or return to leave the line out.

    Returns
    -------
    QemuLog
        With no rows; its counts grow while the rows are drawn.
    iterator of numpy.ndarray
        1-D, dtype `ROW`, never empty.
    """
    parser = _Parser(where, refuse)
    return parser.log, parser.read(lines)


def read_qemu_log(lines: Iterable[str], where: str | Path) -> QemuLog:
    """Read a QEMU trace log.

    Parameters
    ----------
    lines : iterable of str
    where : str or pathlib.Path
        The log, named in errors.

    Returns
    -------
    QemuLog

    Raises
    ------
    TraceError
        An event that cannot be read, a fault of another kind than the two that a stage 1 table can
        cause, or no access at all.
    """
    log, blocks = stream_qemu_log(lines, where)
    log.rows = np.concatenate([np.empty(0, ROW), *blocks])
    if not (log.rows["kind"] == ACCESS).any():
        raise TraceError("no access in the log", where, "smmuv3_translate_success events")
    return log
