"""One instruction of an Accel-Sim trace: which memory it uses, and which 32-byte sectors.

``[LINE] PC MASK N DESTINATIONS.. OPCODE N SOURCES.. WIDTH [MODE ADDRESSES..] [IMMEDIATE ..]``.  LINE is there
where the header says so; addresses, where WIDTH is not 0; one immediate in version 5, in version 6 two and
``NoVal`` or ``Val`` with values.
"""

from __future__ import annotations

import re
from collections.abc import Callable

#: Bytes that a GPU's memory system moves at once.
SECTOR = 32
_LANES = 32
#: Registers of one side that a line may list.
_MOST_REGISTERS = 64

READ, WRITE = "read", "write"
#: Opcode up to its first point -> what it does with global memory; or which other memory it uses.
_MEMORY = {
    "LDG": READ, "STG": WRITE, "ATOMG": WRITE, "ATOM": WRITE, "RED": WRITE, "REDG": WRITE,
    "LD": READ, "ST": WRITE, "LDGSTS": READ,
    "LDS": "shared", "STS": "shared", "ATOMS": "shared", "LDSM": "shared", "STSM": "shared", "REDS": "shared",
    "LDL": "local", "STL": "local",
    "LDC": "constant", "LDCU": "constant", "ULDC": "constant",
}  # fmt: skip
#: Those whose address tells which memory it is of.
_GENERIC = frozenset(("LD", "ST", "ATOM", "RED", "LDGSTS"))
#: Those that read and write at once.
ATOMIC = frozenset(("ATOMG", "ATOM", "RED", "REDG"))
#: Bulk copies: their addresses are listed otherwise, and do not tell the bytes that move.
_BULK = ("UTMALDG", "UTMASTG", "UTMAPF", "UTMAREDG", "UBLKCP", "UBLKPF", "UBLKRED")
#: Bytes of the window in which generic addresses are of shared, or of local memory.
WINDOW = 1 << 24

_HEX = re.compile(r"(?:0x)?[0-9a-f]{1,16}")
_DECIMAL = re.compile(r"-?[0-9]{1,19}")
_COUNT = re.compile(r"[0-9]{1,3}")
_WIDTH = re.compile(r"\.[USF]?(8|16|32|64|128)(?=\.|$)")


class BadLineError(ValueError):
    """A line that cannot be read: what was expected, and what was found."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(expected, found)
        self.expected, self.found = expected, found


class Instruction:
    """What a line says.

    Attributes
    ----------
    opcode : str
        Up to its first point.
    memory : str
        `READ` or `WRITE` of global memory; ``shared``, ``local``, ``constant``, ``bulk``, ``unknown``; or
        nothing.
    lanes : list of int
        Addresses of the lanes that use global memory.
    width : int
        Bytes of each, as the opcode tells (4 where it does not).
    elsewhere : dict of str to int
        ``shared`` and ``local`` -> lanes of a generic opcode with an address there.
    """

    __slots__ = ("elsewhere", "lanes", "memory", "opcode", "said", "width")

    def __init__(self, opcode: str) -> None:
        self.opcode = opcode
        self.memory = ""
        self.lanes: list[int] = []
        self.width = self.said = 0
        self.elsewhere: dict[str, int] = {}

    def sectors(self) -> list[int]:
        """Return the sectors' addresses, each once, in the order of the lanes that touch them first."""
        last = self.width - 1
        found: dict[int, None] = {}
        for lane in self.lanes:
            first, end = lane & -SECTOR, (lane + last) & -SECTOR
            found[first] = None
            if end != first:
                found[end] = None
        return list(found)


def reader(version: int, lineinfo: bool, shared: int, local: int) -> Callable[[str], Instruction]:
    """Return what reads the lines of a kernel.

    Parameters
    ----------
    version : int
        Of the tracer: 3 to 6.
    lineinfo : bool
        Whether a line begins with its source's line.
    shared, local : int
        Where the windows of shared and local memory begin; 0 where the file does not say.

    Returns
    -------
    callable
        From a line to an `Instruction`; raises `BadLineError`.

    Examples
    --------
    >>> read = reader(3, False, 0, 0)
    >>> read("0120 0000000f 1 R0 LDG.E 1 R2 4 1 0x7f0000001000 16").lanes
    [139637976731648, 139637976731664, 139637976731680, 139637976731696]
    """
    first = 1 if lineinfo else 0

    def read(line: str) -> Instruction:
        words = line.split()
        try:
            mask_text = words[first + 1]
            at = first + 3 + _count(words[first + 2])
            opcode = words[at]
            at += 2 + _count(words[at + 1])
            width_text = words[at]
            pc = words[first]
        except IndexError:
            raise BadLineError("PC, mask, registers, opcode, registers, width", line[:80]) from None
        if not _HEX.fullmatch(mask_text) or len(mask_text) > 10 or not _HEX.fullmatch(pc):
            raise BadLineError("PC and mask in hexadecimal", f"{pc} {mask_text}"[:80])
        name = opcode.partition(".")[0]
        made = Instruction(name)
        if not name.isidentifier():
            raise BadLineError("an opcode", opcode[:80])
        if name in _BULK:
            made.memory = "bulk"
            return made
        made.said = _count(width_text)
        at += 1
        if made.said:
            made.memory = _MEMORY.get(name, "unknown")
            width = _WIDTH.search(opcode)
            made.width = int(width[1]) // 8 if width else 4
            mask = int(mask_text, 16)
            made.lanes, at = _addresses(words, at, mask)
            if name in _GENERIC:
                _sort_out(made)
            if made.memory not in (READ, WRITE):
                made.lanes = []
        _check_end(words, at)
        return made

    def _sort_out(made: Instruction) -> None:
        kept = []
        for lane in made.lanes:
            if (shared and shared <= lane < shared + WINDOW) or (lane < WINDOW and made.opcode == "LDGSTS"):
                place = "shared"
            elif local and local <= lane < local + WINDOW:
                place = "local"
            else:
                kept.append(lane)
                continue
            made.elsewhere[place] = made.elsewhere.get(place, 0) + 1
        made.lanes = kept

    def _check_end(words: list[str], at: int) -> None:
        rest = words[at:]
        if version >= 6:
            whole = len(rest) >= 3 and rest[2] in ("NoVal", "Val") and (rest[2] == "Val" or len(rest) == 3)
            expected = "two immediates, then NoVal or Val"
        else:
            whole = len(rest) == (1 if version == 5 else 0)
            expected = "one immediate" if version == 5 else "nothing more"
        if not whole:
            raise BadLineError(f"{expected} at the line's end", " ".join(rest)[:80] or "nothing")

    return read


def _count(word: str) -> int:
    if not _COUNT.fullmatch(word) or (number := int(word)) > _MOST_REGISTERS * 4:
        raise BadLineError("a count of registers or bytes", word[:80])
    return number


def _addresses(words: list[str], at: int, mask: int) -> tuple[list[int], int]:
    """Return the active lanes' addresses, and where the words after them begin."""
    n = mask.bit_count()
    mode = words[at] if at < len(words) else "nothing"
    at += 1
    if mode == "0":
        lanes = [_hex(words, at + k) for k in range(n)]
        at += n
    elif mode == "1":
        base, stride = _hex(words, at), _decimal(words, at + 1)
        low = mask >> ((mask & -mask).bit_length() - 1) if mask else 0
        if low & (low + 1):
            # The tracer writes a stride for lanes side by side only.
            raise BadLineError("a stride for lanes side by side only", f"mask {mask:08x}")
        lanes = [base + stride * k for k in range(n)]
        at += 2
    elif mode == "2":
        lanes = [_hex(words, at)]
        for k in range(1, n):
            lanes.append(lanes[-1] + _decimal(words, at + k))
        at += max(n, 1)
        del lanes[n:]
    else:
        raise BadLineError("0, 1 or 2 before addresses", mode[:80])
    for lane in lanes:
        if not 0 <= lane < 1 << 48:
            raise BadLineError("an address of 48 bits", f"{lane:#x}"[:80])
    return lanes, at


def _hex(words: list[str], at: int) -> int:
    if at >= len(words) or not _HEX.fullmatch(words[at]):
        raise BadLineError(
            "an address for each active lane", words[at][:80] if at < len(words) else "the end"
        )
    return int(words[at], 16)


def _decimal(words: list[str], at: int) -> int:
    if at >= len(words) or not _DECIMAL.fullmatch(words[at]):
        raise BadLineError("a distance in decimal", words[at][:80] if at < len(words) else "the end")
    return int(words[at])
