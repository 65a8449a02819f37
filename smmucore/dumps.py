"""Crash dumps of the GPU's driver: one for the machine, kept for a while; what they put off."""

from __future__ import annotations

from smmucore.kernel import kernel


@kernel
def exists(client, now):
    """Tell whether a crash dump exists."""
    return client.dumped != 0 and now < client.kept_until


@kernel
def begin(client, now):
    """A context begins to capture one."""
    if client.capturing == 0:
        client.capture_since = now
    client.capturing += 1


@kernel
def finish(client, kept, now):
    """A context has captured one; tell whether none is being captured any more."""
    client.dumped = 1
    client.kept_until = now + kept
    client.capturing -= 1
    if client.capturing != 0:
        return False
    client.captured_ns += now - client.capture_since
    return True


@kernel
def time_in_captures(client, now):
    """Return for how long, up to now, dumps have been captured."""
    if client.capturing == 0:
        return client.captured_ns
    return client.captured_ns + now - client.capture_since


@kernel
def missed(host, intended, deadline, end):
    """Tell whether an access that ended (or is still there) at `end` has missed its deadline (K7).

    Where the GMU waits, a deadline that falls into a capture counts from its end, and so on; one that falls
    into a capture that still runs is not missed yet.
    """
    due = intended + deadline
    if end <= due or host.plan.gmu_waits == 0:
        return end > due
    for k in range(host.clock.captures):
        if host.captures[k, 0] <= due < host.captures[k, 1]:
            due = host.captures[k, 1] + deadline
    if host.client.capturing != 0 and due >= host.client.capture_since:
        return False
    return end > due
