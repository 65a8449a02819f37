"""Tables of AArch32 short descriptors for tests, by the descriptor of 32 bits."""

from __future__ import annotations

from typing import Any

from smmucore.memory import SHORT_TABLE_BASE, Memory, memory, new_tables
from smmucore.regime import aarch32_short
from tests.reference import walker

from .tools import K, M

LOW = int(SHORT_TABLE_BASE)
FIRST_WORDS = 2048  # 16 KiB
SIZES = [4 * K, 64 * K, M, 16 * M]


def put32(mem: Memory, pa: int, desc: int) -> None:
    """Write one descriptor: the lower address is the low half of a word."""
    index, shift = (pa - int(mem.base[0])) >> 3, 8 * (pa & 4)
    word = int(mem.words[index]) & ~(0xFFFF_FFFF << shift)
    mem.words[index] = word | desc << shift


def get32(mem: Memory, pa: int) -> int:
    return int(mem.words[(pa - int(mem.base[0])) >> 3]) >> 8 * (pa & 4) & 0xFFFF_FFFF


def both(**words: Any) -> tuple[Any, walker.Regime]:
    """One regime, in the core's words and in the reference's."""
    regime = aarch32_short(**words)
    words["t0sz"] = words.pop("n", 0)
    words.setdefault("epd1", True)
    return regime, walker.Regime(walker.AARCH32_SHORT, **words)


def empty(tables: int = 2048, **words: Any) -> tuple[Memory, Any, walker.Regime]:
    """An empty regime, by default Linux's: N = 0, PD1, AFE."""
    mem = memory(tables, LOW)
    if words.get("n"):
        words["ttbr1"] = int(new_tables(mem, FIRST_WORDS))
    words["ttbr0"] = int(new_tables(mem, FIRST_WORDS >> words.get("n", 0)))
    return mem, *both(**words)
