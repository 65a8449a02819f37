"""What stands before a message: times, levels, hosts, consoles.  One line gives one or more messages.

Known are dmesg (plain, -T, -H, -x, ISO), journalctl (short, precise, ISO, monotonic, unix), syslog (RFC 3164
and 5424), Android's logcat, quoting by mail, and whatever a serial console's logger puts before the kernel's
own stamp.  The kernel's stamp wins over all others; a line that a mail has put together from several has
several.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

#: Longer lines are cut: no kernel prints one.
MOST_CHARACTERS = 1 << 14

#: Empty lines in a row that are passed on.
_MOST_BLANK = 128
#: No time of a wall clock is shorter.
_SHORTEST_WALL = 15

#: The clock has started again where it falls back by more than this; less is two CPUs' jitter.
NEW_BOOT_NS = 1_000_000_000

_ANSI = re.compile(r"\x1b\[[0-9;]{0,16}[A-Za-z]")
_QUOTE = re.compile(r"^(?:[>|] ?)+")
_STAMP = re.compile(
    r"\[ {0,12}(?P<s>\d{1,10})\.(?P<f>\d{3,9})(?: +< *\d{1,10}\.\d{1,9}>)?\] ?(?:\[ {0,12}[TC]\d{1,9}\] ?)?"
    r"|(?<![\d.])(?P<s2>\d{1,10})\.(?P<f2>\d{6}): +"
)
_DELTA = re.compile(r"\[ {0,12}\+(?P<s>\d{1,10})\.(?P<f>\d{3,9})\] ?")
#: A message may stand before the first stamp where several lines were put together.
_TELLS = re.compile(r"fault|event 0x|suppressed|timed out", re.IGNORECASE)
_HOUR = re.compile(r"\[(?P<month>[A-Z][a-z]{2}) {0,2}(?P<day>\d{1,2}) (?P<h>\d\d):(?P<m>\d\d)\] ?")
_LEVEL = re.compile(r"^(?:<\d{1,3}>\d? ?|[a-z]{3,8} {1,3}:[a-z]{3,7} {0,3}: ?)")
_MONTHS = {name: k for k, name in enumerate(calendar.month_abbr) if name}
_MONTH = "(?P<month>" + "|".join(_MONTHS) + ")"
_CLOCK = r"(?P<h>\d\d):(?P<mi>\d\d):(?P<se>\d\d)(?:[.,](?P<fr>\d{1,9}))?"
_WALL = (
    re.compile(
        rf"\[?(?P<y>\d{{4}})-(?P<mo>\d\d)-(?P<d>\d\d)[T ]{_CLOCK}(?:Z|(?P<zone>[+-]\d\d:?\d\d))?\]? ?"
    ),
    re.compile(rf"\[?[A-Z][a-z]{{2}} {_MONTH} {{1,2}}(?P<d>\d{{1,2}}) {_CLOCK} (?P<y>\d{{4}})\]? ?"),
    re.compile(rf"{_MONTH} {{1,2}}(?P<d>\d{{1,2}}) {_CLOCK} "),
    re.compile(rf"(?P<mo>\d\d)-(?P<d>\d\d) {_CLOCK} +\d+ +\d+ [VDIWEF] "),
)
_UNIX = re.compile(r"(?P<s>\d{9,11})\.(?P<f>\d{6}) ")
_HOST = re.compile(
    r"^(?:[\w.-]{1,64} )?kernel(?:\[\d{1,7}\])?: ?|^[\w.-]{1,64} kernel - - (?:- |\[[^]]{0,99}\] )?"
)
_CALLER = re.compile(r"^\[ {0,12}[TC]\d{1,9}\] ?")


class Message(NamedTuple):
    """One message of the kernel, with its time.

    `bare` says that nothing stood before it: it may be the rest of the message before.
    """

    line: int
    text: str
    bare: bool
    time_ns: int | None = None
    clock: str = ""
    boot: int = 0
    stamp: str = ""


def messages(lines: Iterable[tuple[int, str]]) -> Iterator[Message]:
    """Take what stands before each message off, and tell the time of each."""
    reader = _Reader()
    blank = 0
    for number, text in lines:
        # So many empty lines part whatever stands before from what comes after; more say no more.
        blank = blank + 1 if not text or text.isspace() else 0
        if blank <= _MOST_BLANK:
            yield from reader.line(number, text)


class _Reader:
    """Times over a whole log: what a difference is from, and where the clock starts again."""

    def __init__(self) -> None:
        self.boot = 0
        self.last: dict[str, int] = {}
        self.sum: int | None = None

    def line(self, number: int, text: str) -> Iterator[Message]:
        text = text[:MOST_CHARACTERS].rstrip("\r\n\x00 ")
        if "\x1b" in text:
            text = _ANSI.sub("", text)
        if text[:1] in (">", "|"):
            text = _QUOTE.sub("", text)
        level = _LEVEL.match(text)
        if level is not None:
            text = text[level.end() :]
        stamps = list(_STAMP.finditer(text)) if "." in text else []
        if stamps:
            before = text[: stamps[0].start()]
            if _TELLS.search(before):
                yield self._other(number, before.rstrip(), level is not None)
            for k, stamp in enumerate(stamps):
                end = stamps[k + 1].start() if k + 1 < len(stamps) else len(text)
                yield self._stamped(number, text[stamp.end() : end], stamp)
            return
        yield self._other(number, text, level is not None)

    def _stamped(self, number: int, text: str, stamp: re.Match[str]) -> Message:
        ns = _ns(stamp["s"] or stamp["s2"], stamp["f"] or stamp["f2"])
        shown = stamp.group().split("]")[0].strip("[: ")
        rest = _HOST.sub("", text, count=1)
        return Message(number, rest.rstrip(), False, ns, "boot", self._seen("boot", ns), shown)

    def _other(self, number: int, text: str, marked: bool) -> Message:
        framed = text.startswith("[")
        delta, hour = (_DELTA.match(text), _HOUR.match(text)) if framed else (None, None)
        if hour is not None:
            # The minute alone: the distance to the line before is not known, so a new count begins.
            self.boot += 1
            self.last.clear()
            self.sum = 0
            rest = _CALLER.sub("", text[hour.end() :])
            return Message(number, rest, False, 0, "delta", self.boot, hour.group().strip("[] "))
        if delta is not None:
            if self.sum is None:
                self.sum = 0
            self.sum += _ns(delta["s"], delta["f"])
            rest = _CALLER.sub("", text[delta.end() :])
            return Message(number, rest, False, self.sum, "delta", self.boot, delta.group().strip("[] "))
        longer = len(text) >= _SHORTEST_WALL
        unix = _UNIX.match(text) if longer else None
        if unix is not None:
            ns = _ns(unix["s"], unix["f"])
            rest = _HOST.sub("", text[unix.end() :])
            return Message(number, rest, False, ns, "wall", self._seen("wall", ns), unix.group().strip())
        for pattern in _WALL if longer else ():
            wall = pattern.match(text)
            if wall is not None:
                rest = _CALLER.sub("", _HOST.sub("", text[wall.end() :]))
                when = _wall_ns(wall)
                if when is None:
                    return Message(number, rest, False, boot=self.boot)
                boot = self._seen("wall", when)
                return Message(number, rest, False, when, "wall", boot, wall.group().strip("[] "))
        host = _HOST.match(text) if "kernel" in text else None
        if host is not None:
            return Message(number, text[host.end() :], False, boot=self.boot)
        return Message(number, text, not marked, boot=self.boot)

    def _seen(self, clock: str, ns: int) -> int:
        before = self.last.get(clock)
        if before is not None and ns < before - NEW_BOOT_NS:
            self.boot += 1
            self.last.clear()
            before = None
        self.last[clock] = ns if before is None else max(before, ns)
        return self.boot


def _ns(seconds: str, fraction: str) -> int:
    return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0"))


def _wall_ns(match: re.Match[str]) -> int | None:
    """Return ns since 1970; without a year, of 2000, which has every day a year can have."""
    found = match.groupdict()
    month = _MONTHS.get(found.get("month") or "") or int(found.get("mo") or 0)
    try:
        day = (int(found.get("y") or 2000), month, int(found["d"]))
        when = datetime(*day, int(found["h"]), int(found["mi"]), min(int(found["se"]), 59))
    except ValueError:
        return None
    zone = (found.get("zone") or "").replace(":", "")
    try:
        if zone:
            away = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
            when = when - away if zone[0] == "+" else when + away
    except OverflowError:
        return None
    return calendar.timegm(when.timetuple()) * 1_000_000_000 + int((found.get("fr") or "").ljust(9, "0") or 0)
