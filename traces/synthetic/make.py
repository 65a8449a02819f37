"""Makes synthetic traces: a plan of what is in one, its events block by block, its file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from traces.counted import write_counted
from traces.errors import TraceError
from traces.events import EVENT, MAP, PA_UNKNOWN
from traces.interleave import interleave
from traces.manifest import Manifest, Space, Stream, Tool
from traces.synthetic import mix
from traces.synthetic.draws import subkey
from traces.synthetic.parts import Layout, Work
from traces.synthetic.registry import MIX, MIX_TITLE, Values, find, read, split

#: Moves when the events that a seed gives change.
VERSION = "1"

#: Accesses that are worked out at once.
BLOCK = 1 << 16

SEEDS = 1 << 63


@dataclass(frozen=True)
class Placed:
    """A work, and where its streams and its space stand in the trace."""

    work: Work
    name: str
    stream: int
    space: int


@dataclass(frozen=True)
class Plan:
    """A trace that can be made.

    Attributes
    ----------
    manifest : Manifest
    placed : tuple of Placed
    accesses : int
    """

    manifest: Manifest
    placed: tuple[Placed, ...]
    accesses: int

    def blocks(self) -> Iterator[np.ndarray]:
        """Stream the events: the MAPs of every buffer, then the accesses."""
        yield _maps(self.placed)
        made = 0
        sources = [_accesses(placed, self.accesses) for placed in self.placed]
        for block in interleave(sources) if len(sources) > 1 else sources[0]:
            yield block[: self.accesses - made]
            made += block.size
            if made >= self.accesses:
                return


def plan(kind: str, settings: Sequence[str] = (), seed: int = 0) -> Plan:
    """Work out what a trace of this kind is made of.

    Parameters
    ----------
    kind : str
        Of `traces.synthetic.registry.KINDS`, or ``mix``.
    settings : sequence of str
        ``key=value``; what is left out has its default.
    seed : int
        0 to 2**63 - 1.

    Returns
    -------
    Plan

    Raises
    ------
    TraceError
        An unknown kind or parameter, or a value that cannot be.
    """
    if not 0 <= seed < SEEDS:
        raise TraceError("bad seed", "traces make", "0 to 2**63 - 1", str(seed))
    if kind == MIX:
        return _mixed(tuple(settings), seed)
    found = find(kind)
    values = read(kind, split(settings))
    work = found.build(values, seed, Layout(values["page"], f"traces make {kind}"))
    placed = (Placed(work, kind, 0, 0),)
    return Plan(_manifest(kind, found.title, dict(values), seed, placed), placed, values["accesses"])


def _mixed(settings: tuple[str, ...], seed: int) -> Plan:
    whole, parts = mix.settings(settings)
    page, accesses = int(whole["page"]), int(whole["accesses"])
    own = whole["spaces"] == "own"
    layout = Layout(page, "traces make mix")
    placed: list[Placed] = []
    stream = 0
    for k, (name, kind, values) in enumerate(parts):
        # Buffers lie apart even in spaces of their own, so that an address tells whose it is.
        work = find(kind).build(values, subkey(seed, k), layout)
        placed.append(Placed(work, name, stream, k if own else 0))
        stream += len(work.streams)
    flat: Values = dict(whole)
    for name, _, values in parts:
        flat |= {f"{name}.{key}": value for key, value in values.items()}
    manifest = _manifest(MIX, f"{MIX_TITLE}: {whole['parts']}", flat, seed, placed)
    return Plan(manifest, tuple(placed), accesses)


def _maps(placed: Iterable[Placed]) -> np.ndarray:
    rows = [
        (0, MAP, 0, p.space, buffer.iova, buffer.size, buffer.pa, buffer.prot)
        for p in placed
        for buffer in p.work.buffers
    ]
    return np.array(rows, EVENT)


def _accesses(placed: Placed, most: int) -> Iterator[np.ndarray]:
    for first in range(0, most, BLOCK):
        made = placed.work.at(np.arange(first, min(first + BLOCK, most), dtype=np.uint64))
        block = np.zeros(made.iova.size, EVENT)
        block["t_ns"], block["op"], block["iova"], block["size"] = made.t_ns, made.op, made.iova, made.size
        block["stream"] = made.stream + np.uint64(placed.stream)
        block["space"], block["pa"] = placed.space, PA_UNKNOWN
        yield block


def _manifest(kind: str, title: str, values: Values, seed: int, placed: Sequence[Placed]) -> Manifest:
    several = len(placed) > 1
    spaces: dict[int, list[str]] = {}
    for p in placed:
        spaces.setdefault(p.space, []).append(p.name)
    streams = [
        Stream(stream=p.stream + k, name=f"{p.name}: {name}" if several else name, space=p.space)
        for p in placed
        for k, name in enumerate(p.work.streams)
    ]
    if len(streams) > 1 << 16:
        raise TraceError("too many streams", f"traces make {kind}", "at most 65,536", f"{len(streams):,}")
    parameters: Values = {"kind": kind, "seed": seed}
    return Manifest(
        name=kind,
        title=title,
        kind="synthetic",
        source="made by formula: smmubench traces make",
        device="none: an access pattern",
        tool=Tool(name="smmubench traces make", version=VERSION),
        clock="made up: the pace that the parameters state",
        clock_is_real=False,
        streams=streams,
        spaces=[Space(space=number, name="+".join(names)) for number, names in spaces.items()],
        licence="CC0-1.0",
        invalidation="explicit",
        direction="by formula",
        not_contained=[
            "A device: no hardware, program or driver was observed; the pattern is a model of one.",
            "Caches: every access of the pattern reaches the SMMU.",
            "Output addresses of accesses: the MAPs tell them.",
            "UNMAPs, TLBIs and faults.",
        ],
        notes=[
            f"buffer {buffer.name} of {p.name}: {buffer.iova:#x}, {buffer.size:,} bytes"
            for p in placed
            for buffer in p.work.buffers
        ],
        parameters=parameters | values,
    )


def write(plan: Plan, path: str | Path, progress: Any = None) -> Manifest:
    """Write a planned trace to a file that appears whole or not at all; return its manifest.

    Parameters
    ----------
    plan : Plan
    path : str or pathlib.Path
    progress : callable, optional
        Called with (events written, events).

    Raises
    ------
    TraceError
        The file cannot be written.
    """
    total = plan.accesses + sum(len(placed.work.buffers) for placed in plan.placed)

    def told() -> Iterator[np.ndarray]:
        done = 0
        for block in plan.blocks():
            yield block
            done += block.size
            if progress is not None:
                progress(done, total)

    return write_counted(path, plan.manifest, told(), total)


def digest(blocks: Iterable[np.ndarray]) -> str:
    """Return the SHA-256 of events as packed little-endian rows, however they are cut into blocks."""
    made = hashlib.sha256()
    for block in blocks:
        made.update(np.ascontiguousarray(block, EVENT.newbyteorder("<")).tobytes())
    return made.hexdigest()
