"""Logs of lines: QEMU's, the kernel's trace events, the kernel's own with faults, and UVM's."""

from __future__ import annotations

from pathlib import Path

from bench.perf.samples.sample import LINES, PAGE, PAGES, Sample

#: From an IOVA down to its PA.
_GAP = 1 << 31

#: Of eight lines of a kernel's log: context faults, a GPU's fault, suppressed prints, another driver's line.
_KERNEL_LINES = 8
#: Of a hundred of UVM's: a batch's begin, its faults, its end, and a range that is destroyed.
_UVM_LINES, _UVM_FAULTS = 100, 97
#: Its arrays lie so far apart, and the GPU's timer steps so.
_ARRAY, _TICK = 2 << 20, 32


def _qemu(path: Path) -> None:
    """Write translations as QEMU's log backend does."""
    with path.open("w", encoding="ascii") as file:
        for n in range(LINES):
            iova, pa = 0x1000_0000 + n % PAGES * PAGE, 0x1_4000_0000 + n % PAGES * PAGE
            file.write(
                f"4000@1795424684.{n:06d}:smmuv3_translate_success smmuv3-iommu-memory-region-40-2 sid=0x28 "
                f"iova=0x{iova:x} translated=0x{pa:x} perm=0x3\n"
            )


def _ftrace(path: Path) -> None:
    """Write MAPs and UNMAPs as the kernel's own trace events have them."""
    with path.open("w", encoding="ascii") as file:
        file.write("# tracer: nop\n#\n")
        for n in range(LINES):
            iova = 0xF000_0000 + n // 2 % PAGES * PAGE
            end = iova + PAGE
            if n % 2 == 0:
                what = f"map: IOMMU: iova=0x{iova:016x} - 0x{end:016x} paddr=0x{iova - _GAP:016x} size={PAGE}"
            else:
                what = f"unmap: IOMMU: iova=0x{iova:016x} - 0x{end:016x} size={PAGE} unmapped_size={PAGE}"
            file.write(f"           gpu-100     [000] d....     2.{n:06d}: {what}\n")


def _dmesg(path: Path) -> None:
    """Write faults of an SMMU and of a GPU between others' lines, as Linux 5.2 and later print them."""
    with path.open("w", encoding="ascii") as file:
        for n in range(LINES):
            iova, kind = 0x1000_0000 + n % PAGES * PAGE, n % _KERNEL_LINES
            if kind == _KERNEL_LINES - 1:
                what = f"usb 1-1: new high-speed USB device number {n % 128} using xhci-hcd"
            elif kind == _KERNEL_LINES - 2:
                what = "arm_smmu_context_fault: 214 callbacks suppressed"
            elif kind == _KERNEL_LINES - 3:
                what = (
                    f"*** gpu fault: ttbr0=0000000101ad5000 iova={iova:016x} dir=WRITE type=TRANSLATION "
                    "source=CP (0,0,0,0)"
                )
            else:
                what = (
                    f"arm-smmu 2c00000.iommu: Unhandled context fault: fsr=0x402, iova=0x{iova:08x}, "
                    f"fsynr=0x{kind % 2 << 4 | 1:x}, cbfrsynra=0x{0x400 + kind:x}, cb={kind}"
                )
            file.write(f"[{12 + n // 1000:5d}.{n % 1000 * 1000:06d}] {what}\n")


def _uvm(path: Path) -> None:
    """Write batches of faults, each sorted by address, so that the GPU's times go to and fro."""
    with path.open("w", encoding="ascii") as file:
        for n in range(LINES):
            batch, k = divmod(n, _UVM_LINES)
            base = 0x7FB1_4400_0000 + batch % 16 * _ARRAY
            if k == 0:
                what = "s,"
            elif k <= _UVM_FAULTS:
                # 5 and 97 have no common factor: every time of a batch comes once.
                tick = 1_606_348_764_141_810_112 + (batch * _UVM_LINES + k * 5 % _UVM_FAULTS) * _TICK
                what = (
                    f"f,{base + k * PAGE:x},{tick},{k % 2},{1 + k % 2},2,1,0,0,0,127,{k % 4},{batch % 8},1,63"
                )
            elif k == _UVM_LINES - 2:
                what = "b,"
            else:
                what = f"uvm range destroy va_range->node.start, va_range->size: {base:#x}, {_ARRAY}"
            file.write(f"4,{n},{2_567_418_458_442 + n},-;{what}\n")


#: A line is a translation; the reader infers a MAP for each of the pages.
QEMU = Sample("sample.qemu.log", "line", LINES, LINES + PAGES, _qemu)
#: A line is a MAP or an UNMAP.
FTRACE = Sample("sample.ftrace.txt", "line", LINES, LINES, _ftrace)
#: All lines but another driver's are events.
DMESG = Sample("sample.dmesg.log", "line", LINES, LINES // _KERNEL_LINES * (_KERNEL_LINES - 1), _dmesg)
#: Faults are events, and ranges that are destroyed.
UVM = Sample("sample.uvm.log", "line", LINES, LINES // _UVM_LINES * (_UVM_FAULTS + 1), _uvm)
