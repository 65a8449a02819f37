"""A frame of an a6xx: a main stream that calls others, whose draws set registers and name state groups."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from bench.perf.samples.sample import LINES, PAGE

#: Streams that the main one calls, and the draws of each.
STREAMS, DRAWS = 8, 20
#: Packets of a call, with a marker before it; of a draw (registers three times, the group's name, the draw);
#: and of its state group.
_OF_A_CALL, _OF_A_DRAW, _OF_A_GROUP = 2, 5, 2
PACKETS = STREAMS * (_OF_A_CALL + DRAWS * (_OF_A_DRAW + _OF_A_GROUP))
#: Times that it is drawn, so that there are about `LINES` packets.
TIMES = LINES // PACKETS
#: Bytes that a command processor fetches at once.
_FETCH = 32

#: The main stream's buffer, and the bytes from a buffer to the next: the streams', and the state groups'.
BASE, APART = 0x1_0000_1000, 4 * PAGE
_GROUPS = BASE + (1 + STREAMS) * APART
_GROUP_APART = 2 * _FETCH
#: Buffers that have contents, and the first address behind them.
FILLED = 2 + STREAMS
END = BASE + FILLED * APART

_CP_DRAW, _CP_INDIRECT, _CP_SET_DRAW_STATE, _CP_SET_MARKER = 0x38, 0x3F, 0x43, 0x65
_IN_EVERY_MODE = 7 << 20
_TILES = 4


def _odd(value: int) -> int:
    """Return the bit that makes a number of ones odd."""
    return 1 - value.bit_count() % 2


def _packet(opcode: int, *payload: int) -> list[int]:
    n = len(payload)
    return [7 << 28 | _odd(opcode) << 23 | opcode << 16 | _odd(n) << 15 | n, *payload]


def _registers(first: int, *values: int) -> list[int]:
    n = len(values)
    return [4 << 28 | _odd(first) << 27 | first << 8 | _odd(n) << 7 | n, *values]


def _group() -> list[int]:
    return _registers(0x8000, 1, 2, 3, 4, 5) * _OF_A_GROUP


def _draw(number: int) -> list[int]:
    iova = _GROUPS + number * _GROUP_APART
    head = number % 32 << 24 | _IN_EVERY_MODE | len(_group())
    return [
        *_registers(0x0C00, number, 1, 2, 3, 4) * 3,
        *_packet(_CP_SET_DRAW_STATE, head, iova & 0xFFFF_FFFF, iova >> 32),
        *_packet(_CP_DRAW, 0, 0, 0),
    ]


def _stream(number: int) -> list[int]:
    return list(chain.from_iterable(_draw(number * DRAWS + k) for k in range(DRAWS)))


def main_stream() -> list[int]:
    """Return the dwords of the stream that calls the others."""
    out: list[int] = []
    for number in range(STREAMS):
        iova = BASE + (1 + number) * APART
        out += _packet(_CP_SET_MARKER, _TILES)
        out += _packet(_CP_INDIRECT, iova & 0xFFFF_FFFF, iova >> 32, len(_stream(number)))
    return out


def buffers() -> Iterator[tuple[int, list[int]]]:
    """Yield the address and the first dwords of each buffer that has contents, `APART` bytes long."""
    yield BASE, main_stream()
    for number in range(STREAMS):
        yield BASE + (1 + number) * APART, _stream(number)
    groups = (_group() + [0] * (_GROUP_APART // 4 - len(_group())) for _ in range(STREAMS * DRAWS))
    yield _GROUPS, list(chain.from_iterable(groups))


def fetches(dwords: int) -> int:
    """Return how often a command processor fetches for a stream that begins where a fetch does."""
    return -(-4 * dwords // _FETCH)


#: Fetches of the called streams and of their groups.
CALLED = STREAMS * (fetches(len(_stream(0))) + DRAWS * fetches(len(_group())))
