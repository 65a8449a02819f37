"""One fault's story: what happened from its issue to its end, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.timeline.spans import TIMES, Span, spans
from bench.timeline.watch import Watched
from smmucore.registers import FSR, FSYNR0

if TYPE_CHECKING:
    from smmucore.clients import Client
    from smmucore.policy import Policy

#: Steps of other passes between the fault's own events are told one by one up to so many, and counted beyond.
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
        if _tells(span, watched.begin)
    ]
    told.sort(key=lambda line: (line.t, line.lasts >= 0 and not line.who.startswith("bank")))
    return told


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
