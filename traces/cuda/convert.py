"""Makes a trace of a recording: one order, one IOVA space, and mappings as the allocator backs them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from traces.cuda.clocks import Clocks, merge
from traces.cuda.notes import SECTOR, Allocation
from traces.cuda.recording import Recording
from traces.errors import TraceError
from traces.events import EVENT, MAP, PA_UNKNOWN, PROT_CACHE, PROT_READ, PROT_WRITE, READ, WRITE
from traces.manifest import Manifest, Space, Stream, Tool
from traces.writer import TraceWriter

#: Where the lowest allocation comes to lie: 4 GiB, where Linux's msm driver starts a GPU's address space.
IOVA_BASE = 1 << 32
#: Where the made-up physical frames begin.
PA_BASE = 1 << 36
#: How memory may be backed: bytes, and the granule of the tables that has entries of that size.
BACKINGS = {"2M": (2 << 20, 4096), "64K": (64 << 10, 65536), "4K": (4096, 4096)}
#: Accesses may come this much more slowly than in the plain run before the times count as no real device's.
SLOWED = 1.5


@dataclass(frozen=True)
class Layout:
    """Where things come to lie.

    Attributes
    ----------
    iova_bits : int
        39 or 48.
    backing : str
        A key of `BACKINGS`.
    keep : int or None
        So many accesses from the start of the window; all if None.
    by_sm : bool
        A stream for each SM; one for the whole GPU otherwise.
    """

    iova_bits: int = 48
    backing: str = "2M"
    keep: int | None = None
    by_sm: bool = False


def convert(recording: Recording, out: Path, layout: Layout) -> Manifest:
    """Write a recording as a trace.

    Parameters
    ----------
    recording : Recording
    out : pathlib.Path
        The trace to write: it appears whole, or not at all.
    layout : Layout

    Returns
    -------
    Manifest
        Of the trace that was written.

    Raises
    ------
    TraceError
        The allocations do not fit into the IOVA space, or the file cannot be written.
    """
    notes = recording.notes
    if not notes.sm.size:
        raise TraceError("nothing to convert", out, "a recording with accesses", "none")
    order, t_ns, clocks = merge(notes)
    order, t_ns = order[: layout.keep], t_ns[: layout.keep]
    maps, shift = _mappings(recording.allocations, layout, out)
    accesses = np.zeros(order.size, EVENT)
    accesses["t_ns"] = t_ns
    accesses["op"] = np.where(notes.write[order], WRITE, READ)
    accesses["stream"] = notes.sm[order] if layout.by_sm else 0
    accesses["iova"] = notes.sector[order] * SECTOR + shift
    accesses["size"] = SECTOR
    accesses["pa"] = PA_UNKNOWN
    manifest = _manifest(recording, out, layout, clocks, accesses, maps)
    with TraceWriter(out, manifest) as writer:
        writer.append(np.concatenate([maps, accesses]))
    return writer.manifest


def _mappings(allocations: list[Allocation], layout: Layout, out: Path) -> tuple[np.ndarray, int]:
    """Make the MAP events, one for each piece that backs an allocation; and what to add to an address."""
    piece, _ = BACKINGS[layout.backing]
    low = min(part.address for part in allocations) // piece * piece
    high = max(part.address + part.nbytes for part in allocations)
    shift = IOVA_BASE - low
    if high + shift > 1 << layout.iova_bits:
        raise TraceError(
            "the allocations do not fit", out, f"{(1 << layout.iova_bits) - IOVA_BASE:,} bytes of IOVA space",
            f"{high - low:,} bytes from the lowest to the highest",
        )  # fmt: skip
    pieces = np.unique(
        np.concatenate(
            [np.arange(p.address // piece, -(-(p.address + p.nbytes) // piece)) for p in allocations]
        )
    )
    maps = np.zeros(pieces.size, EVENT)
    maps["op"] = MAP
    maps["iova"] = pieces * piece + shift
    maps["size"] = piece
    maps["pa"] = PA_BASE + np.arange(pieces.size) * piece
    maps["prot"] = PROT_READ | PROT_WRITE | PROT_CACHE
    return maps, shift


def _manifest(
    recording: Recording, out: Path, layout: Layout, clocks: Clocks, accesses: np.ndarray, maps: np.ndarray
) -> Manifest:
    facts = recording.facts
    rate = len(accesses) * facts["sample"] / max(1, int(accesses["t_ns"][-1]))
    plain_rate = facts["accesses_of_the_run"] * facts["sample"] / max(1, facts["plain_ns"])
    piece, granule = BACKINGS[layout.backing]
    simulated = bool(facts["simulated"])
    streams, counts = np.unique(accesses["stream"], return_counts=True)
    span = int(accesses["t_ns"][-1]) + 1
    touched = np.unique(accesses["iova"] // np.uint64(piece)).size
    asked = {name.removeprefix("size:"): value for name, value in facts.items() if name.startswith("size:")}
    return Manifest(
        name=re.sub(r"[^a-z0-9._-]+", "-", out.stem.lower()).strip("-._") or "capture",
        title=f"{facts['device']}: {facts['what']}",
        kind="synthetic" if simulated else "captured",
        source="The kernels' own notes of their global loads and stores, made by smmubench capture cuda.",
        device=str(facts["device"]),
        tool=Tool(
            name="smmubench capture cuda",
            version=f"numba {facts['numba']}, numba-cuda {facts['numba-cuda']}, driver {facts['driver']}",
        ),
        clock=_clock(simulated, clocks, rate, plain_rate),
        clock_is_real=not simulated and plain_rate <= SLOWED * rate,
        streams=[
            Stream(
                stream=int(stream),
                name=f"SM {stream}" if layout.by_sm else "GPU, all SMs",
                space=0,
                accesses=int(n),
            )
            for stream, n in zip(streams, counts, strict=True)
        ],
        spaces=[Space(space=0, name="the GPU's memory", ias=layout.iova_bits, granule=granule)],  # type: ignore[arg-type]
        licence="CC0-1.0",
        sha256=recording.sha256 or None,
        recorded=facts["recorded"],
        invalidation="with-unmap",
        direction="a load is a READ, a store a WRITE; an atomic operation is a WRITE",
        not_contained=_not_contained(layout),
        notes=_notes(recording, layout, len(maps), touched, span),
        parameters={
            "workload": facts["workload"], "seed": facts["seed"], "sample": facts["sample"], **asked,
            "iova_bits": layout.iova_bits, "backing": layout.backing,
        },
    )  # fmt: skip


def _clock(simulated: bool, clocks: Clocks, rate: float, plain_rate: float) -> str:
    if simulated:
        return "a counter of numba's CUDA simulator"
    return (
        f"each SM's cycle counter, held to the GPU's shared timer ({clocks}). Notes slow the GPU down: in "
        f"the window {rate:.2f} accesses come each ns, over the whole run without notes {plain_rate:.2f}"
    )


def _not_contained(layout: Layout) -> list[str]:
    return [
        "Caches: an access is noted as its warp issues it, whether L1 or L2 would serve it or not.",
        "Accesses to shared, local and constant memory, instruction fetches, texture units (textures are "
        "read by ordinary loads), the host's copies, and the notes' own traffic.",
        "An SMMU: the GPU translates by its own MMU. Addresses are CUDA's virtual ones, all moved alike.",
        "Physical addresses (those of the mappings are made up), page sizes (see the notes), faults, unmaps.",
        "Which warp of an SM issued an access." if layout.by_sm else "Which SM issued an access.",
    ]


def _notes(recording: Recording, layout: Layout, mapped: int, touched: int, span: int) -> list[str]:
    facts, notes = recording.facts, recording.notes
    granularity = facts.get("granularity", 0)
    source = f"the driver states a granularity of {granularity:,} bytes" if granularity else "assumed"
    blocks = f" in one thread block in {facts['sample']}" if facts["sample"] > 1 else ""
    return [
        f"One event for each distinct {SECTOR}-byte sector of a warp's load or store.",
        f"Backed in pieces of {layout.backing}: {source}. {mapped:,} pieces mapped, {touched:,} touched in "
        f"the window.",
        f"A window of {span:,} ns from {facts['begin_ns']:,} ns after the run's start; the whole run makes "
        f"{facts['accesses_of_the_run']:,} accesses{blocks}.",
        "Every access of the window is in it: it ends where it is long enough, or where the first SM's ring "
        "was full.",
        f"Run time without notes {facts['plain_ns']:,} ns; with notes that nobody takes "
        f"{facts['closed_ns']:,} ns; counting every access {facts['counting_ns']:,} ns; with this window "
        f"{facts['recording_ns']:,} ns, {int(notes.lost.sum()):,} accesses after it counted and not kept.",
        f"Result checked after the recorded run: {facts['checked']}.",
        "Allocations: " + ", ".join(f"{a.name} {a.nbytes:,} bytes" for a in recording.allocations) + ".",
    ]
