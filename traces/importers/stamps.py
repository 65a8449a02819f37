"""The lines of ftrace, trace-cmd report and perf script: who, where, when, which event."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TIME = r"(?P<s>[0-9]{1,9})\.(?P<f>[0-9]{9}|[0-9]{6})"
_EVENT = r"(?:[a-z0-9_]{1,64}:)?(?P<event>[A-Za-z_][A-Za-z0-9_]{0,63})"

#: ``TASK-PID (TGID) [CPU] FLAGS TIME: EVENT: ARGUMENTS``; perf has ``TASK PID[/TID]``, trace-cmd no flags.
_FULL = re.compile(
    rf"\s*(?P<task>\S.{{0,40}}?)[-\s]\s*(?P<pid>[0-9]{{1,7}})(?:/[0-9]{{1,7}})?\s+(?:\([\s0-9-]{{1,9}}\)\s+)?"
    rf"(?:\[(?P<cpu>[0-9]{{1,4}})\]\s+)?(?:[A-Za-z0-9.#*]{{4,9}}\s+)?{_TIME}:\s+{_EVENT}:\s*(?P<rest>.*)"
)
#: An event within a function graph: ``TIME | CPU) TASK-PID | | /* EVENT: ARGUMENTS */``.
_GRAPH = re.compile(
    rf"\s*{_TIME}\s+\|\s+(?P<cpu>[0-9]{{1,4}})\)\s+(?P<task>\S.{{0,40}}?)-(?P<pid>[0-9]{{1,7}})\s+\|"
    rf".{{0,40}}?/\*\s+{_EVENT}:\s*(?P<rest>.*?)\s*\*/"
)
#: An event quoted without its head.
_QUOTED = re.compile(r"\s*(?:iommu:)?(?P<event>map|unmap|io_page_fault):\s+(?P<rest>IOMMU:.*)")

_IGNORED = re.compile(
    r"\s*$|#|\s*-{8,}\s*$"
    r"|cpus=[0-9]+$|version = [0-9]+$|CPU [0-9]+ is empty$|trace-cmd:"
    r"|\s+[0-9]+\)\s.*(?:=>|\|)"  # a function graph's change of task, or its call without a time
    r"|\s*[0-9]+\.[0-9]{6}\s+\|\s+[0-9]+\)"  # a function graph's call
    r"|\s+[0-9a-f]{8,16} \S"  # a line of a call chain
    r"| => |\s*=> "  # and of ftrace's
)
_LOST = re.compile(r"CPU:[0-9]+ \[LOST [0-9]+ EVENTS\]|[0-9]{1,20} EVENTS DROPPED|PERF_RECORD_LOST")
_WRITTEN = re.compile(r"# entries-in-buffer/entries-written: ([0-9]+)/([0-9]+)")


@dataclass(frozen=True, slots=True)
class Stamped:
    """One event's line, taken apart.

    Attributes
    ----------
    event, rest : str
        Its name without its system's, and its arguments.
    t_ns : int
        -1 where the line has no time.
    cpu, pid : int
        -1 where the line has none.
    task : str
    """

    event: str
    rest: str
    t_ns: int = -1
    cpu: int = -1
    pid: int = -1
    task: str = ""


def parse_line(line: str) -> Stamped | None:
    """Take an event's line apart.

    Returns
    -------
    Stamped or None
        None where it is no event's line.

    Examples
    --------
    >>> parse_line("  gpu-7  [001] d..1.  5.000001: unmap: IOMMU: iova=0x0").t_ns
    5000001000
    """
    match = _FULL.fullmatch(line) or _GRAPH.fullmatch(line)
    if match is not None:
        t_ns = int(match["s"]) * 1_000_000_000 + int(match["f"].ljust(9, "0"))
        event, rest = match["event"], match["rest"]
        return Stamped(event, rest, t_ns, int(match["cpu"] or -1), int(match["pid"]), match["task"])
    match = _QUOTED.fullmatch(line)
    return None if match is None else Stamped(match["event"], match["rest"])


def is_ignored(line: str) -> bool:
    """Tell whether a line is a comment, a heading, a call chain or a function graph's call."""
    return _IGNORED.match(line) is not None


def lost(line: str) -> str:
    """Say how many events a line tells to be lost; nothing where it tells of none."""
    if match := _WRITTEN.match(line):
        kept, written = int(match[1]), int(match[2])
        return f"{written - kept} of {written} events overwritten" if kept != written else ""
    return line.strip()[:80] if _LOST.search(line) else ""
