"""What the kernel around the handler does: the ratelimit and the spurious-interrupt detector (K4, K5)."""

from __future__ import annotations

from smmucore.kernel import kernel

INTERVAL_NS = 5_000_000_000
BURST = 10
#: Call sites, each with a ratelimit of its own: the core's report, the GPU driver's line.
SITES = 2

SUPPRESSED = 0
PRINTED = 1
PRINTED_WITH_SUMMARY = 2  # one more line tells how many were suppressed before

DETECTOR_ENTRIES = 100_000
DETECTOR_UNHANDLED = 99_900
DETECTOR_GAP_NS = 100_000_000


@kernel
def ratelimit(site, now):
    """Ask the call site's ratelimit (10 in 5 s); return SUPPRESSED, PRINTED or .._WITH_SUMMARY.

    The window opens at the first call and rolls at the first call more than 5 s later; that call tells
    how many were missed.
    """
    answer = PRINTED
    if site.open == 0 or now - site.begun > INTERVAL_NS:
        if site.missed > 0:
            answer = PRINTED_WITH_SUMMARY
        site.open = 1
        site.begun = now
        site.printed = 0
        site.missed = 0
    if site.printed >= BURST:
        site.missed += 1
        return SUPPRESSED
    site.printed += 1
    return answer


@kernel
def note_interrupt(line, handled, now):
    """Feed the spurious-interrupt detector; it may disable the line (kernel/irq/spurious.c).

    The count of entries advances only while there are unhandled ones; an unhandled entry more
    than 100 ms after the one before restarts the unhandled count; at 100,000 entries, more than
    99,900 unhandled disables the line.
    """
    if not handled:
        if now - line.last_unhandled > DETECTOR_GAP_NS:
            line.unhandled = 1
        else:
            line.unhandled += 1
        line.last_unhandled = now
    if line.unhandled == 0:
        return
    line.entries += 1
    if line.entries < DETECTOR_ENTRIES:
        return
    line.entries = 0
    if line.unhandled > DETECTOR_UNHANDLED:
        line.disabled = 1
    line.unhandled = 0
