"""A recording as it leaves the GPU's machine: one ``.npz`` file, read without a GPU or numba.

Its arrays: ``facts`` and ``allocations`` (JSON in UTF-8), ``sm``, ``since_ns`` (from its least), ``cycles``
(each one less the one before), ``allocation`` and ``offset`` (which one, and sectors into it), ``warp``,
``write``, ``lost``.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from traces.cuda.notes import SECTOR, Allocation, Notes
from traces.errors import TraceError

#: The form of the file that this code writes, and the newest that it reads.
FORM = 1
#: What a file must say of its run.
_FACTS = {
    "device": str, "driver": str, "simulated": int, "numba": str, "numba-cuda": str, "workload": str,
    "what": str, "seed": int, "sample": int, "begin_ns": int, "accesses_of_the_run": int, "plain_ns": int,
    "closed_ns": int, "counting_ns": int, "recording_ns": int, "checked": str, "recorded": str,
}  # fmt: skip
#: Most notes that a file may claim: more than a window holds.
_MOST = 1 << 31


@dataclass(frozen=True)
class Recording:
    """A run's notes, with what is known of the run.

    Attributes
    ----------
    notes : Notes
    allocations : list of Allocation
    facts : dict of str to str or int
        Device, versions, sizes, run times: see `traces.cuda.record.record`.
    sha256 : str
        Of the file that it was read from; empty before it has been saved.
    """

    notes: Notes
    allocations: list[Allocation]
    facts: dict[str, Any]
    sha256: str = ""


def save(path: Path, recording: Recording) -> None:
    """Write a recording, whole or not at all.

    Raises
    ------
    TraceError
        The file cannot be written, or a note lies outside every allocation.
    """
    notes = recording.notes
    order = sorted(range(len(recording.allocations)), key=lambda i: recording.allocations[i].address)
    starts = np.array([recording.allocations[i].address for i in order], np.int64) // SECTOR
    ends = np.array([-(-(a.address + a.nbytes) // SECTOR) for a in (recording.allocations[i] for i in order)])
    at = np.searchsorted(starts, notes.sector, side="right") - 1
    outside = (at < 0) | (notes.sector >= ends[np.maximum(at, 0)])
    if outside.any():
        first = int(notes.sector[np.argmax(outside)]) * SECTOR
        raise TraceError(
            "accesses outside every allocation", path, "none", f"{outside.sum()}, the first {first:#x}"
        )
    facts = json.dumps({"form": FORM, **recording.facts}).encode()
    allocations = json.dumps([asdict(part) for part in recording.allocations]).encode()
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            np.savez_compressed(
                file,
                facts=np.frombuffer(facts, np.uint8),
                allocations=np.frombuffer(allocations, np.uint8),
                sm=notes.sm,
                since_ns=_from_least(notes.since_ns),
                cycles=np.diff(notes.cycles, prepend=0),  # steps: they compress
                allocation=np.array(order, np.uint16)[at],
                offset=(notes.sector - starts[at]).astype(np.uint32),
                warp=notes.warp,
                write=notes.write,
                lost=notes.lost,
            )
        beside.replace(path)
    except OSError as error:
        raise TraceError("cannot be written", path, found=error.strerror or str(error)) from None
    finally:
        beside.unlink(missing_ok=True)


def _from_least(values: np.ndarray) -> np.ndarray:
    """Count from the least value, in as few bytes as that needs."""
    low = values - values.min() if values.size else values
    return low.astype(np.min_scalar_type(int(low.max()))) if low.size else low


def read(path: Path) -> Recording:
    """Read a recording.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    Recording

    Raises
    ------
    TraceError
        Not such a file, a newer form, damaged, or arrays that do not fit together.
    """
    try:
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        # From memory: of a damaged file, numpy leaves the handle that it opened to the garbage collector.
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if _small_enough(file, name, path)}
        facts = json.loads(arrays["facts"].tobytes())
        form = facts.pop("form")
        if not isinstance(form, int) or not 1 <= form <= FORM:
            raise TraceError("unknown form of recording", path, f"1 to {FORM}", repr(form))
        for name, kind in _FACTS.items():
            if not isinstance(facts[name], kind):
                raise TraceError("not a recording", path, f"{name}: {kind.__name__}", repr(facts[name]))
        allocations = [Allocation(**part) for part in json.loads(arrays["allocations"].tobytes())]
        return Recording(_notes(arrays, allocations, path), allocations, facts, digest)
    except OSError as error:
        raise TraceError("cannot be read", path, found=error.strerror or str(error)) from None
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        if isinstance(error, TraceError):
            raise
        raise TraceError("not a recording", path, "a file that capture cuda wrote", str(error)) from None


def _small_enough(file: Any, name: str, path: Path) -> bool:
    size = file.zip.getinfo(f"{name}.npy").file_size
    if size > _MOST:
        raise TraceError(
            "not a recording", path, f"arrays of at most {_MOST:,} bytes", f"{name} with {size:,}"
        )
    return True


def _notes(arrays: dict[str, np.ndarray], allocations: list[Allocation], path: Path) -> Notes:
    n = arrays["sm"].size
    names = ("sm", "since_ns", "cycles", "allocation", "offset", "warp", "write")
    sizes = {name: arrays[name].shape for name in names}
    if any(shape != (n,) for shape in sizes.values()):
        raise TraceError("not a recording", path, f"{n} values in each array", str(sizes))
    which = arrays["allocation"].astype(np.int64)
    offset = arrays["offset"].astype(np.int64)
    if n and which.max() >= len(allocations):
        raise TraceError(
            "not a recording", path, f"allocations 0 to {len(allocations) - 1}", str(which.max())
        )
    if n and int(arrays["sm"].max()) >= arrays["lost"].size:
        raise TraceError(
            "not a recording", path, f"SMs 0 to {arrays['lost'].size - 1}", str(arrays["sm"].max())
        )
    starts = np.array([part.address // SECTOR for part in allocations], np.int64)
    sizes_of = np.array([-(-part.nbytes // SECTOR) for part in allocations], np.int64)
    if (offset > sizes_of[which]).any():
        raise TraceError("not a recording", path, "offsets inside their allocations", "one beyond its end")
    return Notes(
        sm=arrays["sm"].astype(np.uint16),
        since_ns=arrays["since_ns"].astype(np.int64),
        cycles=np.cumsum(arrays["cycles"].astype(np.int64)),
        sector=starts[which] + offset,
        warp=arrays["warp"].astype(np.uint8),
        write=arrays["write"].astype(bool),
        lost=arrays["lost"].astype(np.int64),
    )
