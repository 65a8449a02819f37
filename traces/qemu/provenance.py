"""Writes a capture's manifest: where it came from, how sure each column is, what the check found."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

from traces.manifest import Manifest, Space, Stream, Tool
from traces.qemu.assemble import Assembled
from traces.qemu.boot import Boot
from traces.qemu.check import CheckResult
from traces.qemu.merge import Merged
from traces.qemu.qemu_log import QemuLog
from traces.qemu.workloads import Workload


def make_manifest(
    workload: Workload,
    record: Boot,
    kernel: str,
    out: Path,
    log: QemuLog,
    merged: Merged,
    assembled: Assembled,
    checked: CheckResult,
) -> Manifest:
    """Write a capture's manifest.

    Parameters
    ----------
    workload : Workload
    record : Boot
    kernel : str
        The guest kernel's package and version.
    out : pathlib.Path
        Where the trace goes; its stem names it.
    log, merged, assembled, checked
        What each step of the conversion made.

    Returns
    -------
    Manifest
    """
    spaces = []
    for space, asid in enumerate(merged.asids):
        users = [d.name for d in workload.devices if assembled.spaces_of.get(d.stream) == space]
        spaces.append(Space(space=space, name=" and ".join(users), asid=asid, ias=48, granule=4096))
    streams = [
        Stream(
            stream=d.stream,
            name=d.name,
            space=assembled.spaces_of[d.stream],
            accesses=assembled.accesses[d.stream],
        )
        for d in workload.devices
        if d.stream in assembled.spaces_of
    ]
    name = out.stem if re.fullmatch(r"[a-z0-9][a-z0-9._-]*", out.stem) else f"qemu-{workload.name}"
    return Manifest(
        name=name,
        title=workload.title,
        kind="captured",
        source=f"smmubench: python -m traces.qemu.capture {workload.name}",
        device=workload.device_text,
        tool=Tool(name="QEMU", version=record.qemu),
        kernel=kernel,
        clock="host wall clock of the emulator, microseconds; ties keep the order of events",
        clock_is_real=False,
        streams=streams,
        spaces=spaces,
        marks=assembled.marks,
        licence="CC0-1.0",
        sha256=_sha256(record.log),
        recorded=datetime.now(UTC).strftime("%Y-%m-%d"),
        invalidation="explicit",
        direction=workload.direction,
        not_contained=list(workload.not_contained),
        notes=_notes(workload, record, log, merged, assembled, checked),
    )


def _notes(
    workload: Workload, record: Boot, log: QemuLog, merged: Merged, assembled: Assembled, checked: CheckResult
) -> list[str]:
    leaves = ", ".join(f"{n} on {size >> 10} KiB" for size, n in sorted(checked.leaves.items()))
    moved = "; ".join(
        f"{op}: {len(by)} moved, at most {max(by, default=0)} us" for op, by in merged.moves.items()
    )
    # The command without this machine's folders.
    command = re.sub(r"(?<![\w/])/[^\s,]*/", "", record.command)
    return [
        f"Check: walking tables built from the MAP and UNMAP events gives the captured address for "
        f"{checked.translated} and a fault for {checked.faulted} of {checked.accesses} accesses "
        f"({checked.wrong} wrong); accesses by table entry: {leaves}.",
        "MAP and UNMAP: kprobes on arm_lpae_map_pages and arm_lpae_unmap_pages, from before any driver was "
        "loaded, without overrun; prot is what the driver asked for (a write-only mapping is readable too "
        f"in the tables themselves). Guest and host clocks set by {merged.paired} of {merged.unmaps} UNMAPs "
        f"paired with their TLB invalidation, 1st to 99th percentile {merged.spread_us} us apart.",
        f"Causality: a MAP before the first access that uses it, an UNMAP after the last and before its "
        f"invalidation. {moved}.",
        workload.sizes + f" Guessed sizes: {assembled.guessed['size']}, "
        f"guessed directions: {assembled.guessed['direction']}.",
        f"Faults: {log.pieces_folded} records of QEMU's were further pieces of an access that it had cut "
        f"into words, and are folded into it. Left out: {assembled.foreign} invalidations of ASIDs and "
        f"{merged.foreign} MAPs and UNMAPs of tables that no access used, {log.bypassed} bypassing and "
        f"{log.aborted} aborted accesses.",
        "Repeats are real: QEMU polls rings, and translates a page again where a run of pages ends.",
        f"sha256 is QEMU's trace log's; the guest's ftrace text has {_sha256(record.guest / 'ftrace.txt')}.",
        f"QEMU command: {command}",
    ]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
