"""What a kernel log told: faults, what was suppressed, what else happened, and what could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """One fault as the log tells it.

    Attributes
    ----------
    lines : tuple of int
        The numbers of the lines that tell of it, in the order of the log.
    layout : str
        A key of `traces.kernel_log.layouts.LAYOUTS`.
    kind : str
        ``context``, ``global``, ``event`` (an SMMUv3's), ``gpu``: who recorded it.
    driver, device : str
        As the line names them; empty where it does not.
    time_ns : int or None
        On the log's clock; None where a line has no time.
    clock : str
        ``boot`` (time since boot), ``wall``, ``delta`` (summed by us from differences), or empty.
    boot : int
        Times compare only within one value: it grows where the clock starts again.
    stamp : str
        The time as the log writes it.
    iova, fsr, fsynr0, fsynr1, cb, sid, ttbr0 : int or None
        None where the layout does not print it.  Of a global fault `fsr` is sGFSR, and `sid` from sGFSYNR1.
        `sid` is CBFRSYNRA's on an SMMUv2, which is advice: of translation faults it may be another stream's.
    write : bool or None
        As the log says in words; registers may say it too.
    words : tuple of int
        The four words of an SMMUv3's event.
    said : mapping of str to str
        Everything else that was printed, verbatim, by its name.
    flags : tuple of str
        ``joined``: put together from a wrapped line.  ``cut``: some of its lines are missing.
        ``base``: a number whose base the line does not tell.  ``alone``: the line before it is missing.
    """

    lines: tuple[int, ...]
    layout: str
    kind: str
    driver: str = ""
    device: str = ""
    time_ns: int | None = None
    clock: str = ""
    boot: int = 0
    stamp: str = ""
    iova: int | None = None
    fsr: int | None = None
    fsynr0: int | None = None
    fsynr1: int | None = None
    cb: int | None = None
    sid: int | None = None
    ttbr0: int | None = None
    write: bool | None = None
    words: tuple[int, ...] = ()
    said: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suppressed:
    """A ratelimit's window has ended: so many calls were not printed."""

    line: int
    function: str
    count: int
    time_ns: int | None
    boot: int
    stamp: str


@dataclass(frozen=True)
class Note:
    """A line that is no fault, but belongs to the story: a sync that timed out, a line that was disabled."""

    line: int
    kind: str
    device: str
    text: str
    time_ns: int | None
    boot: int
    stamp: str


@dataclass(frozen=True)
class Malformed:
    """A line of a known layout that cannot be read: where, what was expected, and what was found."""

    line: int
    what: str
    expected: str
    found: str


@dataclass(frozen=True)
class Log:
    """Everything that was found in one log, each list by line."""

    faults: tuple[Fault, ...]
    suppressed: tuple[Suppressed, ...]
    notes: tuple[Note, ...]
    malformed: tuple[Malformed, ...]
    lines: int
