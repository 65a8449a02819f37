/* What the guest's programs share. */
#ifndef COMMON_H
#define COMMON_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline void die(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	exit(1);
}

/* A label in the kernel's trace, beside the MAP and UNMAP events, on their clock. */
static inline void mark(const char *format, ...)
{
	static int fd = -1;
	char text[96];
	va_list args;

	if (fd < 0 && (fd = open("/sys/kernel/tracing/trace_marker", O_WRONLY)) < 0)
		die("trace_marker");
	va_start(args, format);
	int n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (write(fd, text, n) != n)
		die("trace_marker");
}

/* xorshift32: the same numbers on every run. */
static inline uint32_t next_random(uint32_t *state)
{
	uint32_t x = *state;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

#endif
