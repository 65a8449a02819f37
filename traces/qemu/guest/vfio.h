/* Devices that a program drives itself, in one address space that the kernel maps for it (VFIO). */
#ifndef VFIO_H
#define VFIO_H

#include <stddef.h>
#include <stdint.h>

/* Put the device at this PCI address into the program's address space; its BAR 0. */
volatile uint8_t *vfio_open(const char *pci_address);

/* Let the devices use `size` bytes of this process at `iova`; read only, or read and write. */
void vfio_map(void *memory, uint64_t iova, size_t size, int writable);
void vfio_unmap(uint64_t iova, size_t size);

#endif
