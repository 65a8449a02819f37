"""Crash dumps of the plain-Python fault model, and the clocks that stop while one is being captured."""

from __future__ import annotations


class Dumps:
    """One dump at most for the machine, kept for a while; captures that overlap are one."""

    def __init__(self, kept: int) -> None:
        self.kept = kept
        self.gone_at = 0  #: when the last dump is read and gone
        self.capturing = 0  #: how many capture at this moment
        self.since = 0
        self.past: list[tuple[int, int]] = []

    def exists(self, now: int) -> bool:
        return now < self.gone_at

    def begin(self, now: int) -> None:
        if not self.capturing:
            self.since = now
        self.capturing += 1

    def end(self, now: int) -> None:
        self.capturing -= 1
        if not self.capturing:
            self.past.append((self.since, now))
        self.gone_at = now + self.kept

    def within(self, since: int, now: int) -> int:
        """How much of since..now, which is at hand, fell into captures."""
        captures = [*self.past, (self.since, now)] if self.capturing else self.past
        return sum(max(0, min(end, now) - max(start, since)) for start, end in captures)

    def missed(self, intended: int, wait: int, ended_at: int) -> bool:
        """Whether a deadline that begins anew behind each capture it falls into was missed, as known now."""
        due = intended + wait
        for start, end in self.past:
            if start <= due < end:
                due = end + wait
        if self.capturing and self.since <= due:
            return False
        return ended_at > due
