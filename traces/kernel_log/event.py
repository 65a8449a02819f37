"""The four words of an SMMUv3 event record.

Fields are facts of the architecture (Arm IHI 0070, as quoted in public drivers); we have not read the manual.
"""

from __future__ import annotations

from dataclasses import dataclass

NAMES = {
    0x02: "C_BAD_STREAMID",
    0x03: "F_STE_FETCH",
    0x04: "C_BAD_STE",
    0x05: "F_BAD_ATS_TREQ",
    0x06: "F_STREAM_DISABLED",
    0x07: "F_TRANSL_FORBIDDEN",
    0x08: "C_BAD_SUBSTREAMID",
    0x09: "F_CD_FETCH",
    0x0A: "C_BAD_CD",
    0x0B: "F_WALK_EABT",
    0x10: "F_TRANSLATION",
    0x11: "F_ADDR_SIZE",
    0x12: "F_ACCESS",
    0x13: "F_PERMISSION",
    0x20: "F_TLB_CONFLICT",
    0x21: "F_CFG_CONFLICT",
    0x24: "E_PAGE_REQUEST",
    0x25: "F_VMS_FETCH",
}
#: Those whose third word is the input address, and whose second says what the access was.
WITH_ADDRESS = (0x10, 0x11, 0x12, 0x13)


@dataclass(frozen=True)
class Event:
    """An event record, decoded; what its kind does not have is None."""

    id: int
    name: str
    sid: int
    ssid: int | None
    iova: int | None
    stall: bool | None
    stag: int | None
    read: bool | None
    privileged: bool | None
    instruction: bool | None
    stage2: bool | None


def decode(words: tuple[int, ...]) -> Event:
    """Decode an event record.

    Examples
    --------
    >>> decode((0x0000_0010_0000_0010, 0x0000_0208_0000_0000, 0xFFFFF000, 0)).name
    'F_TRANSLATION'
    """
    first, second, third, _ = words
    number = first & 0xFF
    known = number in WITH_ADDRESS

    def bit(n: int) -> bool | None:
        return bool(second >> n & 1) if known else None

    return Event(
        id=number,
        name=NAMES.get(number, f"event {number:#04x}"),
        sid=first >> 32,
        ssid=first >> 12 & 0xFFFFF if first >> 11 & 1 else None,
        iova=third if known else None,
        stall=bit(31),
        stag=second & 0xFFFF if known else None,
        read=bit(35),
        privileged=bit(33),
        instruction=bit(34),
        stage2=bit(39),
    )
