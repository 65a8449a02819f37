"""Which TBU a stream goes through: `--tbu 0x10=1`, `--tbu heartbeat=1`; the others go through TBU 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.errors import UsageError
from bench.inject import Injection
from smmucore.hardware import MOST, Hardware

OPTION = "--tbu"
#: In place of a stream ID: the streams of scenario `heartbeat`.
HEARTBEAT = "heartbeat"


def read_tbus(words: Sequence[str]) -> dict[str, int]:
    """Read ``STREAM=TBU`` words; streams are named by their number, or `heartbeat`.

    Raises
    ------
    UsageError
        A word that cannot be read, or a stream twice.

    Examples
    --------
    >>> read_tbus(["0x10=1", "heartbeat=0"])
    {'16': 1, 'heartbeat': 0}
    """
    made: dict[str, int] = {}
    for word in words:
        name, _, tbu = word.partition("=")
        if not (tbu.isascii() and tbu.isdigit() and int(tbu) < MOST["tbus"]):
            raise UsageError("not a TBU", f"{OPTION} {word}", f"STREAM=0 to {MOST['tbus'] - 1}", repr(tbu))
        if name != HEARTBEAT:
            try:
                name = str(int(name, 0))
            except ValueError:
                expected = f"a stream ID or {HEARTBEAT}"
                raise UsageError("not a stream", f"{OPTION} {word}", expected, repr(name)) from None
        if name in made:
            raise UsageError("stream placed twice", f"{OPTION} {word}", f"{name} once", f"{name} again")
        made[name] = int(tbu)
    return made


def place(made: Injection, tbus: Mapping[str, int]) -> Injection:
    """Put the requesters of an injection on their TBUs.

    Raises
    ------
    UsageError
        A stream that neither the trace nor the scenario has.
    """
    if not tbus:
        return made
    beats = set(made.heartbeats)
    known = {r.stream for r in made.requesters} - beats
    for name in tbus:
        if name == HEARTBEAT:
            if not beats:
                raise UsageError("no heartbeat", OPTION, "scenario heartbeat", "none in this scenario")
        elif int(name) not in known:
            streams = ", ".join(map(str, sorted(known)))
            raise UsageError("unknown stream", OPTION, f"one of {streams}", name)
    placed = tuple(
        replace(r, tbu=tbus.get(HEARTBEAT if r.stream in beats else str(r.stream), 0))
        for r in made.requesters
    )
    return replace(made, requesters=placed)


def check(tbus: Mapping[str, int], hardware: Hardware) -> None:
    """Refuse a TBU that the hardware does not have.

    Raises
    ------
    UsageError
    """
    for name, tbu in tbus.items():
        if tbu >= hardware.tbus:
            expected = (
                f"0 to {hardware.tbus - 1} on {hardware.name} (more with --hardware {hardware.name},tbus=N)"
            )
            raise UsageError("no such TBU", f"{OPTION} {name}", expected, str(tbu))
