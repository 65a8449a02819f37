"""Boots the guest, and takes from it what it recorded."""

from __future__ import annotations

import subprocess
import tarfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from traces.errors import TraceError
from traces.qemu.packages import GuestFiles
from traces.qemu.tools import run
from traces.qemu.workloads import Workload

#: The QEMU trace events that a capture is made of.
EVENTS = (
    "smmu_iotlb_lookup_hit",
    "smmu_iotlb_lookup_miss",
    "smmuv3_translate_success",
    "smmuv3_translate_abort",
    "smmuv3_translate_bypass",
    "smmuv3_translate_disable",
    "smmuv3_record_event",
    "smmuv3_cmdq_opcode",
    "smmuv3_cmdq_tlbi_nh",
    "smmuv3_cmdq_tlbi_nh_asid",
    "smmuv3_s1_range_inval",
    "pci_nvme_map_addr",
    "dma_blk_io",
    "virtio_gpu_cmd_res_back_attach",
)

#: A guest that has said nothing for so long has hung, seconds.
SILENCE = 180.0

#: Bytes of the disk that the guest leaves its records on.
_OUT_SIZE = 256 << 20


@dataclass(frozen=True)
class Boot:
    """What a run left.

    Attributes
    ----------
    log : pathlib.Path
        QEMU's trace log.
    guest : pathlib.Path
        The folder with the guest's own records (``ftrace.txt``, ``dmesg.txt`` ...).
    qemu : str
        QEMU's version.
    command : str
    """

    log: Path
    guest: Path
    qemu: str
    command: str


def command_line(workload: Workload, files: GuestFiles, initrd: Path, workdir: Path) -> list[str]:
    """QEMU's command line for a workload.

    Returns
    -------
    list of str
    """
    append = "console=ttyAMA0 iommu.passthrough=0 iommu.strict=1 panic=-1 " + workload.kernel_arguments
    command = [
        "qemu-system-aarch64",
        "-M",
        "virt,iommu=smmuv3,gic-version=3",
        "-cpu",
        "cortex-a72",
        "-smp",
        "2",
    ]
    command += ["-m", workload.memory, "-accel", "tcg", "-nodefaults", "-no-user-config", "-display", "none"]
    command += ["-serial", "stdio", "-no-reboot", "-kernel", str(files.kernel), "-initrd", str(initrd)]
    command += ["-append", append.strip()]
    # On virtio-mmio, which the SMMU does not see: the guest's records leave no accesses of their own.
    command += ["-drive", f"if=none,id=out,file={workdir / 'out.img'},format=raw,cache=unsafe"]
    command += ["-device", "virtio-blk-device,drive=out"]
    command += ["-drive", f"if=none,id=disk,file={workdir / 'disk.img'},format=raw,cache=unsafe"]
    command += ["-blockdev", "driver=null-co,node-name=null,size=1073741824,read-zeroes=off"]
    for device in workload.devices:
        option, model = device.arguments
        command += [option, f"{model},addr={device.slot:02x}.0"]
    command += [
        "-trace",
        f"events={workdir / 'events.txt'}",
        "-d",
        "guest_errors",
        "-D",
        str(workdir / "qemu.log"),
    ]
    return [*command, "-msg", "timestamp=on"]


def boot(
    workload: Workload, files: GuestFiles, initrd: Path, workdir: Path, progress: Callable[[str], object]
) -> Boot:
    """Run the workload to its end.

    Parameters
    ----------
    workload : Workload
    files : GuestFiles
    initrd : pathlib.Path
    workdir : pathlib.Path
        Takes the log (a few tens of MB), the console and the guest's records.
    progress : callable of str

    Returns
    -------
    Boot

    Raises
    ------
    TraceError
        QEMU failed, the guest reported a failure, or it fell silent.
    """
    (workdir / "events.txt").write_text("\n".join(EVENTS) + "\n")
    for name, size in (("out.img", _OUT_SIZE), ("disk.img", 64 << 20)):
        with (workdir / name).open("wb") as image:
            image.truncate(size)
    command = command_line(workload, files, initrd, workdir)
    progress(f"booting {files.version} and running {workload.name}")
    console = workdir / "console.txt"
    lines = _run_guest(command, console, progress)
    if "@@DONE" not in lines:
        raise TraceError("the guest did not finish", console, "@@DONE", lines[-1] if lines else "nothing")
    guest = workdir / "guest"
    guest.mkdir(exist_ok=True)
    with tarfile.open(workdir / "out.img", "r:") as tar:
        for member in tar:
            # Plain files by their own names: whatever the guest's archive says of folders and rights.
            if member.isfile() and (content := tar.extractfile(member)) is not None:
                (guest / Path(member.name).name).write_bytes(content.read())
    (workdir / "out.img").unlink()
    qemu = run(["qemu-system-aarch64", "--version"]).splitlines()[0].removeprefix("QEMU emulator version ")
    return Boot(workdir / "qemu.log", guest, qemu, " ".join(command))


def _run_guest(command: list[str], console: Path, progress: Callable[[str], object]) -> list[str]:
    lines: list[str] = []
    with console.open("w") as log, subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        encoding="utf-8", errors="replace",
    ) as qemu:  # fmt: skip
        assert qemu.stdout is not None
        watchdog = threading.Timer(SILENCE, qemu.kill)
        watchdog.start()
        try:
            for line in qemu.stdout:
                # A new timer for each line: only silence ends a run.
                watchdog.cancel()
                watchdog = threading.Timer(SILENCE, qemu.kill)
                watchdog.start()
                log.write(line)
                lines.append(line.strip())
                if "@@FAIL" in line:
                    raise TraceError("the guest failed", console, found=line.split("@@FAIL", 1)[1])
                if "@@RUN" in line:
                    progress("the guest runs " + line.split("@@RUN", 1)[1].strip())
        finally:
            watchdog.cancel()
            qemu.kill()
    return lines
