"""TLB reach: the hits of every TLB size, for each page size, from one pass over a trace.

`Reach.to_json` gives ``{"manifest": {...}, "rows": [...]}`` with one row a page size; docs/reach.md
says what each name means, and how a curve is counted and sampled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import UsageError, unknown
from bench.sampling import Sampling, sampling
from bench.spaces import model_space
from smmucore.leaves import UNMAPPED, LeafError, Leaves
from smmucore.missratio import LIMIT, Curve, Reuse
from smmucore.reuse import DROP, USE
from traces.events import (
    EXEC,
    TLBI,
    TLBI_ALL,
    TLBI_ASID,
    TLBI_IPAS2,
    TLBI_IPAS2_LAST,
    TLBI_KIND_MASK,
    TLBI_SYNC,
    TLBI_VMID,
    UNMAP,
)

if TYPE_CHECKING:
    from traces.reader import Trace

#: Page sizes by name, as log2; `MAPPED` takes each access's own leaf.
SIZES = {"4K": 12, "16K": 14, "64K": 16, "2M": 21, "1G": 30}
MAPPED = "mapped"
PAGES = (*SIZES, MAPPED)

#: Sizes of TLB that are shown.
ENTRIES = tuple(1 << k for k in range(LIMIT.bit_length() - 1))

#: Cells that are off by more are not shown.
TOLERABLE = 0.05

# A page's number in the stack: its leaf's size class, its space, its number at that size.
CLASS_SHIFT = np.uint64(62)
SPACE_SHIFT = np.uint64(52)
MOST_SPACES = 1 << 10
LEAF_SHIFTS = np.array([12, 21, 30], np.uint64)
ALL_ONES = np.uint64((1 << 64) - 1)
LAST_NUMBER = np.uint64((1 << 52) - 1)


@dataclass(frozen=True)
class Column:
    """One page size: its curve, and the pages in it.

    `faults`: accesses that nothing maps (`MAPPED` only).  `distinct_bytes`: the working
    set; None for sampled leaves, of which the few large ones would be most of it.
    """

    page: str
    curve: Curve
    faults: int
    distinct_bytes: int | None

    @property
    def page_bytes(self) -> int | None:
        """Bytes of a page; of `MAPPED`, the mean of its working set, where that is known."""
        if self.page in SIZES:
            return 1 << SIZES[self.page]
        if self.distinct_bytes is None:
            return None
        return self.distinct_bytes // max(self.curve.distinct, 1)

    def to_json(self) -> dict[str, Any]:
        """Return the names that docs/reach.md explains."""
        c = self.curve
        ratio = max(c.accesses, 1)
        return {
            "page": self.page,
            "page_bytes": self.page_bytes,
            "accesses": c.accesses,
            "faults": self.faults,
            "distinct_pages": c.distinct,
            "distinct_bytes": self.distinct_bytes,
            "cold": c.cold,
            "invalidated": c.invalidated,
            "attainable_hits": c.attainable,
            "sample_rate": 1 / c.weight,
            "sampled_pages": c.sampled,
            "knee90": c.knee(90),
            "knee99": c.knee(99),
            "entries": list(ENTRIES),
            "hits": [int(c.hits[n]) for n in ENTRIES],
            "hit_ratio": [int(c.hits[n]) / ratio for n in ENTRIES],
            "error": [float(c.error[n]) for n in ENTRIES],
            "reach_bytes": [None if self.page_bytes is None else n * self.page_bytes for n in ENTRIES],
        }


@dataclass(frozen=True)
class Reach:
    """The curves of a trace, and what they rest on."""

    manifest: dict[str, Any]
    columns: tuple[Column, ...]

    def to_json(self) -> dict[str, Any]:
        """Return manifest and rows."""
        return {"manifest": self.manifest, "rows": [column.to_json() for column in self.columns]}

    def flat(self) -> list[dict[str, Any]]:
        """Return a row for each page size and number of entries, for a table on disk."""
        made = []
        for column in self.columns:
            row = column.to_json()
            lists = {name: row.pop(name) for name in ("entries", "hits", "hit_ratio", "error", "reach_bytes")}
            made += [
                {**row, **dict(zip(lists, cell, strict=True))} for cell in zip(*lists.values(), strict=True)
            ]
        return made


class _Keys:
    """Makes the page numbers of one column, and the ranges that invalidations drop."""

    def __init__(self, page: str) -> None:
        self.mapped = page not in SIZES
        self.shift = np.uint64(SIZES.get(page, 0))

    def used(self, accesses: Any, classes: Any) -> Any:
        """Return the page of each access."""
        space = accesses["space"].astype(np.uint64) << SPACE_SHIFT
        if not self.mapped:
            return space | accesses["iova"] >> self.shift
        size = classes.astype(np.uint64)
        return size << CLASS_SHIFT | space | accesses["iova"] >> LEAF_SHIFTS[size]

    def dropped(self, events: Any) -> tuple[Any, Any]:
        """Return first and last page of each invalidation, one row a size class."""
        shifts = LEAF_SHIFTS if self.mapped else np.array([self.shift])
        kind = np.where(events["op"] == UNMAP, 0, events["prot"] & TLBI_KIND_MASK)
        space = events["space"].astype(np.uint64) << SPACE_SHIFT
        end = events["iova"] + np.maximum(events["size"], np.uint64(1)) - np.uint64(1)
        end = np.maximum(end, events["iova"])  # a range that wraps ends at its own first byte
        firsts, lasts = [], []
        for k, shift in enumerate(shifts):
            base = np.uint64(k) << CLASS_SHIFT | space
            wide = (kind == TLBI_ASID) | (kind == TLBI_VMID)
            first = np.where(wide, base, base | events["iova"] >> shift)
            last = np.where(wide, base | LAST_NUMBER, base | end >> shift)
            firsts.append(np.where(kind == TLBI_ALL, np.uint64(0), first))
            lasts.append(np.where(kind == TLBI_ALL, ALL_ONES, last))
        return np.array(firsts), np.array(lasts)


def reach(
    trace: Trace,
    pages: Sequence[str] = PAGES,
    *,
    space: int | None = None,
    stream: int | None = None,
    sample: Sampling | None = None,
    invalidations: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Reach:
    """Count the hits of every TLB size in one pass over a trace.

    Parameters
    ----------
    trace : Trace
    pages : sequence of str
        From `PAGES`.
    space, stream : int, optional
        Only the accesses of this space, of this stream.
    sample : Sampling, optional
        As `sampling` reads it.
    invalidations : bool
        A TLBI (and an UNMAP, where the manifest says ``with-unmap``) empties the entries that it meets.
    progress : callable, optional
        Called with (events done, events).

    Raises
    ------
    UsageError, TraceError
    """
    _check(trace, pages, space, stream)
    sample = sample or sampling(None)
    keys = {page: _Keys(page) for page in pages}
    found = {page: Reuse(sample.halvings, sample.most, invalidations=invalidations) for page in pages}
    leaves = Leaves([s.ias for s in trace.manifest.spaces]) if MAPPED in pages else None
    ias = np.array([min(s.ias, 63) for s in trace.manifest.spaces], np.uint64)
    unmap = trace.manifest.invalidation == "with-unmap"
    done = beyond = faults = 0
    for block in trace.blocks():
        access = block["op"] <= EXEC
        # No table reaches beyond the input address size: a fault for every page size (H3).
        inside = block["iova"] >> ias[np.minimum(block["space"], ias.size - 1)] == 0
        mine = access & ((block["space"] == space) if space is not None else True)
        mine &= (block["stream"] == stream) if stream is not None else True
        beyond += int(np.count_nonzero(mine & ~inside))
        mine &= inside
        if invalidations:
            drop = (_empties(block) & (block["op"] == TLBI)) | ((block["op"] == UNMAP) & unmap)
        else:
            drop = np.zeros(block.size, bool)
        classes = np.zeros(block.size, np.uint8)
        if leaves is not None:
            classes = _classes(leaves, block, inside | ~access, done, trace.path)
            faults += int(np.count_nonzero(mine & (classes == UNMAPPED)))
        for page in pages:
            used = mine & (classes != UNMAPPED) if page == MAPPED else mine
            _feed(found[page], keys[page], block, used, drop, classes)
        done += block.size
        if progress is not None:
            progress(done, trace.rows)
    columns = tuple(_column(page, found[page], faults if page == MAPPED else 0) for page in pages)
    chosen = {"space": space, "stream": stream, "sample": sample.text, "beyond_input_size": beyond,
              "invalidations": "honoured" if invalidations else "ignored"}  # fmt: skip
    return Reach({**_describe(trace), **chosen}, columns)


def _empties(block: Any) -> Any:
    """Tell which kinds of TLBI empty entries of IOVAs: not those of IPAs, and not TLBI_SYNC."""
    return ~np.isin(block["prot"] & np.uint16(TLBI_KIND_MASK), (TLBI_IPAS2, TLBI_IPAS2_LAST, TLBI_SYNC))


def _feed(reuse: Reuse, keys: _Keys, block: Any, used: Any, drop: Any, classes: Any) -> None:
    page = keys.used(block[used], classes[used])
    if not drop.any():
        reuse.feed(np.zeros(page.size, np.uint8), page, page)
        return
    firsts, lasts = keys.dropped(block[drop])
    copies = len(firsts)
    row = np.concatenate([np.flatnonzero(used), np.repeat(np.flatnonzero(drop), copies)])
    order = np.argsort(row, kind="stable")
    kind = np.concatenate([np.full(page.size, USE, np.uint8), np.full(firsts.size, DROP, np.uint8)])
    first = np.concatenate([page, firsts.T.ravel()])
    last = np.concatenate([page, lasts.T.ravel()])
    reuse.feed(kind[order], first[order], last[order])


def _classes(leaves: Leaves, block: Any, fit: Any, done: int, path: Path) -> Any:
    classes = np.full(block.size, UNMAPPED, np.uint8)
    try:
        classes[fit] = leaves.feed(block[fit])
    except LeafError as error:
        where = f"{path}: event {done + int(np.flatnonzero(fit)[error.index])}"
        raise UsageError("an event cannot be carried out", where, error.expected) from None
    return classes


def _column(page: str, reuse: Reuse, faults: int) -> Column:
    curve = reuse.curve()
    if page in SIZES:
        return Column(page, curve, faults, curve.distinct << SIZES[page])
    if curve.weight > 1:
        return Column(page, curve, faults, None)
    sizes = np.bincount((reuse.pages() >> CLASS_SHIFT).astype(np.int64), minlength=3).tolist()
    total = sum(n << shift for n, shift in zip(sizes, LEAF_SHIFTS.tolist(), strict=True))
    return Column(page, curve, faults, total)


def _check(trace: Trace, pages: Sequence[str], space: int | None, stream: int | None) -> None:
    m = trace.manifest
    for page in pages:
        if page not in PAGES:
            raise unknown("page size", "--page", PAGES, page)
    if space is not None and space >= len(m.spaces):
        raise unknown("space", "--space", [str(s.space) for s in m.spaces], str(space))
    if stream is not None and stream not in {s.stream for s in m.streams}:
        raise unknown("stream", "--stream", [str(s.stream) for s in m.streams], str(stream))
    other = [s for s in m.spaces if not model_space(s).is_linux]
    if MAPPED in pages and other:
        found = f"space {other[0].space}: {other[0].format}, granule {other[0].granule}"
        expected = "spaces of aarch64-s1 with a granule of 4096 and no ttbr1, or --page 4K, 16K, 64K, 2M, 1G"
        raise UsageError("cannot tell the sizes of leaves", trace.path, expected, found)
    if len(m.spaces) > MOST_SPACES:
        raise UsageError("too many spaces", trace.path, f"at most {MOST_SPACES}", str(len(m.spaces)))


def _describe(trace: Trace) -> dict[str, Any]:
    from importlib.metadata import version  # noqa: PLC0415

    from smmucore.kernel import source_hash  # noqa: PLC0415

    m = trace.manifest
    return {"trace": m.name, "kind": m.kind, "sha256": trace.sha256, "smmubench": version("smmubench"),
            "kernels": source_hash(), "trace_manifest": m.model_dump(exclude_none=True)}  # fmt: skip
