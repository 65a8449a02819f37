/*
 * dma_tiles NVME EDU FRAMES WIDTH HEIGHT: a tile renderer's accesses, made by a device that is none.
 * The pattern is ours; the page tables are what Linux builds for it, with leaves of 4 KiB, 2 MiB and
 * 1 GiB.  Then accesses that must fault, each behind a mark.
 */
#include <sys/mman.h>

#include "common.h"
#include "nvme.h"
#include "vfio.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define PAGE (4 * KIB)

#define COLOUR 0x100000000ull	/* two colour buffers, 4 KiB leaves */
#define COLOUR_STEP 0x4001000ull
#define TEXTURES 0x200000000ull /* 2 MiB leaves, read only */
#define TEXTURES_SIZE (16 * MIB)
#define COMMANDS 0x300000000ull /* 4 KiB leaves, read only */
#define COMMANDS_SIZE (256 * KIB)
#define VERTICES (COMMANDS + 128 * KIB)
#define CONSTANTS 0x20000000ull /* 4 KiB leaves, read only */
#define CONSTANTS_SIZE (64 * KIB)
#define DATASET 0x4000000000ull /* one 1 GiB leaf */
#define SPARSE 0x80000000000ull /* single pages, far apart */
#define SPARSE_PAGES 256
#define UNMAPPED 0x66660000ull

#define TILE 32
#define TEXEL_BLOCKS 256 /* a texture is 256x256 blocks of 4x4 texels, 64 bytes each */

static uint32_t seed = 2026;
static volatile uint8_t *edu;

static void *memory(size_t size, int flags)
{
	void *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (m == MAP_FAILED)
		die("mmap");
	if (!flags)
		madvise(m, size, MADV_NOHUGEPAGE);
	return m;
}

/*
 * Make the kernel give each small page memory of its own (untouched, they would all be the one zero
 * page), in an order that leaves neighbours apart, as in a system that has run for long.
 */
static void touch(uint8_t *pages, uint64_t count)
{
	for (uint64_t stride = 0; stride < 7; stride++)
		for (uint64_t i = stride; i < count; i += 7)
			pages[i * PAGE] = 1;
}

/* Memory of small pages or, with flags, of huge ones, that the devices see at `iova`. */
static void *buffer(uint64_t iova, size_t size, int flags, int writable)
{
	void *m = memory(size, flags);

	if (!flags)
		touch(m, size / PAGE);
	vfio_map(m, iova, size, writable);
	return m;
}

static uint32_t morton(uint32_t x, uint32_t y)
{
	uint32_t code = 0;

	for (int bit = 0; bit < 8; bit++)
		code |= (x >> bit & 1) << (2 * bit) | (y >> bit & 1) << (2 * bit + 1);
	return code;
}

static void tile(uint64_t colour, int width, int tx, int ty, uint32_t command)
{
	uint64_t texture = TEXTURES + (tx / 8 + ty / 8) % 4 * 4 * MIB;

	nvme_burst(COMMANDS + command % (128 * KIB), 64);
	for (int i = 0; i < 3; i++)
		nvme_burst(VERTICES + next_random(&seed) % 4096 * 32, 32);
	/* Textures are sampled at three quarters of the screen's scale. */
	for (int y = 0; y < TILE; y += 4)
		for (int x = 0; x < TILE; x += 4) {
			uint32_t u = (tx * 24 + x) / 4 % TEXEL_BLOCKS, v = (ty * 24 + y) / 4 % TEXEL_BLOCKS;
			nvme_burst(texture + morton(u, v) * 64, 64);
		}
	nvme_go(0);
	for (int y = 0; y < TILE; y++)
		nvme_burst(colour + ((uint64_t)(ty * TILE + y) * width + tx * TILE) * 4, TILE * 4);
	nvme_go(1);
}

static void frame(int number, int width, int height)
{
	uint64_t colour = COLOUR + (number & 1) * COLOUR_STEP;
	uint32_t command = 0;

	mark("frame %d: tiles", number);
	for (int ty = 0; ty < height / TILE; ty++)
		for (int tx = 0; tx < width / TILE; tx++, command += 64)
			tile(colour, width, tx, ty, command);
	mark("frame %d: scan-out", number);
	for (int y = 0; y < height; y += 4) {
		for (uint64_t at = 0; at < 4ull * width * 4; at += 512)
			nvme_burst(colour + (uint64_t)y * width * 4 + at, 512);
		nvme_go(0);
	}
}

static void sparse_pages(void)
{
	uint8_t *pages = memory(SPARSE_PAGES * PAGE, 0);
	uint64_t iova[SPARSE_PAGES];

	touch(pages, SPARSE_PAGES);
	for (int i = 0; i < SPARSE_PAGES; i++) {
		/* 16 GiB apart and more: each page has tables of its own down to level 2. */
		iova[i] = SPARSE + (uint64_t)i * 16 * GIB + (next_random(&seed) & 0x3fffff) * PAGE;
		vfio_map(pages + i * PAGE, iova[i], PAGE, 1);
	}
	mark("sparse pages");
	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < SPARSE_PAGES; i++)
			nvme_burst(iova[i * 37 % SPARSE_PAGES] + next_random(&seed) % 60 * 64, 64);
		nvme_go(round & 1);
	}
}

static void one_gib_leaf(void)
{
	mark("1 GiB leaf");
	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < 200; i++)
			nvme_burst(DATASET + (next_random(&seed) % (GIB / 64)) * 64, 64);
		nvme_go(round & 1);
	}
}

static void edu_dma(int device_writes, uint64_t iova, uint64_t bytes)
{
	const uint64_t device_buffer = 0x40000;
	volatile uint64_t *source = (volatile uint64_t *)(edu + 0x80);
	volatile uint64_t *target = (volatile uint64_t *)(edu + 0x88);
	volatile uint64_t *count = (volatile uint64_t *)(edu + 0x90);
	volatile uint64_t *command = (volatile uint64_t *)(edu + 0x98);

	*source = device_writes ? device_buffer : iova;
	*target = device_writes ? iova : device_buffer;
	*count = bytes;
	*command = device_writes ? 3 : 1;
	while (*command & 1)
		usleep(5000);
}

static void faults(void *commands)
{
	mark("fault: edu reads an unmapped page");
	edu_dma(0, UNMAPPED, 16);
	mark("fault: edu writes an unmapped page");
	edu_dma(1, UNMAPPED + 0x11110040, 16);
	mark("fault: edu writes a read-only page");
	edu_dma(1, CONSTANTS + 0x1000, 16);
	mark("no fault: edu reads the read-only page");
	edu_dma(0, CONSTANTS + 0x1000, 16);
	mark("no fault: edu reads a page that is about to be unmapped");
	edu_dma(0, COMMANDS + 0x3000, 16);
	vfio_unmap(COMMANDS, COMMANDS_SIZE);
	mark("fault: edu reads that page after its unmapping");
	edu_dma(0, COMMANDS + 0x3000, 16);
	mark("map, read and unmap, 20 times");
	for (int round = 0; round < 20; round++) {
		vfio_map(commands, COMMANDS, COMMANDS_SIZE, 0);
		for (uint64_t at = 0; at < COMMANDS_SIZE; at += PAGE)
			nvme_burst(COMMANDS + at, 64);
		nvme_go(0);
		vfio_unmap(COMMANDS, COMMANDS_SIZE);
	}
	mark("fault: nvme fetches its SGL from an unmapped page");
	printf("dma_tiles: nvme status %#x\n", nvme_list_at(UNMAPPED));
}

int main(int argc, char **argv)
{
	if (argc != 6)
		return 2;
	int frames = atoi(argv[3]), width = atoi(argv[4]), height = atoi(argv[5]);

	volatile uint8_t *nvme = vfio_open(argv[1]);
	edu = vfio_open(argv[2]);
	mark("setup");
	nvme_start(nvme);
	for (int i = 0; i < 2; i++)
		buffer(COLOUR + i * COLOUR_STEP, (uint64_t)width * height * 4, 0, 1);
	buffer(TEXTURES, TEXTURES_SIZE, MAP_HUGETLB | 21 << MAP_HUGE_SHIFT, 0);
	buffer(DATASET, GIB, MAP_HUGETLB | 30 << MAP_HUGE_SHIFT, 1);
	void *commands = buffer(COMMANDS, COMMANDS_SIZE, 0, 0);
	buffer(CONSTANTS, CONSTANTS_SIZE, 0, 0);

	for (int i = 0; i < frames; i++)
		frame(i, width, height);
	sparse_pages();
	one_gib_leaf();
	faults(commands);
	return 0;
}
