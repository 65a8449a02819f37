"""The capture tool itself, as far as it goes without booting anything."""

from pathlib import Path

import numpy as np
import pytest

from traces import catalogue
from traces.errors import TraceError
from traces.events import MARK, PA_UNKNOWN, WRITE
from traces.qemu import capture, tools
from traces.qemu.boot import command_line
from traces.qemu.check import check_events
from traces.qemu.guest_image import GUEST, module_order
from traces.qemu.packages import GuestFiles
from traces.qemu.workloads import WORKLOADS
from traces.reader import open_trace


def test_what_is_missing_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(tools, "PROGRAMS", {"no-such-qemu": "qemu-system-arm", "no-such-cpio": "cpio"})
    monkeypatch.setattr(tools, "HEADERS", {"/no/such/header.h": "libc6-dev-arm64-cross"})
    with pytest.raises(TraceError) as caught:
        tools.check_tools()
    assert "apt-get install --no-install-recommends cpio libc6-dev-arm64-cross qemu-system-arm" in str(
        caught.value
    )


def test_a_program_that_fails_is_quoted_in_one_line():
    with pytest.raises(TraceError, match="status 3") as caught:
        tools.run(["sh", "-c", "echo first >&2; echo the reason >&2; exit 3"])
    assert caught.value.found == "the reason"
    assert "\n" not in str(caught.value)


def test_an_unknown_workload_is_refused_before_anything_is_booted(tmp_path):
    with pytest.raises(ValueError, match="virtio-gpu, dma-tiles"):
        capture.capture("doom", tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="workdir"):
        capture.capture("virtio-gpu", tmp_path / "x.parquet", keep=True)


def test_the_command_ends_with_status_2_and_one_line_where_a_capture_cannot_be_made(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(tools, "PROGRAMS", {"no-such-qemu": "qemu-system-arm"})
    assert capture.main(["virtio-gpu", "-o", str(tmp_path / "x.parquet")]) == 2
    assert capsys.readouterr().err.startswith("error: this machine: ")
    assert list(tmp_path.iterdir()) == []


def test_modules_come_after_what_they_need_and_a_missing_one_is_named():
    dep = "k/virtio-gpu.ko: k/virtio.ko k/drm.ko\nk/drm.ko:\nk/virtio.ko:\nk/vfio-pci.ko.xz: k/drm.ko\n"
    assert module_order(dep, ("virtio_gpu", "vfio-pci")) == [
        "k/drm.ko",
        "k/virtio.ko",
        "k/virtio-gpu.ko",
        "k/vfio-pci.ko.xz",
    ]
    with pytest.raises(TraceError, match="nvme"):
        module_order(dep, ("nvme",))


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_every_workload_has_its_sources_and_puts_its_devices_at_their_streams(workload, tmp_path):
    sources = [source for program in workload.programs.values() for source in program]
    for name in ["init", workload.script, *sources]:
        assert (GUEST / name).is_file()
    files = GuestFiles(Path("vmlinuz"), Path("modules"), Path("busybox"), "6.1")
    line = " ".join(command_line(workload, files, tmp_path / "initrd.gz", tmp_path))
    for device in workload.devices:
        assert f"addr={device.stream >> 3:02x}.0" in line
    assert "iommu=smmuv3" in line


@pytest.mark.parametrize("name", ["qemu-dma-tiles", "qemu-virtio-gpu"])
def test_the_tables_of_every_capture_from_qemu_explain_all_its_accesses(name):
    result = check_events(open_trace(catalogue.find(name)).blocks())
    assert result.problems == []
    assert result.translated + result.faulted == result.accesses > 100_000


def test_the_bundled_dma_capture_has_every_leaf_size_and_marks_every_fault():
    trace = open_trace(catalogue.find("qemu-dma-tiles"))
    events = trace.read()
    leaves = check_events([events]).leaves
    assert set(leaves) == {1 << 12, 1 << 21, 1 << 30}
    marks = np.flatnonzero(events["op"] == MARK)
    faults = np.flatnonzero((events["op"] <= WRITE) & (events["pa"] == PA_UNKNOWN))
    assert len(faults) == 5
    for row in faults.tolist():
        last = marks[np.searchsorted(marks, row) - 1]
        assert trace.manifest.marks[int(events["iova"][last])].startswith("fault: ")
