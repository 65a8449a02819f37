"""Infers mappings from translations: what an access was translated to, some table entry must have said.

A log of an SMMU alone has no MAP and no UNMAP. But every translation tells its page's output address and
rights, and a driver invalidates what it unmaps. So a page counts as mapped from just before the first
translation that needs it to the invalidation that names it.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from traces.events import MAP, UNMAP

#: Sizes of an entry with a 4 KiB granule, largest first.
SIZES = (1 << 30, 1 << 21, 1 << 12)

#: An event without its time: op, space, iova, size, pa, prot.
Change = tuple[int, int, int, int, int, int]


class Pages:
    """The entries that must exist now, by space.

    Attributes
    ----------
    leaves : collections.Counter of int
        Inferred MAPs by entry size.
    replaced : int
        Entries that gave way to another without an invalidation of their address in between.
    """

    def __init__(self) -> None:
        self._live: dict[int, dict[int, dict[int, tuple[int, int]]]] = defaultdict(
            lambda: {size: {} for size in SIZES}
        )
        self.leaves: Counter[int] = Counter()
        self.replaced = 0

    def find(self, space: int, iova: int) -> tuple[int, int, int, int] | None:
        """Return the start, size, output address and rights of an address's entry, if it has one."""
        for size in SIZES:
            entry = self._live[space][size].get(iova & -size)
            if entry is not None:
                return iova & -size, size, *entry
        return None

    def access(self, space: int, iova: int, pa: int, prot: int, leaf: int) -> list[Change]:
        """Return what must have changed before an access that was translated so.

        Parameters
        ----------
        space, iova, pa : int
        prot : int
            Rights of the entry.
        leaf : int
            Bytes of the entry, where they are known; else 0.

        Returns
        -------
        list of Change
        """
        found = self.find(space, iova)
        size = leaf if leaf in SIZES and (iova ^ pa) % leaf == 0 else SIZES[-1]
        if found is not None:
            begin, has, base, rights = found
            same = base + iova - begin == pa and rights == prot
            # An access served by a TLB does not tell the entry's size; one that walked does.
            if same and (leaf not in SIZES or has == size):
                return []
            self.replaced += 1
        begin = iova & -size
        changes = self.invalidate(space, begin, size)
        self._live[space][size][begin] = (pa & -size, prot)
        self.leaves[size] += 1
        changes.append((MAP, space, begin, size, pa & -size, prot))
        return changes

    def invalidate(self, space: int, iova: int, size: int) -> list[Change]:
        """Remove every entry that has a byte of a range; return their UNMAPs, neighbours joined."""
        gone: list[tuple[int, int]] = []
        for leaf in SIZES:
            entries = self._live[space][leaf]
            first, end = iova & -leaf, iova + size
            # A range of more pages than there are entries is quicker the other way round.
            if (end - first) // leaf > len(entries):
                names = [begin for begin in entries if first <= begin < end]
            else:
                names = [begin for begin in range(first, end, leaf) if begin in entries]
            for begin in names:
                del entries[begin]
                gone.append((begin, leaf))
        gone.sort()
        joined: list[list[int]] = []
        for begin, leaf in gone:
            if joined and joined[-1][0] + joined[-1][1] == begin:
                joined[-1][1] += leaf
            else:
                joined.append([begin, leaf])
        return [(UNMAP, space, begin, bytes_, 0, 0) for begin, bytes_ in joined]
