"""The two workloads that a guest can run."""

from __future__ import annotations

from dataclasses import dataclass

from traces.events import READ, WRITE


@dataclass(frozen=True)
class Area:
    """IOVAs whose accesses are alike, because the workload's own program laid them out.

    Attributes
    ----------
    begin, end : int
    op : int
        ``READ`` or ``WRITE``.
    size : int
        Bytes of an access.
    """

    begin: int
    end: int
    op: int
    size: int


@dataclass(frozen=True)
class Device:
    """A device behind the guest's SMMU.

    Attributes
    ----------
    name : str
    arguments : tuple of str
        For QEMU, without the address.
    slot : int
        PCI slot on bus 0.
    rings : tuple of int
        Entries of its virtqueues, in the order the driver sets them up.
    areas : tuple of Area
    """

    name: str
    arguments: tuple[str, ...]
    slot: int
    rings: tuple[int, ...] = ()
    areas: tuple[Area, ...] = ()

    @property
    def stream(self) -> int:
        """Stream ID: the PCI requester ID (bus 0, this slot, function 0)."""
        return self.slot << 3


@dataclass(frozen=True)
class Workload:
    """What to boot, what to run in it, and what to say about it.

    Attributes
    ----------
    name, title, device_text : str
    script : str
        The guest's shell script, in ``guest/``.
    programs : dict of str to tuple of str
        Program -> its C sources in ``guest/``.
    modules : tuple of str
        Kernel modules, besides those they depend on.
    devices : tuple of Device
    memory : str
        QEMU's ``-m``.
    kernel_arguments : str
    direction, sizes : str
        How an access's direction and length are known.
    not_contained : tuple of str
    """

    name: str
    title: str
    device_text: str
    script: str
    programs: dict[str, tuple[str, ...]]
    modules: tuple[str, ...]
    devices: tuple[Device, ...]
    memory: str
    kernel_arguments: str
    direction: str
    sizes: str
    not_contained: tuple[str, ...]


_EVERY_CAPTURE = (
    "Durations: times are an emulator's, on its host's clock; order and content are real, rates are not.",
    "Stalled faults: QEMU's SMMUv3 cannot stall; it terminates every access that faults.",
)

VIRTIO_GPU = Workload(
    name="virtio-gpu",
    title="virtio-gpu: 320 frames of flips, dirty rectangles, cursor moves and buffer churn",
    device_text="QEMU virtio-gpu-pci (2D) and virtio-blk-pci behind QEMU's emulated SMMUv3",
    script="virtio-gpu.sh",
    programs={"kms_frames": ("kms_frames.c",)},
    modules=("virtio_mmio", "virtio_blk", "virtio_pci", "virtio-gpu"),
    devices=(
        Device(
            "virtio-gpu", ("-device", "virtio-gpu-pci,iommu_platform=on,disable-legacy=on"), 2, rings=(64, 16)
        ),
        Device(
            "virtio-blk",
            ("-device", "virtio-blk-pci,drive=disk,iommu_platform=on,disable-legacy=on,num-queues=2"),
            3,
            rings=(256, 256),
        ),
    ),
    memory="1G",
    kernel_arguments="",
    direction=(
        "Virtqueues: exact, from the split ring's layout. Doorbells: writes. Buffers mapped for one "
        "direction: from the mapping. Buffers attached to virtio-gpu: reads, as QEMU only reads them."
    ),
    sizes=(
        "Sizes: virtqueue fields and doorbells exact (2 to 16 bytes); a page of an attached buffer 4096, as "
        "QEMU maps all of it; any other access 64 (or to its page's end): its length is not logged."
    ),
    not_contained=(
        "Rendering: virtio-gpu 2D has no render engine. QEMU translates a buffer's pages once, when the "
        "buffer is attached, not when it is shown; there are no texture, vertex or tile accesses.",
        "Faults: no access of this capture faults.",
        "Lengths of the accesses that QEMU does not log (see notes).",
        *_EVERY_CAPTURE,
    ),
)

#: Where guest/nvme.c has its queues: submission and completion, admin and I/O.
_NVME_QUEUES = tuple(
    Area(0x1000_0000 + page * 0x1000, 0x1000_0000 + (page + 1) * 0x1000, op, size)
    for page, (op, size) in enumerate([(READ, 64), (WRITE, 16)] * 2)
)

DMA_TILES = Workload(
    name="dma-tiles",
    title="A tile renderer's access pattern on real page tables (4K, 2M, 1G leaves), and faults",
    device_text="QEMU NVMe controller as a DMA master, and QEMU edu, behind QEMU's emulated SMMUv3",
    script="dma-tiles.sh",
    programs={"dma_tiles": ("dma_tiles.c", "vfio.c", "nvme.c")},
    modules=("virtio_mmio", "virtio_blk", "vfio-pci", "vfio_iommu_type1"),
    devices=(
        # Its accesses that succeed are reads of 16 bytes: guest/dma_tiles.c asks for no others.
        Device("edu", ("-device", "edu,dma_mask=0xffffffffffffffff"), 4, areas=(Area(0, 1 << 48, READ, 16),)),
        Device("nvme", ("-device", "nvme,drive=null,serial=smmubench"), 5, areas=_NVME_QUEUES),
    ),
    memory="4G",
    kernel_arguments="hugepagesz=1G hugepages=1 hugepagesz=2M hugepages=16",
    direction=(
        "Exact: the transfer's direction as QEMU logs it for NVMe data, the refused access as QEMU logs it "
        "for faults, and for queues, scatter-gather lists and edu what the guest's program set up."
    ),
    sizes="Sizes: exact, from the scatter-gather lists, the refused accesses, and the guest's program.",
    not_contained=(
        "A GPU: the tile pattern is ours, issued by an NVMe controller from scatter-gather lists. The "
        "page tables, their changes and the faults are what Linux and the SMMU made of it.",
        "Faults of data bursts: the faults are edu's DMAs and one fetch of a scatter-gather list.",
        *_EVERY_CAPTURE,
    ),
)

WORKLOADS = {workload.name: workload for workload in (VIRTIO_GPU, DMA_TILES)}
