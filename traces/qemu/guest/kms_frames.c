/*
 * kms_frames FRAMES CHURN: what a simple compositor asks of a display driver.  Every frame: draw a few
 * tiles, flip, report four dirty rectangles, move the cursor, and make and destroy CHURN buffers.
 */
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <drm/drm.h>
#include <drm/drm_mode.h>

#include "common.h"

#define TILE 64

struct buffer {
	uint32_t handle, framebuffer, width, height, pitch;
	uint64_t size;
	uint32_t *pixels;
};

static int card;
static uint32_t seed = 20260101;

static void drm(unsigned long request, void *arg, const char *what)
{
	if (ioctl(card, request, arg) < 0)
		die(what);
}

static struct buffer create(uint32_t width, uint32_t height, int shown)
{
	struct drm_mode_create_dumb dumb = { .width = width, .height = height, .bpp = 32 };

	drm(DRM_IOCTL_MODE_CREATE_DUMB, &dumb, "CREATE_DUMB");
	struct drm_mode_map_dumb map = { .handle = dumb.handle };
	drm(DRM_IOCTL_MODE_MAP_DUMB, &map, "MAP_DUMB");
	struct buffer b = { .handle = dumb.handle, .width = width, .height = height,
			    .pitch = dumb.pitch, .size = dumb.size };
	b.pixels = mmap(NULL, b.size, PROT_READ | PROT_WRITE, MAP_SHARED, card, map.offset);
	if (b.pixels == MAP_FAILED)
		die("mmap");
	if (shown) {
		struct drm_mode_fb_cmd fb = { .width = width, .height = height, .pitch = dumb.pitch,
					      .bpp = 32, .depth = 24, .handle = dumb.handle };
		drm(DRM_IOCTL_MODE_ADDFB, &fb, "ADDFB");
		b.framebuffer = fb.fb_id;
	}
	return b;
}

static void destroy(struct buffer *b)
{
	struct drm_mode_destroy_dumb dumb = { .handle = b->handle };

	if (b->framebuffer)
		drm(DRM_IOCTL_MODE_RMFB, &b->framebuffer, "RMFB");
	munmap(b->pixels, b->size);
	drm(DRM_IOCTL_MODE_DESTROY_DUMB, &dumb, "DESTROY_DUMB");
}

static struct drm_clip_rect random_tile(const struct buffer *b)
{
	uint32_t x = next_random(&seed) % (b->width / TILE) * TILE;
	uint32_t y = next_random(&seed) % (b->height / TILE) * TILE;

	return (struct drm_clip_rect){ x, y, x + TILE, y + TILE };
}

static void fill(struct buffer *b, struct drm_clip_rect r, uint32_t colour)
{
	for (uint32_t y = r.y1; y < r.y2; y++)
		for (uint32_t x = r.x1; x < r.x2; x++)
			b->pixels[y * (b->pitch / 4) + x] = colour;
}

static void flip(struct buffer *b, uint32_t crtc)
{
	struct drm_mode_crtc_page_flip request = { .crtc_id = crtc, .fb_id = b->framebuffer,
						   .flags = DRM_MODE_PAGE_FLIP_EVENT };
	struct pollfd wait = { .fd = card, .events = POLLIN };
	char event[256];

	drm(DRM_IOCTL_MODE_PAGE_FLIP, &request, "PAGE_FLIP");
	if (poll(&wait, 1, 2000) != 1 || read(card, event, sizeof(event)) < 0)
		die("no flip event");
}

int main(int argc, char **argv)
{
	int frames = argc > 1 ? atoi(argv[1]) : 60, churn = argc > 2 ? atoi(argv[2]) : 2;
	uint32_t connectors[8], crtcs[8], encoders[8], framebuffers[8];

	if ((card = open("/dev/dri/card0", O_RDWR)) < 0)
		die("/dev/dri/card0");
	struct drm_mode_card_res resources = {
		.connector_id_ptr = (uintptr_t)connectors, .count_connectors = 8,
		.crtc_id_ptr = (uintptr_t)crtcs, .count_crtcs = 8,
		.encoder_id_ptr = (uintptr_t)encoders, .count_encoders = 8,
		.fb_id_ptr = (uintptr_t)framebuffers, .count_fbs = 8,
	};
	drm(DRM_IOCTL_MODE_GETRESOURCES, &resources, "GETRESOURCES");
	/* The first call probes the connector and counts its modes, the second fetches them. */
	struct drm_mode_get_connector connector = { .connector_id = connectors[0] };
	drm(DRM_IOCTL_MODE_GETCONNECTOR, &connector, "GETCONNECTOR");
	struct drm_mode_modeinfo *modes = calloc(connector.count_modes + 1, sizeof(*modes));
	connector.modes_ptr = (uintptr_t)modes;
	connector.encoders_ptr = (uintptr_t)encoders;
	connector.count_props = 0;
	drm(DRM_IOCTL_MODE_GETCONNECTOR, &connector, "GETCONNECTOR");
	struct drm_mode_modeinfo mode = modes[0];

	mark("setup");
	struct buffer screens[3];
	for (int i = 0; i < 3; i++)
		screens[i] = create(mode.hdisplay, mode.vdisplay, 1);
	struct drm_mode_crtc crtc = { .crtc_id = crtcs[0], .fb_id = screens[0].framebuffer,
				      .set_connectors_ptr = (uintptr_t)connectors,
				      .count_connectors = 1, .mode = mode, .mode_valid = 1 };
	drm(DRM_IOCTL_MODE_SETCRTC, &crtc, "SETCRTC");
	struct buffer pointer = create(64, 64, 0);
	memset(pointer.pixels, 0x80, pointer.size);
	struct drm_mode_cursor2 cursor = { .flags = DRM_MODE_CURSOR_BO | DRM_MODE_CURSOR_MOVE,
					   .crtc_id = crtcs[0], .width = 64, .height = 64,
					   .handle = pointer.handle };
	drm(DRM_IOCTL_MODE_CURSOR2, &cursor, "CURSOR2");

	for (int frame = 0; frame < frames; frame++) {
		struct buffer *screen = &screens[frame % 3];

		mark("frame %d", frame);
		for (int i = 0; i < 8; i++)
			fill(screen, random_tile(screen), next_random(&seed));
		flip(screen, crtcs[0]);
		struct drm_clip_rect clips[4];
		for (int i = 0; i < 4; i++)
			clips[i] = random_tile(screen);
		struct drm_mode_fb_dirty_cmd dirty = { .fb_id = screen->framebuffer,
						       .clips_ptr = (uintptr_t)clips,
						       .num_clips = 4 };
		drm(DRM_IOCTL_MODE_DIRTYFB, &dirty, "DIRTYFB");
		struct drm_mode_cursor2 move = { .flags = DRM_MODE_CURSOR_MOVE, .crtc_id = crtcs[0],
						 .x = next_random(&seed) % mode.hdisplay,
						 .y = next_random(&seed) % mode.vdisplay };
		drm(DRM_IOCTL_MODE_CURSOR2, &move, "CURSOR2");
		for (int i = 0; i < churn; i++) {
			uint32_t width = TILE << (next_random(&seed) % 5);
			uint32_t height = TILE << (next_random(&seed) % 4);
			struct buffer b = create(width, height, next_random(&seed) & 1);
			for (uint64_t at = 0; at < b.size; at += 4096)
				b.pixels[at / 4] = next_random(&seed);
			destroy(&b);
		}
	}
	mark("teardown");
	for (int i = 0; i < 3; i++)
		destroy(&screens[i]);
	destroy(&pointer);
	printf("kms_frames: %d frames of %ux%u\n", frames, mode.hdisplay, mode.vdisplay);
	return 0;
}
