"""Writes a watched run in the Trace Event Format, which Perfetto and chrome://tracing open.

Times in the file are microseconds, with three digits behind the point: nanoseconds, exactly.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError
from bench.timeline.moments import Seen
from bench.timeline.spans import TIMES, Span, fate, spans
from bench.timeline.watch import Watched
from smmucore.registers import FSR, FSYNR0

if TYPE_CHECKING:
    from smmucore.clients import Client
    from smmucore.policy import Policy

#: Faults that are drawn at most, from the first of the window on.
MOST_FAULTS = 5_000
#: The order of the groups; CPUs come between the streams and the banks.
FAULTS, _TBU, _CONSOLE = "GPU streams: faults", "TBU", "console"


class Tracks:
    """Numbers for groups (processes, to the viewer) and tracks (threads), in the order of first use."""

    def __init__(self, label: str = "") -> None:
        self.label = label  # stands beside each group's name
        self.pids: dict[str, int] = {}
        self.tids: dict[tuple[str, str], int] = {}

    def of(self, track: tuple[str, str]) -> dict[str, int]:
        """Return the numbers of a track."""
        pid = self.pids.setdefault(track[0], len(self.pids) + 1)
        return {"pid": pid, "tid": self.tids.setdefault(track, len(self.tids) + 1)}

    def names(self) -> Iterator[dict[str, Any]]:
        """Yield what tells the viewer the names, and the order."""
        for group, pid in self.pids.items():
            yield {"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": group}}
            if self.label:
                yield {
                    "ph": "M",
                    "name": "process_labels",
                    "pid": pid,
                    "tid": 0,
                    "args": {"labels": self.label},
                }
            yield {"ph": "M", "name": "process_sort_index", "pid": pid, "tid": 0, "args": {"sort_index": pid}}
        for (group, line), tid in self.tids.items():
            pid = self.pids[group]
            yield {"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": line}}
            yield {
                "ph": "M",
                "name": "thread_sort_index",
                "pid": pid,
                "tid": tid,
                "args": {"sort_index": tid},
            }


def events(watched: Watched, policy: Policy, client: Client) -> list[dict[str, Any]]:
    """Return the events of a timeline.

    Parameters
    ----------
    watched : Watched
    policy, client : Policy, Client
        Those of the run.

    Returns
    -------
    list of dict
        The names of the tracks first, then everything by time.
    """
    tracks = Tracks()
    tracks.pids[FAULTS] = 1
    made = [*_faults(watched, tracks)]
    made += [complete(tracks, span) for span in spans(watched, policy, client)]
    made += [*counters(watched, tracks)]
    return in_order(tracks, made)


def in_order(tracks: Tracks, made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the names of the tracks, and then events by time."""
    return [*tracks.names(), *sorted(made, key=lambda event: event["ts"])]


def us(ns: int) -> float:
    """Return a time as the format has it."""
    return ns / 1000


def complete(tracks: Tracks, span: Span) -> dict[str, Any]:
    """Return the event of a span."""
    return {
        "ph": "X", "name": span.name, "cat": span.track[1].split(",")[0], "ts": us(span.begin),
        "dur": us(span.end - span.begin), **tracks.of(span.track), "args": span.facts,
    }  # fmt: skip


def _in_window(watched: Watched) -> Iterator[tuple[int, Any]]:
    """Return the number and the row of each fault that has to do with the window."""
    count = 0
    for number, row in enumerate(watched.outcome.faults, start=1):
        first = int(row["t_issued"] if row["t_issued"] >= 0 else row["t_arrived"])
        last = int(row["t_retired"]) if row["t_retired"] >= 0 else watched.outcome.end_ns
        if first <= watched.end and last >= watched.begin and count < MOST_FAULTS:
            count += 1
            yield number, row


def _faults(watched: Watched, tracks: Tracks) -> Iterator[dict[str, Any]]:
    """Draw each fault as a bar from its issue to its end, its stall inside, and an arrow to its RESUME."""
    for number, row in _in_window(watched):
        begin = max(watched.begin, int(row["t_issued"] if row["t_issued"] >= 0 else row["t_arrived"]))
        end = min(watched.end, int(row["t_retired"]) if row["t_retired"] >= 0 else watched.end)
        ids = {"id": number, "cat": "fault", **tracks.of((FAULTS, f"stream {row['stream']}"))}
        facts = {
            "fault": number, "IOVA": f"{int(row['iova']):#x}", "bank": int(row["bank"]),
            "FSR bits": FSR.decode(int(row["fsr_bits"])), "FSYNR0": FSYNR0.decode(int(row["fsynr0"])),
            "what became of it": fate(row),
            **{name.removeprefix("t_") + " ns": int(row[name]) for name in TIMES if row[name] >= 0},
        }  # fmt: skip
        name = f"fault {number}: {fate(row)}"
        yield {"ph": "b", "name": name, "ts": us(begin), **ids, "args": facts}
        if row["t_recorded"] >= 0 and row["t_resumed"] >= 0:
            stall = {"name": "stalled", **ids}
            yield {"ph": "b", "ts": us(max(begin, int(row["t_recorded"]))), **stall}
            yield {"ph": "e", "ts": us(min(end, int(row["t_resumed"]))), **stall}
        yield {"ph": "e", "name": name, "ts": us(max(begin, end)), **ids}
        yield from _arrow(watched, tracks, number, row)


def _arrow(watched: Watched, tracks: Tracks, number: int, row: Any) -> Iterator[dict[str, Any]]:
    """Draw an arrow from the record of a fault to the RESUME of its transaction."""
    start, stop = int(row["t_recorded"]), int(row["t_resumed"])
    if not (watched.begin <= start and 0 <= start < stop <= watched.end):
        return
    # A flow needs a slice at each end; an instant's length is what the viewer can still show.
    track = (f"context bank {int(row['bank'])}", "record and RESUME")
    record, resume = (
        Span(track, f"{name} of fault {number}", at, at + 1, {"fault": number})
        for name, at in (("record", start), ("RESUME", stop))
    )
    for span in (record, resume):
        yield {**complete(tracks, span), "cat": "resume"}
    yield from arrow(tracks, number, record, resume)


def arrow(tracks: Tracks, number: int, record: Span, resume: Span) -> Iterator[dict[str, Any]]:
    """Yield an arrow from the slice of a fault's record to that of its RESUME."""
    ids = {"id": number, "name": "fault to RESUME", "cat": "resume"}
    yield {"ph": "s", "ts": us(record.begin), **tracks.of(record.track), **ids}
    yield {"ph": "f", "bp": "e", "ts": us(resume.begin), **tracks.of(resume.track), **ids}


def counters(watched: Seen, tracks: Tracks, without: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """Draw slots, queues, stalled transactions and printed lines as curves; a point where one changes.

    Curves whose names end in one of `without` are left out.
    """
    before: dict[str, dict[str, int]] = {}
    for moment in watched.moments:
        shown = {
            f"TBU {tbu} slots": {"reads": moment.open[2 * tbu], "writes": moment.open[2 * tbu + 1]}
            for tbu in range(watched.channels // 2)
        }
        shown |= {
            f"TBU {tbu} queued": {"reads": moment.queued[2 * tbu], "writes": moment.queued[2 * tbu + 1]}
            for tbu in range(watched.channels // 2)
        }
        for number, bank in enumerate(moment.banks):
            shown[f"bank {number} stalled"] = {"transactions": bank.stalled}
        shown["log lines"] = {"printed": moment.log_lines}
        for name, values in shown.items():
            if before.get(name) != values and not name.endswith(without):
                group = _CONSOLE if name == "log lines" else _TBU
                yield {
                    "ph": "C",
                    "name": name,
                    "ts": us(moment.t),
                    **tracks.of((group, name)),
                    "args": values,
                }
        before = shown


def write(made: list[dict[str, Any]], about: dict[str, Any], target: Path) -> Path:
    """Write a timeline as JSON (gzip where the name ends in .gz): whole, or not at all.

    Parameters
    ----------
    made : list of dict
        From `events`.
    about : dict
        What the run was: it goes into the file's metadata.
    target : pathlib.Path

    Returns
    -------
    pathlib.Path
        `target`.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    data = json.dumps(
        {"displayTimeUnit": "ns", "metadata": about, "traceEvents": made}, separators=(",", ":")
    ).encode()
    if target.suffix == ".gz":
        data = gzip.compress(data, mtime=0)  # no date: the same run gives the same bytes
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(data)
        beside.replace(target)
    except OSError as error:
        raise UsageError("cannot be written", target, found=error.strerror or str(error)) from None
    finally:
        beside.unlink(missing_ok=True)
    return target
