"""How large an SMMU's caches are: data, without a compiled line."""

from __future__ import annotations

from dataclasses import dataclass

#: Entries of one cache: a slot has 12 bits of its word (`smmucore.tlb`).
MOST_ENTRIES = 1 << 12

#: Walk caches of a stage: last-level tables, those above, those above them.
DEPTHS = 3

LRU = 0
ROUND_ROBIN = 1
TREE_PLRU = 2
RANDOM = 3
NAMES = ("lru", "round-robin", "tree-plru", "random")


@dataclass(frozen=True)
class Shape:
    """Sets, ways and replacement of a cache; no sets: it is absent.

    >>> Shape.parse("1x16:random:7")
    Shape(sets=1, ways=16, replacement='random', seed=7)
    >>> str(Shape(8, 8, "tree-plru"))
    '8x8:tree-plru'
    """

    sets: int
    ways: int
    replacement: str = "lru"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sets == 0 and self.ways == 0:
            return
        if self.sets < 1 or self.sets & (self.sets - 1) or self.ways < 1:
            raise ValueError(
                f"expected sets to be a power of two and ways to be positive, found {self.sets} x {self.ways}"
            )
        if self.entries > MOST_ENTRIES:
            raise ValueError(f"expected at most {MOST_ENTRIES} entries, found {self.entries}")
        if self.replacement not in NAMES:
            raise ValueError(f"expected a replacement of {', '.join(NAMES)}, found {self.replacement!r}")
        if self.replacement == "tree-plru" and (self.ways & (self.ways - 1) or self.ways > 64):
            raise ValueError(f"expected ways to be a power of two up to 64 for tree-plru, found {self.ways}")

    @classmethod
    def parse(cls, text: str) -> Shape:
        """Read ``SETSxWAYS[:replacement[:seed]]``, or ``none``.

        Raises
        ------
        ValueError
        """
        if text == "none":
            return NONE
        size, _, rest = text.partition(":")
        replacement, _, seed = rest.partition(":")
        sets, _, ways = size.partition("x")
        if not (sets.isdecimal() and ways.isdecimal() and (seed.isdecimal() or not seed)):
            raise ValueError(f"expected SETSxWAYS[:replacement[:seed]], or none, found {text!r}")
        return cls(int(sets), int(ways), replacement or "lru", int(seed or 0))

    def __str__(self) -> str:
        if self.sets == 0:
            return "none"
        more = "" if self.replacement == "lru" else f":{self.replacement}"
        return f"{self.sets}x{self.ways}{more}" + (f":{self.seed}" if self.seed else "")

    @property
    def entries(self) -> int:
        """How many entries it has."""
        return self.sets * self.ways


NONE = Shape(0, 0)


# What a core without a preset has.
UTLB = Shape(8, 8)
TLB = Shape(128, 4)
WALK_CACHE = Shape(16, 4)


@dataclass(frozen=True)
class Caches:
    """The shapes of an SMMU's caches; walk caches by depth, last-level tables first."""

    utlb: Shape = UTLB
    tlb: Shape = TLB
    walk: tuple[Shape, ...] = (WALK_CACHE, NONE, NONE)
    stage2_walk: tuple[Shape, ...] = (NONE, NONE, NONE)
    ipa: Shape = NONE
    tbus: int = 1

    def __post_init__(self) -> None:
        if self.utlb.sets == 0 or self.tlb.sets == 0:
            raise ValueError("expected a micro-TLB and a TLB, found one absent")
        if len(self.walk) != DEPTHS or len(self.stage2_walk) != DEPTHS:
            raise ValueError(f"expected walk caches of {DEPTHS} depths")
