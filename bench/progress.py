"""Progress on stderr: a bar on a terminal, plain lines elsewhere, nothing under two seconds."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

PATIENCE_S = 2.0

_quiet = False


def set_quiet(quiet: bool) -> None:
    """Say nothing from here on, or speak again."""
    global _quiet  # noqa: PLW0603
    _quiet = quiet


def say(text: str) -> None:
    """Print a line on stderr, unless it is to be quiet."""
    if not _quiet:
        print(f"smmubench: {text}", file=sys.stderr, flush=True)


def announce_compilation() -> None:
    """Say that the model is about to be compiled, if it is."""
    from smmucore import kernel  # noqa: PLC0415  (it imports numba)

    if not kernel.is_warm() and not kernel.jit_disabled():
        say(f"compiling the model once for this machine (about 20 s, kept in {kernel.CACHE_DIR})")


class Progress:
    """Tells how many of some things are done; a context manager.

    Call it with (done, all).
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._began = self._said = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        return self

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done, if it has taken a while."""
        now = time.monotonic()
        if _quiet or now - self._began < PATIENCE_S:
            return
        if sys.stderr.isatty():
            self._draw(done, total)
        elif now - self._said >= PATIENCE_S or done == total:
            self._said = now
            say(f"{done} of {total} {self.what}")

    def _draw(self, done: int, total: int) -> None:
        if self._bar is None:
            from rich.console import Console  # noqa: PLC0415
            from rich.progress import Progress as Bar  # noqa: PLC0415

            self._bar = Bar(console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self.what, total=total)
        self._bar.update(self._task, completed=done)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
