#include <sys/mman.h>

#include "common.h"
#include "nvme.h"
#include "vfio.h"

enum { CC = 0x14, CSTS = 0x1c, AQA = 0x24, ASQ = 0x28, ACQ = 0x30, DOORBELLS = 0x1000 };
enum { ADMIN_CREATE_SQ = 1, ADMIN_CREATE_CQ = 5, IO_WRITE = 1, IO_READ = 2 };
enum { ADMIN, IO };

#define DEPTH 64
#define BLOCK 512
#define USE_SGL 0x40		 /* PSDT: the data pointer is an SGL descriptor */
#define SGL_LAST_SEGMENT (0x30ull << 56)
#define MEMORY 0x10000
/* Offsets from NVME_IOVA: two queue pairs, the SGL, and what pads a command to whole blocks. */
#define SQ(q) ((q) * 0x2000)
#define CQ(q) ((q) * 0x2000 + 0x1000)
#define LIST 0x4000
#define PADDING 0x8000

struct descriptor {
	uint64_t address;
	uint32_t length;
	uint8_t reserved[3], type;
};

static volatile uint8_t *registers;
static uint8_t *memory;
static struct descriptor *list;
static uint32_t bursts, bytes;
static uint16_t command_id;
static struct {
	uint32_t tail, head, phase;
} queues[2] = { { .phase = 1 }, { .phase = 1 } };

static volatile uint32_t *reg32(uint32_t offset)
{
	return (volatile uint32_t *)(registers + offset);
}

static int submit(int q, uint32_t op, uint32_t nsid, const uint64_t pointer[2], const uint32_t args[3])
{
	uint32_t *entry = (uint32_t *)(memory + SQ(q) + queues[q].tail * 64);

	memset(entry, 0, 64);
	entry[0] = op | (uint32_t)command_id++ << 16;
	entry[1] = nsid;
	memcpy(entry + 6, pointer, 16);
	memcpy(entry + 10, args, 12);
	queues[q].tail = (queues[q].tail + 1) % DEPTH;
	__sync_synchronize();
	*reg32(DOORBELLS + 8 * q) = queues[q].tail;

	volatile uint32_t *done = (volatile uint32_t *)(memory + CQ(q) + queues[q].head * 16);
	while ((done[3] >> 16 & 1) != queues[q].phase)
		;
	int status = done[3] >> 17;
	queues[q].head = (queues[q].head + 1) % DEPTH;
	if (!queues[q].head)
		queues[q].phase ^= 1;
	*reg32(DOORBELLS + 8 * q + 4) = queues[q].head;
	return status;
}

void nvme_start(volatile uint8_t *bar0)
{
	registers = bar0;
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	madvise(memory, MEMORY, MADV_NOHUGEPAGE);
	memset(memory, 0, MEMORY);
	list = (struct descriptor *)(memory + LIST);
	vfio_map(memory, NVME_IOVA, MEMORY, 1);

	*reg32(CC) = 0;
	while (*reg32(CSTS) & 1)
		;
	*reg32(AQA) = (DEPTH - 1) << 16 | (DEPTH - 1);
	*(volatile uint64_t *)(registers + ASQ) = NVME_IOVA + SQ(ADMIN);
	*(volatile uint64_t *)(registers + ACQ) = NVME_IOVA + CQ(ADMIN);
	*reg32(CC) = 4 << 20 | 6 << 16 | 1; /* 16-byte completions, 64-byte commands, enable */
	while (!(*reg32(CSTS) & 1))
		;
	uint32_t depth = IO | (DEPTH - 1) << 16, contiguous = 1;
	if (submit(ADMIN, ADMIN_CREATE_CQ, 0, (uint64_t[]){ NVME_IOVA + CQ(IO), 0 },
		   (uint32_t[]){ depth, contiguous, 0 }) ||
	    submit(ADMIN, ADMIN_CREATE_SQ, 0, (uint64_t[]){ NVME_IOVA + SQ(IO), 0 },
		   (uint32_t[]){ depth, contiguous | IO << 16, 0 })) {
		printf("nvme: no I/O queues\n");
		exit(1);
	}
}

void nvme_burst(uint64_t iova, uint32_t length)
{
	list[bursts++] = (struct descriptor){ .address = iova, .length = length };
	bytes += length;
}

void nvme_go(int device_writes)
{
	if (bytes % BLOCK)
		nvme_burst(NVME_IOVA + PADDING, BLOCK - bytes % BLOCK);
	int status = submit(IO, (device_writes ? IO_READ : IO_WRITE) | USE_SGL << 8, 1,
			    (uint64_t[]){ NVME_IOVA + LIST, SGL_LAST_SEGMENT | bursts * 16 },
			    (uint32_t[]){ 0, 0, bytes / BLOCK - 1 });
	if (status) {
		printf("nvme: status %#x\n", status);
		exit(1);
	}
	bursts = bytes = 0;
}

int nvme_list_at(uint64_t iova)
{
	return submit(IO, IO_WRITE | USE_SGL << 8, 1, (uint64_t[]){ iova, SGL_LAST_SEGMENT | 16 },
		      (uint32_t[]){ 0, 0, 0 });
}
