"""One fault's story: what happened from its issue to its end, in order."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from bench.timeline.spans import STATES, TIMES, Span, spans
from bench.timeline.watch import Watched
from smmucore import contexts as cpu
from smmucore.registers import FSR, FSYNR0

if TYPE_CHECKING:
    from smmucore.clients import Client
    from smmucore.policy import Policy

#: Lines that the terminal gets.
MOST = 400

_REGISTERS = ("FSR", "SCTLR")


@dataclass(frozen=True)
class Line:
    """One line of a story: when, for how long (-1: at once), who, and what."""

    t: int
    lasts: int
    who: str
    what: str


def story(watched: Watched, number: int, policy: Policy, client: Client) -> list[Line]:
    """Tell one fault.

    Parameters
    ----------
    watched : Watched
        A window that holds the fault.
    number : int
        The fault's, from 1.
    policy, client : Policy, Client
        Those of the run.

    Returns
    -------
    list of Line
        By time; at one time what the hardware did before what a CPU begins.
    """
    row = watched.outcome.faults[number - 1]
    stream = f"stream {int(row['stream'])}"
    told = [
        Line(int(row[name]), -1, _who(name, stream, int(row["bank"])), _what(name, text, row))
        for name, text in TIMES.items()
        if row[name] >= 0
    ]
    told += [
        Line(span.begin, span.end - span.begin, _of(span), span.name)
        for span in spans(watched, policy, client)
        if _tells(span, watched.moments[0].t)
    ]
    told.sort(key=lambda line: (line.t, line.lasts >= 0 and not line.who.startswith("bank")))
    return told


def shortened(lines: list[Line]) -> list[Line]:
    """Tell entries that are as the one before only once, and then how often.

    Parameters
    ----------
    lines : list of Line
        From `story`.

    Returns
    -------
    list of Line
        Stretches from one entry to the next of which several in a row have the same lines, with the same
        durations, are there once, with a line that counts the others.
    """
    starts = [k for k, line in enumerate(lines) if line.what == STATES[cpu.ENTRY]]
    if not starts:
        return lines
    made = lines[: starts[0]]
    stretches = [lines[a:b] for a, b in pairwise([*starts, len(lines)])]
    number = 0
    while number < len(stretches):
        same = 1
        first = _pattern(stretches[number])
        while number + same < len(stretches) and _pattern(stretches[number + same]) == first:
            same += 1
        made += stretches[number]
        if same > 1:
            begins = stretches[number + 1][0].t
            ends = stretches[number + same][0].t if number + same < len(stretches) else lines[-1].t
            again = f"the same from entry to exit, {same - 1:,} times more"
            made.append(Line(begins, ends - begins, stretches[number][0].who, again))
        number += same
    return made


def _pattern(lines: list[Line]) -> list[tuple[int, int, str, str]]:
    return [(line.t - lines[0].t, line.lasts, line.who, line.what) for line in lines]


def _who(name: str, stream: str, bank: int) -> str:
    if name in ("t_recorded", "t_resumed"):
        return f"bank {bank}"
    return "handler" if name.startswith(("t_irq", "t_handler")) else stream


def _what(name: str, text: str, row: Any) -> str:
    if name == "t_arrived":
        return f"{text}: {FSR.decode(int(row['fsr_bits']))}, FSYNR0 {FSYNR0.decode(int(row['fsynr0']))}"
    if name == "t_issued":
        return f"{text}: IOVA {int(row['iova']):#x}"
    return text


def _tells(span: Span, begin: int) -> bool:
    """Tell whether a span belongs into a story: an SCTLR that nobody has changed does not."""
    group, line = span.track
    if line == "SCTLR":
        return span.begin > begin
    return line == "FSR" or group == "interrupt lines" or group.startswith("CPU")


def _of(span: Span) -> str:
    group, line = span.track
    if line in _REGISTERS:
        return f"{group.removeprefix('context ')} {line}"
    return f"{line.split(',')[0]}, {group}" if group.startswith("CPU") else line
