"""Read the recorded answers: the committed ones in `tests/oracle`, and larger ones where there are some.

An optional folder of larger recordings may lie beside the repository: `SMMUBENCH_SHARED` names a folder that
has `oracle/` in it; without the variable a sibling of the repository called `shared` is looked for. A clone
that has neither runs on the committed recordings alone.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMMITTED = Path(__file__).resolve().parents[1] / "oracle"
REPOSITORY = Path(__file__).resolve().parents[2]

WALKS = ".oracle.csv.gz"


@dataclass(frozen=True)
class WalkRow:
    """One walk that QEMU's SMMUv3 logged. 4K granule, T0SZ 16, TTBR0."""

    seq: int
    sid: int
    asid: int
    ttb: int
    iova: int
    #: (address, descriptor) of each level read, from level 0.
    reads: tuple[tuple[int, int], ...]
    #: Output address, or None on a fault.
    pa: int | None
    #: "F_TRANSLATION", "F_PERMISSION" or None.
    fault: str | None
    #: Of a translation: the page size in bytes, and what the page allows (1 read, 2 write).
    size: int
    perm: int


@dataclass(frozen=True)
class MapRow:
    """One call of the program that drove the VFIO domain."""

    op: str
    tag: str
    iova: int
    pa: int | None
    length: int
    prot: str


@dataclass(frozen=True)
class ContextDescriptor:
    """What the SMMUv3 context descriptor of one stream said."""

    sid: int
    asid: int
    ttb0: int
    t0sz: int
    ips: int
    mair: int


@dataclass(frozen=True)
class Tables:
    """The page-table pages at a quiet point: 512 descriptors by page address."""

    pages: dict[int, tuple[int, ...]]
    contexts: tuple[ContextDescriptor, ...]

    def read64(self, pa: int) -> int | None:
        page = self.pages.get(pa & ~0xFFF)
        return None if page is None else page[(pa & 0xFFF) >> 3]


@dataclass(frozen=True)
class AdrenoWalk:
    """The one walk from a real Adreno."""

    iova: int
    root: int
    indices: tuple[int, ...]
    descriptors: tuple[int, ...]
    leaf: dict[str, int]


def shared_folder() -> Path | None:
    """Return the folder of larger recordings, or None."""
    named = os.environ.get("SMMUBENCH_SHARED")
    folder = (Path(named) if named else REPOSITORY.parent / "shared") / "oracle"
    return folder if folder.is_dir() else None


def walk_files(folder: Path | None) -> list[Path]:
    """Every recording of walks in `folder`, by name."""
    return sorted(folder.glob(f"*{WALKS}")) if folder is not None else []


def load_walks(path: Path) -> Iterator[WalkRow]:
    """Yield the rows of one recording of walks; columns are found by name, so trimmed files read alike."""
    with gzip.open(path, "rt", newline="") as text:
        rows = csv.reader(text)
        column = {name: position for position, name in enumerate(next(rows))}
        seq, sid, asid, ttb, iova = (column[name] for name in ("seq", "sid", "asid", "ttb", "iova"))
        n, result, size, perm = (column[name] for name in ("n", "result", "size", "perm"))
        levels = [(column[f"l{level}_ptep"], column[f"l{level}_pte"]) for level in range(4)]
        for row in rows:
            faulted = row[result].startswith("F_")
            yield WalkRow(
                seq=int(row[seq]),
                sid=int(row[sid], 16),
                asid=int(row[asid]),
                ttb=int(row[ttb], 16),
                iova=int(row[iova], 16),
                reads=tuple((int(row[ptep], 16), int(row[pte], 16)) for ptep, pte in levels[: int(row[n])]),
                pa=None if faulted else int(row[result], 16),
                fault=row[result] if faulted else None,
                size=int(row[size] or 0),
                perm=int(row[perm] or 0),
            )


def load_maps(path: Path) -> list[MapRow]:
    """Load the map and unmap calls, in order."""
    with gzip.open(path, "rt", newline="") as text:
        return [
            MapRow(
                op=row["op"],
                tag=row["tag"],
                iova=int(row["iova"], 16),
                pa=int(row["pa"], 16) if row["pa"] else None,
                length=int(row["len"], 16),
                prot=row["prot"],
            )
            for row in csv.DictReader(text)
        ]


def load_tables(folder: Path, name: str) -> Tables:
    """Load `name`.tables.bin.gz, records of (u64 address, 4096 bytes), and its json."""
    data = gzip.decompress((folder / f"{name}.tables.bin.gz").read_bytes())
    pages = {address: words for address, *words in struct.iter_unpack("<513Q", data)}
    described = json.loads((folder / f"{name}.tables.json").read_text())
    contexts = tuple(
        ContextDescriptor(
            sid=int(sid, 16),
            asid=context["asid"],
            ttb0=context["ttb0"],
            t0sz=context["t0sz"],
            ips=(32, 36, 40, 42, 44, 48, 52)[context["ips"]],
            mair=int(context["mair"], 16),
        )
        for sid, context in described["doms"].items()
    )
    return Tables({address: tuple(words) for address, words in pages.items()}, contexts)


def load_adreno_walk(folder: Path = COMMITTED) -> AdrenoWalk:
    """Load the walk of the real Adreno."""
    walk = json.loads((folder / "adreno.walk.json").read_text())
    leaf = walk["leaf"]
    return AdrenoWalk(
        iova=int(walk["iova"], 16),
        root=int(walk["root"], 16),
        indices=tuple(walk["indices"]),
        descriptors=tuple(int(descriptor, 16) for descriptor in walk["descriptors"]),
        leaf={**leaf, "pa": int(leaf["pa"], 16)},
    )
