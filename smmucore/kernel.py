"""The one decorator for compiled code, and the cache folder it writes to.

numba decides whether a cached kernel is still good by looking at the file that holds it, and
does not notice that a helper imported from another file has changed.  So the cache folder is
named by a hash of every source a kernel can reach: an edit anywhere in the model gives a new,
empty folder, and an unchanged model never compiles twice.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SOURCES = (
    *sorted(Path(__file__).parent.glob("*.py")),
    Path(__file__).parent.parent / "traces" / "events.py",
)


def source_hash() -> str:
    """Return 16 hex digits that change when any kernel source does.

    Returns
    -------
    str
        The head of the SHA-256 of every ``smmucore`` source and of the event vocabulary.
    """
    digest = hashlib.sha256()
    for path in _SOURCES:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_root() -> Path:
    """Return the folder that holds one sub-folder per source hash.

    ``SMMUBENCH_CACHE_DIR`` names it; otherwise ``smmubench/kernels`` in the user's cache folder.
    """
    named = os.environ.get("SMMUBENCH_CACHE_DIR")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "smmubench" / "kernels"


CACHE_DIR = cache_root() / source_hash()
# numba re-reads its configuration from the environment, so both have to say the same.
os.environ["NUMBA_CACHE_DIR"] = str(CACHE_DIR)

import numba  # noqa: E402  (after the cache folder is named)

from smmucore.jit import Kernel  # noqa: E402

numba.config.CACHE_DIR = str(CACHE_DIR)

#: Every compiled function, by its qualified name; :func:`cache_counts` reads their statistics.
KERNELS: dict[str, Any] = {}


def kernel(function: Callable[..., Any]) -> Any:
    """Compile `function` on first use, release the GIL in it, and keep it on disk.

    ``error_model="numpy"`` spares a zero test at every division.  ``_nrt=False``: kernels allocate
    nothing, and without numba's runtime a call does not count a reference for every array of the state
    it is handed (that made a replay 4 times slower).  With ``NUMBA_DISABLE_JIT=1`` the function is
    returned as it is, so that a debugger can step through it.
    """
    return _compile(function, forceinline=False)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile as :func:`kernel` does, and have LLVM put the code where it is called.

    For the few functions that every access runs through: a call hands the whole state over by value.
    """
    return _compile(function, forceinline=True)


def _compile(function: Callable[..., Any], *, forceinline: bool) -> Any:
    if numba.config.DISABLE_JIT:
        return function
    compiled = Kernel(
        function, {"nogil": True, "error_model": "numpy", "_nrt": False, "forceinline": forceinline}
    )
    KERNELS[f"{function.__module__}.{function.__name__}"] = compiled
    return compiled


def jit_disabled() -> bool:
    """Tell whether kernels run as plain Python (``NUMBA_DISABLE_JIT=1``)."""
    return bool(numba.config.DISABLE_JIT)


def cache_counts() -> tuple[int, int]:
    """Return (signatures loaded from the cache, signatures compiled) in this process.

    Returns
    -------
    tuple of int
        Sums over every kernel that has been called or compiled, from numba's own statistics.
    """
    hits = misses = 0
    for compiled in KERNELS.values():
        if "entry" in vars(compiled):
            hits += sum(compiled.entry.stats.cache_hits.values())
            misses += sum(compiled.entry.stats.cache_misses.values())
    return hits, misses


def is_warm() -> bool:
    """Tell whether the cache folder of these sources holds compiled kernels already."""
    return any(CACHE_DIR.rglob("*.nbc")) if CACHE_DIR.is_dir() else False
