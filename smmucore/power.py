"""Runtime PM of the SMMU: when it sleeps, and who keeps it awake."""

from __future__ import annotations

from smmucore.kernel import kernel


@kernel
def is_asleep(plan, clock, now):
    """Tell whether the SMMU sleeps: no user, nothing queued or open, and idle for long enough.

    While it sleeps its line is down, and an access of a register is a bus error.
    """
    if plan.sleeps_after == 0 or clock.users != 0 or clock.queued != 0 or clock.open != 0:
        return False
    return now >= max(clock.last_end, clock.last_put) + plan.sleeps_after


@kernel
def get(ctx, clock):
    """A pass becomes a user."""
    if ctx.user == 0:
        ctx.user = 1
        clock.users += 1


@kernel
def put(ctx, clock, now):
    """A pass is a user no more."""
    if ctx.user != 0:
        ctx.user = 0
        clock.users -= 1
        clock.last_put = now
