"""Writes small captures and dumps of an Adreno, from the formats' descriptions alone."""

import struct

REG, TEST, CMD, GPUADDR, CMDSTREAM_ADDR, CONTENTS, GPU_ID, CHIP_ID = 9, 1, 2, 3, 6, 12, 13, 14
NOP, INDIRECT, DRAW, DRAW_STATE, MARKER, TABLE_UPDATE = 0x10, 0x3F, 0x38, 0x43, 0x65, 0x53


def odd(value):
    """The bit that makes a number of ones odd."""
    return 1 - bin(value).count("1") % 2


def op7(opcode, *payload):
    """A packet of a5xx and later."""
    n = len(payload)
    return [7 << 28 | odd(opcode) << 23 | opcode << 16 | odd(n) << 15 | n, *payload]


def op4(register, *values):
    """A write of registers of a5xx and later."""
    n = len(values)
    return [4 << 28 | odd(register) << 27 | register << 8 | odd(n) << 7 | n, *values]


def op3(opcode, *payload):
    """A packet of a2xx to a4xx."""
    return [3 << 30 | len(payload) - 1 << 16 | opcode << 8, *payload]


def op0(register, *values):
    """A write of registers of a2xx to a4xx."""
    return [len(values) - 1 << 16 | register, *values]


def call(iova, dwords):
    """A call of a5xx and later."""
    return op7(INDIRECT, iova & 0xFFFFFFFF, iova >> 32, dwords)


def fill(n):
    """N dwords of packets without any address: one register each, and an odd one of a NOP."""
    return op4(0x0C00, 1) * (n // 2) + op7(NOP) * (n % 2)


def dwords(words):
    return struct.pack(f"<{len(words)}I", *words)


class Rd:
    """A capture, section by section."""

    def __init__(self, gpu=630):
        self.data = b""
        if gpu:
            self.section(GPU_ID, dwords([gpu]))

    def section(self, kind, payload=b""):
        self.data += struct.pack("<II", kind, len(payload)) + payload
        return self

    def sync(self):
        self.data += b"\xff" * 8
        return self

    def cmd(self, text):
        return self.section(CMD, text.encode() + b"\0")

    def buffer(self, iova, size, words=None, wide=True, sync=False):
        self.section(GPUADDR, dwords([iova & 0xFFFFFFFF, size, *([iova >> 32] if wide else [])]))
        if sync:
            self.sync()
        if words is not None:
            self.section(CONTENTS, dwords(words).ljust(size, b"\0")[:size])
        return self

    def submit(self, iova, n, wide=True):
        return self.section(CMDSTREAM_ADDR, dwords([iova & 0xFFFFFFFF, n, *([iova >> 32] if wide else [])]))


def ascii85(words):
    """Dwords as Linux writes them, zeros at the end left out."""
    while words and not words[-1]:
        words = words[:-1]
    out = ""
    for word in words:
        digits = []
        for _ in range(5):
            word, digit = divmod(word, 85)
            digits.append(chr(33 + digit))
        out += "z" if set(digits) == {"!"} else "".join(reversed(digits))
    return out


def data_of(words):
    return f"    data: !!ascii85 |\n     {ascii85(words)}\n"


def ring_of(words, rptr, wptr, iova=0x1000000001000, size=32768, number=0):
    return (
        f"  - id: {number}\n    iova: 0x{iova:016x}\n    last-fence: 7\n    retired-fence: 6\n"
        f"    rptr: {rptr}\n    wptr: {wptr}\n    size: {size}\n{data_of(words)}"
    )


def bo_of(iova, size, words=None):
    name = "    flags: 0x4\n    name: a buffer                        \n"
    return f"  - iova: 0x{iova:016x}\n    size: {size}\n{name}{data_of(words) if words else ''}"


HEADER = (
    "---\nkernel: 6.14.0\nmodule: msm\ntime: 1593887022.767858793\ncomm: game\ncmdline: game --fast\n"
    "revision: 630 (6.3.0.2)\nrbbm-status: 0x00000000\n"
)
REGISTERS = "registers:\n" + "".join(
    f"  - {{ offset: 0x{4 * number:06x}, value: 0x{value:08x} }}\n"
    for number, value in [
        (0x210, 1),
        (0x928, 0x2000),
        (0x929, 1),
        (0x92A, 5),
        (0x92B, 0),
        (0x92C, 0),
        (0x92D, 0),
    ]
)


def devcore(rings, bos, fault="", header=HEADER, registers=REGISTERS):
    """A dump."""
    return f"{header}{fault}ringbuffer:\n{''.join(rings)}bos:\n{''.join(bos)}{registers}".encode()


# --- one of each, small, with everything in it -----------------------------------------------

BASE = 0x100001000


def small_rd():
    """Two submits of an a6xx: calls, a state group, and a buffer that leaves the list."""
    inner = fill(5)
    group = op4(0x8000, 3)
    outer = [
        *op4(0x0C01, 0x2040, 1),
        *op7(MARKER, 4),
        *call(BASE + 0x1000, len(inner)),
        *op7(DRAW_STATE, 0x0070_0000 | len(group), (BASE + 0x1100) & 0xFFFFFFFF, 1),
        *op7(DRAW, 0, 0, 0),
        *fill(3),
    ]
    second = inner + [0] * (0x40 - len(inner)) + group
    rd = Rd().cmd("game/12: fence=1").buffer(BASE, 0x1000, outer, sync=True)
    rd.buffer(BASE + 0x1000, 0x1000, second).buffer(BASE + 0x10000, 0x3000).submit(BASE, len(outer))
    rd.cmd("game/12: fence=2").buffer(BASE, 0x1000, outer).buffer(BASE + 0x1000, 0x1000, second)
    return rd.submit(BASE, len(outer))


#: The walk that a kernel noted with a fault of an X1E80100's GPU (mail of 2024-09-05).
FAULT = (
    "fault-info:\n  - ttbr0=0000000919306000\n  - iova=0000000100c17000\n  - dir=WRITE\n"
    "  - type=TRANSLATION\n  - source=CP\n"
    "pgtable-fault-info:\n  - ttbr0: 000000090ca40000\n  - asid: 0\n"
    "  - ptes: 000000095db47003 000000095db48003 0000000914c8f003 00000008fd7f0f47\n"
)


def small_devcore():
    """A dump with a fault: a ring that calls one stream."""
    stream = fill(12)
    ring = [*op7(TABLE_UPDATE, 0x6D0E5000, 1, 0, 0), *call(0x100002000, len(stream)), *fill(4)]
    bos = [bo_of(0x100001000, 4096), bo_of(0x100002000, 8192, stream)]
    return devcore([ring_of(ring, 7, len(ring))], bos, FAULT)
