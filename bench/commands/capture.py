"""`smmubench capture`: record a trace on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.errors import UsageError, unknown
from bench.output import print_json
from bench.progress import say
from traces.cuda.wanted import Wanted
from traces.cuda.workloads import NAMES

if TYPE_CHECKING:
    from traces.cuda.recording import Recording

#: `traces.qemu.workloads` knows them; it is loaded only when one is recorded.
QEMU_WORKLOADS = ("virtio-gpu", "dma-tiles")


@click.group()
def capture() -> None:
    """Record a trace on this machine."""


@capture.command()
@click.argument("workload")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The trace to write.")
@click.option("--workdir", type=click.Path(path_type=Path), help="Folder for logs and images.")
@click.option("--keep", is_flag=True, help="Leave the logs in --workdir.")
def qemu(workload: str, out: Path, workdir: Path | None, keep: bool) -> None:
    """Record a Linux guest behind QEMU's SMMUv3: virtio-gpu or dma-tiles; about half a minute."""
    if workload not in QEMU_WORKLOADS:
        raise unknown("workload", "capture qemu", QEMU_WORKLOADS, workload)
    if keep and workdir is None:
        raise click.UsageError("--keep needs --workdir")
    from traces.qemu.capture import capture as record  # noqa: PLC0415

    path = record(workload, out, workdir, keep, say)
    _next(path)


@capture.command()
@click.argument("workload", required=False)
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The trace to write.")
@click.option(
    "--from",
    "recording",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Convert this recording instead of making one.",
)
@click.option("--raw", type=click.Path(path_type=Path), help="Keep the recording too, as this file (.npz).")
@click.option(
    "--window",
    type=click.IntRange(1, 1 << 28),
    default=1_000_000,
    show_default=True,
    help="Accesses to keep, at most.",
)
@click.option(
    "--at",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.5,
    show_default=True,
    help="Where in the run the window begins.",
)
@click.option(
    "--sample",
    type=click.IntRange(1, 1 << 20),
    default=1,
    show_default=True,
    help="One thread block in how many takes notes: a longer window of fewer accesses.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, (1 << 31) - 1),
    default=1,
    show_default=True,
    help="Of the workload's data.",
)
@click.option("--size", "sizes", multiple=True, metavar="NAME=N", help="Change one of the workload's sizes.")
@click.option(
    "--iova-bits",
    type=click.Choice(["39", "48"]),
    default="48",
    show_default=True,
    help="The IOVA space that the addresses are moved to.",
)
@click.option(
    "--backing",
    type=click.Choice(["2M", "64K", "4K"]),
    default="2M",
    show_default=True,
    help="The pieces that memory is mapped in; a CUDA driver uses 2M.",
)
@click.option("--by-sm", is_flag=True, help="A stream for each SM, instead of one for the GPU.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout.")
def cuda(
    workload: str | None, out: Path, recording: Path | None, raw: Path | None, window: int, at: float,
    sample: int, seed: int, sizes: tuple[str, ...], iova_bits: str, backing: str, by_sm: bool, as_json: bool,
) -> None:  # fmt: skip
    """Record a workload on an NVIDIA GPU, whose kernels note their own loads and stores.

    WORKLOAD is gemm, spmv, bfs, hash-join, paged-attention, raster or radix-sort. Needs numba-cuda (`pip
    install smmubench[cuda]`) and some GB of the GPU's memory; each result is checked.

    On a bare machine, `python -m traces.cuda.record WORKLOAD -o R.npz` in this project's folder needs numpy
    and numba-cuda only; `--from R.npz` then makes the trace anywhere.
    """
    from traces.cuda.convert import Layout, convert  # noqa: PLC0415

    if workload is not None and workload not in NAMES:
        raise unknown("workload", "capture cuda", NAMES, workload)
    if (workload is None) == (recording is None):
        raise click.UsageError("give a WORKLOAD to record, or --from FILE")
    if recording is not None:
        from traces.cuda.recording import read  # noqa: PLC0415

        if raw is not None:
            raise click.UsageError("--raw says nothing with --from: the recording is there")
        made = read(recording)
    else:
        made = _record(str(workload), raw, Wanted(window, at, sample, seed, _sizes(sizes)))
    manifest = convert(made, out, Layout(int(iova_bits), backing, window, by_sm))
    if as_json:
        print_json({"trace": str(out), **manifest.model_dump(exclude_none=True)})
        return
    _next(out)


def _record(workload: str, raw: Path | None, wanted: Wanted) -> Recording:
    """Run the workload on this machine's GPU, and keep the recording if asked to."""
    from traces.cuda.record import record  # noqa: PLC0415
    from traces.cuda.recording import read, save  # noqa: PLC0415
    from traces.cuda.workloads.job import WrongResultError  # noqa: PLC0415

    try:
        made = record(workload, wanted, say)
    except WrongResultError as error:
        raise click.ClickException(f"{error}: nothing is kept") from None
    if raw is None:
        return made
    save(raw, made)
    return read(raw)


def _sizes(texts: tuple[str, ...]) -> dict[str, int]:
    sizes = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not value.isdecimal() or not 0 < int(value) < 1 << 31 or name in sizes:
            raise UsageError(
                "not a size", "--size", "NAME=N, once for a name, N from 1 to 2^31 - 1", repr(text)
            )
        sizes[name] = int(value)
    return sizes


def _next(path: Path) -> None:
    click.echo(f"saved {path}\nnext:\n  smmubench traces info {path}\n  smmubench compare {path}")
