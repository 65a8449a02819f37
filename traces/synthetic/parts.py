"""What a generator is made of: buffers, accesses by number, and parameters with their ranges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from traces.errors import TraceError
from traces.events import PROT_CACHE, PROT_READ, PROT_WRITE

READS = PROT_READ | PROT_CACHE
BOTH = PROT_READ | PROT_WRITE | PROT_CACHE

#: Pages that a buffer can be mapped with, and the next larger ones (of 1 GiB there are none).
PAGES = {1 << 12: 1 << 21, 1 << 21: 1 << 30, 1 << 30: 1 << 30}

#: The first buffer, and the memory behind it.
IOVA, PA = 1 << 32, 1 << 35
#: Buffers of one trace hold less than this.
MOST_BYTES = 1 << 38

#: A whole number that nobody needs more of.
MOST_ACCESSES = 1 << 32


@dataclass(frozen=True)
class Parameter:
    """A number that a kind of trace is made by.

    `unit` is ``bytes``, ``ns`` or what is counted; `power`: only powers of two.
    """

    name: str
    default: int
    low: int
    high: int
    unit: str
    meaning: str
    power: bool = False


@dataclass(frozen=True)
class Buffer:
    """A range of addresses, and where it is mapped to."""

    name: str
    iova: int
    size: int
    pa: int
    prot: int


@dataclass(frozen=True)
class Accesses:
    """Some accesses: uint64 arrays of equal length.  `stream` counts from 0 within the work."""

    t_ns: Any
    op: Any
    stream: Any
    iova: Any
    size: Any


@dataclass(frozen=True)
class Work:
    """One device's accesses, without an end.

    Attributes
    ----------
    streams : tuple of str
        The names of its streams.
    buffers : tuple of Buffer
    at : callable
        Returns the `Accesses` of numbers (uint64 array); times never decrease.
    """

    streams: tuple[str, ...]
    buffers: tuple[Buffer, ...]
    at: Callable[[Any], Accesses]


@dataclass(frozen=True)
class Kind:
    """A kind of trace that can be made.

    Attributes
    ----------
    name, title : str
    parameters : tuple of Parameter
        Its own; `COMMON` come on top.
    build : callable
        Takes the parameters by name, the seed and a `Layout`, and returns the `Work`; raises
        `TraceError` where parameters do not go together.
    """

    name: str
    title: str
    parameters: tuple[Parameter, ...]
    build: Callable[[Mapping[str, int], int, Layout], Work]


ACCESSES = Parameter("accesses", 100_000, 1, MOST_ACCESSES, "accesses", "how many; the pattern repeats")
PACE = Parameter("pace", 10, 1, 1_000_000_000, "ns", "time from one access to the next")
PAGE = Parameter("page", 4096, 4096, 1 << 30, "bytes", "pages of the mappings: 4K, 2M or 1G")
LINE = Parameter("line", 64, 16, 4096, "bytes", "most bytes of one access", power=True)


class Layout:
    """Places buffers one behind the other, in input addresses and in memory.

    Every buffer starts at a multiple of 2 MiB (1 GiB where pages are that large) with a page unmapped
    behind it.  Where it lies in memory is such that its table entries are of the page asked for,
    though it is one MAP: the same offset in a page, another one in the next larger.
    """

    def __init__(self, page: int, where: str) -> None:
        if page not in PAGES:
            raise TraceError("bad parameter page", where, "4K, 2M or 1G", str(page))
        self._page, self._where = page, where
        self._iova, self._pa = IOVA, PA

    def buffer(self, name: str, size: int, prot: int = BOTH) -> Buffer:
        """Place a buffer of at least `size` bytes."""
        page, align = self._page, max(self._page, 1 << 21)
        size = -(-size // page) * page
        iova = -(-self._iova // align) * align
        larger = PAGES[page]
        pa = self._pa + (iova + page - self._pa) % larger
        self._iova, self._pa = iova + size + page, pa + size
        if max(self._iova - IOVA, self._pa - PA) > MOST_BYTES:
            expected = f"at most {MOST_BYTES >> 30}G together, with what lies between them"
            raise TraceError("buffers too large", self._where, expected, f"{size:,} bytes of {name}")
        return Buffer(name, iova, size, pa, prot)


def u64(value: int) -> Any:
    """Return a whole number as uint64, beside which arrays stay uint64."""
    return np.uint64(value)


def div(number: Any, by: int) -> tuple[Any, Any]:
    """Return quotient and remainder of uint64 arrays."""
    return np.divmod(number, np.uint64(by))


def bases(buffers: tuple[Buffer, ...] | list[Buffer]) -> Any:
    """Return the first addresses of buffers, to be indexed with arrays."""
    return np.array([buffer.iova for buffer in buffers], np.uint64)


def need(good: bool, kind: str, name: str, expected: str, found: object) -> None:
    """Raise the error for parameters that do not go together, unless `good`."""
    if not good:
        raise TraceError(f"bad parameter {name}", f"traces make {kind}", expected, str(found))


def deal(number: Any, units: int, tiles: int, steps: int) -> tuple[Any, Any, Any, Any]:
    """Give tiles of work to units that run side by side, one step each in turn.

    Parameters
    ----------
    number : uint64 array
    units, tiles, steps : int
        Each unit takes the next tile when all have done theirs; a tile is `steps` accesses.

    Returns
    -------
    turn, tile, step, unit : uint64 arrays
        `turn` counts how often all tiles were done.
    """
    turn, rest = div(number, tiles * steps)
    full = tiles // units * units
    wave, inside = div(rest, units * steps)
    step, unit = div(inside, units)
    tile = wave * u64(units) + unit
    if left := tiles - full:
        last = rest >= u64(full * steps)
        step2, unit2 = div(rest[last] - u64(full * steps), left)
        step[last], unit[last], tile[last] = step2, unit2, u64(full) + unit2
    return turn, tile, step, unit
