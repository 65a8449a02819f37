"""Live progress of a sweep: cells, rate, failures and time left."""

from __future__ import annotations

import sys
import time
from typing import Any

from bench.progress import PATIENCE_S, say

#: The rate is that of the last so many seconds.
WINDOW_S = 30.0


class Live:
    """Tells how a sweep goes on: a bar on a terminal, plain lines elsewhere, nothing under two seconds."""

    def __init__(self) -> None:
        self._marks: list[tuple[float, int]] = []
        self._began = self._said = 0.0
        self._total = 0
        self._bar: Any = None
        self._task: Any = None

    def start(self, done: int, total: int, failed: int) -> None:
        """Begin, with `done` cells finished before."""
        self._began = self._said = time.monotonic()
        self._marks = [(self._began, done)]
        self._total = total
        if done:
            again = f", {failed} of them failed" if failed else ""
            say(f"{done:,} of {total:,} cells were finished before{again}")

    def tell(self, done: int, failed: int) -> None:
        """Show the state, if it has taken a while."""
        now = time.monotonic()
        if now - self._began < PATIENCE_S:
            return
        if now - self._marks[-1][0] >= 0.25:
            self._marks.append((now, done))
            while len(self._marks) > 2 and now - self._marks[1][0] > WINDOW_S:
                self._marks.pop(0)
        text = describe(done, self._total, failed, self.rate(now, done))
        if sys.stderr.isatty():
            self._draw(done, text)
        elif now - self._said >= PATIENCE_S or done == self._total:
            self._said = now
            say(text)

    def rate(self, now: float, done: int) -> float:
        """Return cells a second, over the window."""
        then, at = self._marks[0]
        return (done - at) / (now - then) if now > then else 0.0

    def stop(self) -> None:
        """Clear the bar."""
        if self._bar is not None:
            self._bar.stop()

    def _draw(self, done: int, text: str) -> None:
        if self._bar is None:
            from rich.console import Console  # noqa: PLC0415
            from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415

            console = Console(stderr=True)
            self._bar = Progress(
                BarColumn(), TextColumn("{task.description}"), console=console, transient=True
            )
            self._bar.start()
            self._task = self._bar.add_task(text, total=self._total)
        self._bar.update(self._task, completed=done, description=text)


def describe(done: int, total: int, failed: int, rate: float) -> str:
    """Return the state in words.

    Examples
    --------
    >>> describe(120, 400, 1, 23.9)
    '120 of 400 cells, 1 failed, 24 cells/s, 12 s left'
    """
    words = [f"{done:,} of {total:,} cells"]
    if failed:
        words.append(f"{failed:,} failed")
    if rate > 0:
        words.append(f"{rate:.3g} cells/s" if rate < 10 else f"{rate:,.0f} cells/s")
        if done < total:
            words.append(f"{duration((total - done) / rate)} left")
    return ", ".join(words)


def duration(seconds: float) -> str:
    """Write a time as people say it.

    Examples
    --------
    >>> duration(11.7), duration(750), duration(100_000)
    ('12 s', '12 min 30 s', '27 h 46 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
