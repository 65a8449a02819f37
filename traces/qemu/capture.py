"""Records a trace, start to end: boot a guest, run a workload, join what guest and QEMU saw.

Run as ``python -m traces.qemu.capture virtio-gpu -o OUT``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from traces.errors import TraceError
from traces.qemu.assemble import assemble
from traces.qemu.boot import Boot, boot
from traces.qemu.check import check_events
from traces.qemu.guest_image import build_initrd
from traces.qemu.guest_log import read_guest_log
from traces.qemu.merge import merge
from traces.qemu.packages import cache_dir, fetch
from traces.qemu.provenance import make_manifest
from traces.qemu.qemu_log import read_qemu_log
from traces.qemu.tools import check_tools
from traces.qemu.workloads import WORKLOADS, Workload
from traces.writer import TraceWriter


def capture(
    workload: str,
    out: str | Path,
    workdir: str | Path | None = None,
    keep: bool = False,
    progress: Callable[[str], object] = print,
) -> Path:
    """Record a workload.

    Parameters
    ----------
    workload : str
        ``"virtio-gpu"`` or ``"dma-tiles"``.
    out : str or pathlib.Path
        The trace to write; its stem, if it is a good name, becomes the trace's name.
    workdir : str or pathlib.Path, optional
        For logs and images, about 500 MB; a temporary folder if not given.
    keep : bool
        Leave the logs in `workdir` (which must then be given).
    progress : callable of str
        Told what is going on.

    Returns
    -------
    pathlib.Path
        `out`.

    Raises
    ------
    TraceError
        A missing program (with the command that installs it), a failed download or boot, logs that do
        not fit together, or a trace whose tables do not explain its accesses.
    ValueError
        No such workload; `keep` without `workdir`.
    """
    if workload not in WORKLOADS:
        raise ValueError(f"no workload {workload!r}; there are {', '.join(WORKLOADS)}")
    if keep and workdir is None:
        raise ValueError("keep=True needs a workdir to keep things in")
    out = Path(out)
    check_tools()
    if workdir is not None:
        Path(workdir).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="smmubench-capture-", dir=workdir))
    try:
        files = fetch(cache_dir(), progress)
        initrd = build_initrd(WORKLOADS[workload], files, folder)
        record = boot(WORKLOADS[workload], files, initrd, folder, progress)
        return convert(WORKLOADS[workload], record, files.version, out, progress)
    finally:
        if keep:
            progress(f"logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def convert(
    workload: Workload, record: Boot, kernel: str, out: Path, progress: Callable[[str], object]
) -> Path:
    """Turn a finished run's logs into a trace, and check it.

    Parameters
    ----------
    workload : Workload
    record : Boot
    kernel : str
        The guest kernel's package and version.
    out : pathlib.Path
    progress : callable of str

    Returns
    -------
    pathlib.Path
        `out`.

    Raises
    ------
    TraceError
        As `capture`.
    """
    progress("reading the logs")
    ftrace = record.guest / "ftrace.txt"
    with record.log.open(errors="replace") as lines:
        log = read_qemu_log(lines, record.log)
    with ftrace.open(errors="replace") as lines:
        guest = read_guest_log(lines, ftrace)
    progress(f"joining {log.rows.size} rows of QEMU's log with {len(guest)} of the guest's")
    merged = merge(guest, log.rows)
    assembled = assemble(workload, guest, log.rows, merged)
    progress("walking every access")
    checked = check_events([assembled.events])
    if checked.wrong:
        raise TraceError(
            "the tables do not explain the accesses", record.log, "none wrong", checked.problems[0]
        )
    manifest = make_manifest(workload, record, kernel, out, log, merged, assembled, checked)
    with TraceWriter(out, manifest) as writer:
        writer.append(assembled.events)
    progress(
        f"{out}: {assembled.events.size} events, {checked.accesses} accesses, {out.stat().st_size} bytes"
    )
    return out


def main(argv: list[str] | None = None) -> int:
    """Record from the command line; see ``--help``.

    Returns
    -------
    int
        0, or 2 where the capture could not be made.
    """
    parser = argparse.ArgumentParser(description="Record a trace from a Linux guest behind QEMU's SMMUv3.")
    parser.add_argument("workload", choices=sorted(WORKLOADS))
    parser.add_argument("-o", "--out", type=Path, required=True, help="the trace to write (.parquet)")
    parser.add_argument("--workdir", type=Path, help="folder for logs and images")
    parser.add_argument("--keep", action="store_true", help="leave the logs in --workdir")
    args = parser.parse_args(argv)
    if args.keep and args.workdir is None:
        parser.error("--keep needs --workdir")
    try:
        capture(args.workload, args.out, args.workdir, args.keep, lambda text: print(text, file=sys.stderr))
    except TraceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
