"""Reads a long log in bounded memory: what is settled goes out before the log has ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from traces.kernel_log.prefix import messages
from traces.kernel_log.record import Log
from traces.kernel_log.scan import Scanner

#: Faults and other lines that are kept until they go out.
_MOST_KEPT = 1 << 12


def scan_parts(lines: Iterable[tuple[int, str]], most: int = _MOST_KEPT) -> Iterator[Log]:
    """Read a kernel log as `scan` does, a part at a time.

    Parameters
    ----------
    lines : iterable of (int, str)
    most : int
        How many faults and other lines are kept until they go out.

    Yields
    ------
    Log
        Parts: the lists of all, one after another, are those of `scan`, and so is the last one's `lines`.
    """
    scanner = Scanner()
    for message in messages(scanner.counted(lines)):
        scanner.take(message)
        if scanner.kept() >= most:
            yield scanner.settled()
    yield scanner.log()
