"""What a TLBI costs the CPU that asks for it, poll by poll.

Written from docs/translation.md, section 6; times are ns. The write of TLBSYNC takes `mmio_write_ns`, and the
sync is done `wait_ns` after that write has ended. Then come rounds of up to ten reads of TLBSTATUS, each of
`mmio_read_ns`: a read sees that the sync is done if it ends no earlier than that moment. After a round that
has not seen it the driver delays, 1 us at first and twice as long each time. It gives up after the delay of
the 20th round, without another look: 200 reads, and delays of 2^20 - 1 us.
"""

from __future__ import annotations

from dataclasses import dataclass

READS_IN_A_ROUND = 10
ROUNDS = 20


@dataclass(frozen=True)
class Sync:
    """What one TLBI_SYNC came to."""

    status_reads: int
    total_ns: int  # from the start of the write to the end of the last read, or of the last delay
    timed_out: bool


def sync(wait_ns: int | None, mmio_read_ns: int, mmio_write_ns: int) -> Sync:
    """Poll until it is done. `wait_ns` None: it never is, as while an access of the bank is stalled.

    >>> sync(wait_ns=0, mmio_read_ns=100, mmio_write_ns=50)  # the first read sees it
    Sync(status_reads=1, total_ns=150, timed_out=False)
    """
    now = mmio_write_ns
    done_at = None if wait_ns is None else now + wait_ns
    reads = 0
    delay_ns = 1000
    for _ in range(ROUNDS):
        for _ in range(READS_IN_A_ROUND):
            now += mmio_read_ns
            reads += 1
            if done_at is not None and now >= done_at:
                return Sync(reads, now, timed_out=False)
        now += delay_ns
        delay_ns *= 2
    return Sync(reads, now, timed_out=True)


#: Kinds with a range: one register write for each granule of it.
RANGE_KINDS = ("TLBI_VA", "TLBI_VA_LAST", "TLBI_VAA", "TLBI_VAA_LAST", "TLBI_IPAS2", "TLBI_IPAS2_LAST")


def tlbi_writes(kind: str, iova: int, size: int, granule: int) -> int:
    """Register writes of one TLBI, TLBSYNC not counted: a range takes one for each granule that it touches.

    >>> tlbi_writes("TLBI_VA", 0x1000, 0x3000, 0x1000), tlbi_writes("TLBI_VA", 0x1FFF, 2, 0x1000)
    (3, 2)
    >>> tlbi_writes("TLBI_ASID", 0, 0, 0x1000), tlbi_writes("TLBI_VA", 0x1000, 0, 0x1000)
    (1, 0)
    """
    if kind == "TLBI_SYNC":
        return 0
    if kind not in RANGE_KINDS:
        return 1
    return (iova + size - 1) // granule - iova // granule + 1 if size > 0 else 0
