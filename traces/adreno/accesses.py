"""The three kinds of accesses that can be made of a capture of an Adreno."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from traces.adreno.buffers import Buffers, Range
from traces.adreno.contents import Contents
from traces.adreno.emit import Emitter
from traces.adreno.walk import Walker
from traces.errors import TraceError
from traces.importers.result import Draft

#: What the option `accesses` may be; the first is the default.
MODES = FETCHED, POINTERS, SWEEP = "fetch", "pointers", "sweep"
#: Bytes of a sweep's read.
SWEEP_STEP = 256
#: Most reads of a sweep, 1 GiB of buffers: sizes are taken at the file's word.
MOST_SWEPT = 1 << 22


class Accesses:
    """Makes events of buffer lists and command streams.

    Parameters
    ----------
    draft : Draft
        Given spaces' halves and marks.
    contents : Contents
        The bytes of buffers.
    mode : str
        `FETCHED`, `POINTERS` or `SWEEP`.
    refuse : callable
        As of `traces.adreno.walk.Walker`.
    lenient : bool
        Likewise.

    Raises
    ------
    TraceError
        Another `mode`.
    """

    def __init__(
        self,
        draft: Draft,
        contents: Contents,
        mode: str,
        refuse: Callable[[str, int, str, str], None],
        *,
        lenient: bool = False,
    ) -> None:
        if mode not in MODES:
            raise TraceError("unknown accesses", "--accesses", f"one of {', '.join(MODES)}", repr(mode))
        self.draft, self.mode = draft, mode
        self.refuse = refuse
        self.out = Emitter()
        self.walker = Walker(
            self.out, contents, self.mark, refuse, pointers=mode == POINTERS, lenient=lenient
        )
        self.maps = self.unmaps = self.swept = 0
        self.over = self.due = False

    def enter(self, space: int, buffers: Buffers) -> None:
        """Go on in a space."""
        self.out.space, self.walker.buffers = space, buffers

    def list_only(self, listed: list[Range]) -> None:
        """Map what a new list names, and unmap what it does not."""
        self.due = True
        self._change(*self.walker.buffers.change(listed))

    def list_more(self, listed: list[Range]) -> None:
        """Map what a list names."""
        self._change([], self.walker.buffers.add(listed))

    def _change(self, gone: list[Range], new: list[Range]) -> None:
        self.unmaps += len(gone)
        self.maps += len(new)
        if any(start >> 48 for start, _ in new):
            self.draft.upper.add(self.out.space)
        self.out.change(gone, new)

    def mark(self, label: str) -> None:
        """Add a MARK."""
        self.out.mark(self.draft.mark(label))

    def submit(self, iova: int, dwords: int) -> Iterator[np.ndarray]:
        """Make the accesses of a command stream that was submitted."""
        if self.mode != SWEEP:
            yield from self.walker.stream(iova, dwords)
        elif self.due:
            yield from self.sweep()
        yield from self.out.blocks()

    def sweep(self) -> Iterator[np.ndarray]:
        """Read over every buffer that is listed, in the list's order, once for each list."""
        self.due = False
        for start, end in self.walker.buffers.listed:
            self.swept += -(-(end - start) // SWEEP_STEP)
            if self.swept > MOST_SWEPT:
                if not self.over:
                    self.refuse("buffers too large to sweep", start, f"{MOST_SWEPT:,} reads of {SWEEP_STEP} "
                                "bytes at most", "more")  # fmt: skip
                self.over = True
                return
            yield from self.out.sweep(start, end, SWEEP_STEP)

    def rest(self) -> Iterator[np.ndarray]:
        """Yield what waits."""
        yield from self.out.blocks(whole=False)
