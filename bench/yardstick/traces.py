"""The yardstick's traces: IOVAs of accesses to 2^20 pages, seeded; kind: synthetic, of no device.

=========  ==================================================================
zipf       pages by Zipf's law with exponent 1, places in memory shuffled
seq64      64 bytes after the last: 64 accesses to a page
stride4k   the next page with every access
rand4g     any page
=========  ==================================================================

A shorter trace is its own draw, not the head of a longer one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

NAMES = ("zipf", "seq64", "stride4k", "rand4g")
KIND = "synthetic"
SEED = 12345
ACCESSES = 20_000_000
PAGES = 1 << 20
PAGE = 4096
LINE = 64
#: Seed and shifts of the xorshift64 that draws the pages' PAs (Marsaglia, J. Stat. Soft. 8(14), 2003).
PA_SEED = 88172645463325252
PA_BITS = 28
WORD = (1 << 64) - 1


def iovas(name: str, accesses: int = ACCESSES) -> Any:
    """Return the IOVAs of a trace, uint64.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    accesses : int

    Returns
    -------
    ndarray of uint64, shape (accesses,)
    """
    if name in ("seq64", "stride4k"):
        step = LINE if name == "seq64" else PAGE
        return np.arange(accesses, dtype=np.uint64) * np.uint64(step) % np.uint64(PAGES * PAGE)
    # One generator feeds both, zipf first: rand4g begins where zipf's draws end.
    rng = np.random.default_rng(SEED)
    uniform = rng.random(accesses)
    place = rng.permutation(PAGES)
    offsets = _offsets(rng, accesses)
    if name == "zipf":
        mass = np.cumsum(1.0 / np.arange(1, PAGES + 1) ** 1.0)
        pages = place[np.searchsorted(mass / mass[-1], uniform)]
    elif name == "rand4g":
        pages = rng.integers(0, PAGES, accesses)
        offsets = _offsets(rng, accesses)
    else:
        raise KeyError(f"trace: expected one of {', '.join(NAMES)}; found {name!r}")
    return pages.astype(np.uint64) * np.uint64(PAGE) + offsets


def _offsets(rng: np.random.Generator, accesses: int) -> Any:
    return rng.integers(0, PAGE // LINE, accesses).astype(np.uint64) * np.uint64(LINE)


def output_addresses(pages: int = PAGES) -> Any:
    """Return the PA of each page, uint64, as ``main.cpp`` draws them."""
    drawn = np.empty(pages, np.uint64)
    x = PA_SEED
    for page in range(pages):
        x ^= (x << 13) & WORD
        x ^= x >> 7
        x ^= (x << 17) & WORD
        drawn[page] = (x & ((1 << PA_BITS) - 1)) * PAGE
    return drawn
