#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/vfio.h>

#include "common.h"
#include "vfio.h"

#define PCI_COMMAND 4
#define PCI_COMMAND_MEMORY_AND_MASTER 6

static int container = -1;

volatile uint8_t *vfio_open(const char *pci_address)
{
	char path[256], link[256];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", pci_address);
	ssize_t n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		die(path);
	link[n] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(link, '/') + 1);
	int group = open(path, O_RDWR);
	if (group < 0)
		die(path);
	int first = container < 0;
	if (first && (container = open("/dev/vfio/vfio", O_RDWR)) < 0)
		die("/dev/vfio/vfio");
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) < 0)
		die("VFIO_GROUP_SET_CONTAINER");
	if (first && ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0)
		die("VFIO_SET_IOMMU");
	int device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, pci_address);
	if (device < 0)
		die("VFIO_GROUP_GET_DEVICE_FD");

	struct vfio_region_info config = { .argsz = sizeof(config),
					   .index = VFIO_PCI_CONFIG_REGION_INDEX };
	uint16_t command;
	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &config) < 0 ||
	    pread(device, &command, 2, config.offset + PCI_COMMAND) != 2)
		die("PCI config space");
	command |= PCI_COMMAND_MEMORY_AND_MASTER;
	if (pwrite(device, &command, 2, config.offset + PCI_COMMAND) != 2)
		die("PCI config space");

	struct vfio_region_info bar = { .argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX };
	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &bar) < 0)
		die("BAR 0");
	void *registers = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, bar.offset);
	if (registers == MAP_FAILED)
		die("BAR 0");
	return registers;
}

void vfio_map(void *memory, uint64_t iova, size_t size, int writable)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | (writable ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = size,
	};

	if (ioctl(container, VFIO_IOMMU_MAP_DMA, &map) < 0)
		die("VFIO_IOMMU_MAP_DMA");
}

void vfio_unmap(uint64_t iova, size_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .iova = iova, .size = size };

	if (ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap) < 0 || unmap.size != size)
		die("VFIO_IOMMU_UNMAP_DMA");
}
