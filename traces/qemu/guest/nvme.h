/*
 * An NVMe controller as a programmable DMA master: each descriptor of a scatter-gather list (SGL) is
 * one burst, of any length, at any IOVA.
 */
#ifndef NVME_H
#define NVME_H

#include <stdint.h>

/* Where the driver's own structures lie in the device's address space. */
#define NVME_IOVA 0x10000000ull

/* Bring up the controller behind these registers. */
void nvme_start(volatile uint8_t *bar0);

/* Add a burst to the next command. */
void nvme_burst(uint64_t iova, uint32_t bytes);

/* Do the bursts added so far: the device reads memory, or writes it. */
void nvme_go(int device_writes);

/* A read whose SGL itself lies at `iova`; the NVMe status. */
int nvme_list_at(uint64_t iova);

#endif
