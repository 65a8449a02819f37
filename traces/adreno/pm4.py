"""Packet headers of an Adreno's command processor, of both generations.

a2xx to a4xx have the packet's type in the top 2 bits of its header, a5xx and later in the top 4, with odd
parity over the register or the opcode and over the count.
"""

from __future__ import annotations

#: Opcodes that name another command stream; the last is a jump rather than a call.
CP_INDIRECT_BUFFER, CP_INDIRECT_BUFFER_PFD, CP_INDIRECT_BUFFER_CHAIN = 0x3F, 0x37, 0x57
INDIRECT = frozenset({CP_INDIRECT_BUFFER, CP_INDIRECT_BUFFER_PFD, CP_INDIRECT_BUFFER_CHAIN})
CP_NOP = 0x10
CP_SET_DRAW_STATE = 0x43
CP_SMMU_TABLE_UPDATE = 0x53
#: Packets that skip some of what follows, by a condition.
CONDITIONS = frozenset({0x44, 0x47})  # CP_COND_EXEC, CP_COND_REG_EXEC
#: Generation (7: that and later) -> others that name a command stream.
_COND = {0x3A: "CP_COND_INDIRECT_BUFFER_PFE"}
OTHER_STREAMS = {
    5: {**_COND, 0x6C: "CP_SET_RENDER_MODE", 0x6E: "CP_COMPUTE_CHECKPOINT"},
    6: {**_COND, 0x55: "CP_SET_CTXSWITCH_IB"},
    7: {**_COND, 0x55: "CP_SET_CTXSWITCH_IB"},
}

#: What `split` gives in an opcode's place for a packet that writes registers, and for a filler.
REGISTERS, FILLER = -1, -2
#: Dwords that an indirect buffer's packet can name.
IB_DWORDS = 0xFFFFF

_ODD = 0x9669  # bit n: whether the nibble n needs a bit more to have an odd number of ones


def _parity(value: int) -> int:
    value ^= value >> 16
    value ^= value >> 8
    value ^= value >> 4
    return _ODD >> (value & 0xF) & 1


def split_old(header: int) -> tuple[int, int] | None:
    """Take a header of a2xx to a4xx apart.

    Parameters
    ----------
    header : int
        32 bits.

    Returns
    -------
    (int, int) or None
        Opcode (or `REGISTERS`, `FILLER`) and how many dwords follow; None for what is no header.

    Examples
    --------
    >>> split_old(0xC0003B00), split_old(0x000222D6), split_old(0x80000000)
    ((59, 1), (-1, 3), (-2, 0))
    """
    kind = header >> 30
    if kind == 2:
        return FILLER, 0
    count = (header >> 16 & 0x3FFF) + 1
    if kind == 0:
        return REGISTERS, count
    if kind == 3:
        return header >> 8 & 0xFF, count
    # Type 1 writes two registers; no driver has made one, and no capture of ours has any.
    return None


def split_new(header: int) -> tuple[int, int] | None:
    """Take a header of a5xx or later apart; as `split_old`.

    Examples
    --------
    >>> split_new(0x70460001), split_new(0x40BB0801), split_new(0xDEADD00D)
    ((70, 1), (-1, 1), None)
    """
    kind = header >> 28
    if kind == 7:
        opcode, count = header >> 16 & 0x7F, header & 0x3FFF
        if header & 0x0F00_4000 or header >> 23 & 1 != _parity(opcode) or header >> 15 & 1 != _parity(count):
            return None
        return opcode, count
    if kind == 4:
        register, count = header >> 8 & 0x3FFFF, header & 0x7F
        if header & 1 << 26 or header >> 27 & 1 != _parity(register) or header >> 7 & 1 != _parity(count):
            return None
        return REGISTERS, count
    return None


def generation(gpu_id: int, chip_id: int) -> int:
    """Return the generation of a GPU: the hundreds of its number, or 0 where neither tells.

    Parameters
    ----------
    gpu_id : int
        Such as 630; 0 where newer kernels have none.
    chip_id : int
        Its third byte is the generation up to a6xx; later chips begin with 0x43 (a7xx), 0x44 (a8xx).

    Examples
    --------
    >>> generation(330, 0), generation(0, 0x06030002), generation(0, 0x43050A01), generation(0, 0)
    (3, 6, 7, 0)
    """
    if 200 <= gpu_id <= 999:
        return gpu_id // 100
    major = chip_id >> 24 & 0xFF
    return major & 0xF if 2 <= major <= 9 else (major & 0xF) + 4 if 0x43 <= major <= 0x4F else 0
