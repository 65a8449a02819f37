"""Imports one file: its reader's events, checked and written as a trace."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from traces.errors import TraceError
from traces.events import EVENT, EXEC, MARK
from traces.importers.registry import detect, load
from traces.importers.result import Draft, Dropped, Options
from traces.importers.source import Source
from traces.manifest import Manifest, Stream, Tool

#: Rows of the spool that are in memory at once.
ROWS = 1 << 16


@dataclass(frozen=True)
class Imported:
    """What `import_trace` made.

    Attributes
    ----------
    path : pathlib.Path
    format : str
    manifest : Manifest
    rows : int
    dropped : list of str
        One line for each kind of thing that was left out; empty without salvage.
    """

    path: Path
    format: str
    manifest: Manifest
    rows: int
    dropped: list[str]


@dataclass
class _Tally:
    """What the manifest says that only all events can tell."""

    rows: int = 0
    accesses: Counter[int] = field(default_factory=Counter)
    space_uses: dict[int, Counter[int]] = field(default_factory=dict)
    last_space: int = -1
    ops: Counter[int] = field(default_factory=Counter)

    def add(self, block: np.ndarray) -> None:
        self.rows += block.size
        self.ops.update(Counter(block["op"].tolist()))
        spaced = block["space"][block["op"] != MARK]
        if spaced.size:
            self.last_space = max(self.last_space, int(spaced.max()))
        access = block[block["op"] <= EXEC]
        pairs = access["stream"].astype(np.uint32) << np.uint32(16) | access["space"]
        for pair, n in zip(*(a.tolist() for a in np.unique(pairs, return_counts=True)), strict=True):
            stream, space = pair >> 16, pair & 0xFFFF
            self.accesses[stream] += n
            self.space_uses.setdefault(stream, Counter())[space] += n


def import_trace(
    path: str | Path,
    out: str | Path,
    format: str | None = None,
    salvage: bool = False,
    options: Options | None = None,
    reading: Callable[[int, int], None] | None = None,
    writing: Callable[[int, int], None] | None = None,
) -> Imported:
    """Import a file as a trace.

    Parameters
    ----------
    path : str or pathlib.Path
        What to import; gz, zst and xz are decompressed.
    out : str or pathlib.Path
        The trace to write: it appears whole, or not at all.
    format : str, optional
        A key of `traces.importers.registry.READERS`; told from the file if not given.
    salvage : bool
        Keep what is whole, and count what is not; without it the first thing broken is the error.
    options : Options, optional
        What the user says of the file.
    reading, writing : callable, optional
        Told (done, all) now and then: bytes of a file that is read, and events written.

    Returns
    -------
    Imported

    Raises
    ------
    TraceError
        A file that cannot be read or written, a format that is not known, or (without `salvage`) anything
        broken: with the file and the line, what was expected and what was found.
    """
    out, options = Path(out), options or Options()
    dropped = Dropped(salvage)
    with Source(path, dropped, out.parent, reading) as source:
        if out.exists() and out.samefile(source.path):
            raise TraceError("cannot be written", out, "another file than the one that is imported")
        name = format or detect(source, path)
        reader = load(name)
        for option in options.used():
            if option not in reader.OPTIONS:
                flag = f"--{option.replace('_', '-')}"
                raise TraceError(f"{flag} says nothing to this format", path, f"no {flag}", name)
        draft, tally = reader.draft(source), _Tally()
        try:
            with tempfile.TemporaryFile(dir=out.parent) as spool:
                for block in reader.read(source, draft, options):
                    tally.add(block)
                    spool.write(block.tobytes())
                if not tally.rows:
                    left = sum(dropped.counts.values())
                    found = f"none, and {left:,} things left out" if left else "none"
                    raise TraceError("no event to import", path, f"events in {reader.WHAT}", found)
                manifest = _finish(draft, tally, out, source, name)
                spool.seek(0)
                manifest = _write(out, manifest, spool, tally.rows, writing)
        except OSError as error:
            raise TraceError("cannot be written", out, found=error.strerror or str(error)) from None
    return Imported(out, name, manifest, tally.rows, dropped.lines())


def _write(
    out: Path,
    manifest: Manifest,
    spool: BinaryIO,
    rows: int,
    writing: Callable[[int, int], None] | None,
) -> Manifest:
    from traces.counted import write_counted  # noqa: PLC0415

    def blocks() -> Iterator[np.ndarray]:
        done = 0
        while data := spool.read(ROWS * EVENT.itemsize):
            yield np.frombuffer(data, EVENT)
            done += len(data) // EVENT.itemsize
            if writing is not None:
                writing(done, rows)

    return write_counted(out, manifest, blocks(), rows)


def _finish(draft: Draft, tally: _Tally, out: Path, source: Source, name: str) -> Manifest:
    """Make the manifest of a draft whose events have all been seen."""
    while len(draft.spaces) <= tally.last_space:
        draft.spaces.append(f"space {len(draft.spaces)}")
    streams = [
        Stream(
            stream=stream,
            name=draft.streams.get(stream, f"stream {stream:#x}"),
            space=tally.space_uses[stream].most_common(1)[0][0],
            accesses=n,
        )
        for stream, n in sorted(tally.accesses.items())
    ]
    file_name = source.path.name.encode(errors="replace").decode()
    compressed = f", {source.compression}" if source.compression else ""
    dropped = [f"Left out (--salvage): {line}" for line in source.dropped.lines()]
    return Manifest(
        name=_name(out.stem),
        title=draft.title,
        kind=draft.kind,
        source=draft.source,
        device=draft.device,
        tool=Tool(name=draft.tool, version=draft.tool_version),
        kernel=draft.kernel,
        recorded=draft.recorded,
        clock=draft.clock,
        clock_is_real=draft.clock_is_real,
        streams=streams,
        spaces=draft.manifest_spaces(),
        marks=draft.marks,
        licence=draft.licence,
        sha256=source.sha256,
        invalidation=draft.invalidation,
        direction=draft.direction,
        not_contained=draft.not_contained,
        parameters=draft.parameters,
        notes=[
            f"Imported by smmubench traces import, format {name}, from {file_name}{compressed}; sha256 is "
            "that file's, as it lay there.",
            *draft.notes,
            *(line.replace(str(source.path), file_name) for line in dropped),
        ],
    )


def _name(stem: str) -> str:
    """Make a trace's name of a file's.

    >>> _name("My trace.v2"), _name("_")
    ('my-trace.v2', 'imported')
    """
    name = re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("._-")
    return name or "imported"
