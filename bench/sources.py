"""A hash of everything that makes a row: the kernels' sources, and what prepares and reads their runs."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

#: What `bench.run` is made of, in this room; a test compares it with what it imports.
MODULES = (
    "blocks", "inject", "kept", "readonly", "run", "scenario", "spaces", "stats", "summary", "tbus", "units",
    "vanish", "wild",
)  # fmt: skip


@cache
def model_hash() -> str:
    """Return 16 hex digits that change when any source that may change a row does.

    Returns
    -------
    str
        The head of the SHA-256 of `smmucore.kernel.source_hash` and of the sources of `MODULES`.
    """
    from smmucore.kernel import source_hash  # noqa: PLC0415  (it imports numba)

    digest = hashlib.sha256(source_hash().encode())
    for name in MODULES:
        digest.update(name.encode())
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]
