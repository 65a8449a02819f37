"""The reference TLB, and two levels of it over a walk, counted by hand (H2)."""

from __future__ import annotations

import random
from collections import OrderedDict

import pytest

from .smmu import TLBI_ASID, TLBI_VA, TLBI_VA_LAST, Bank, Shape, Smmu
from .tlb import LRU, RANDOM, ROUND_ROBIN, TREE_PLRU, Owner, Tlb
from .walker import AARCH64_S1, PERMISSION, TRANSLATION, G, K, M, Memory, Regime, memory_of_words, walk

PAGE = 4 * K


def names_in(tlb: Tlb) -> set[str]:
    return {entry.payload for entry in tlb.entries()}


def fill(tlb: Tlb, names: str) -> None:
    """Insert page 0 as names[0], page 1 as names[1] and so on, for ASID 1."""
    for page, name in enumerate(names):
        tlb.insert(1, page * PAGE, PAGE, name)


# Replacement


def test_lru_evicts_what_was_used_longest_ago():
    tlb = Tlb(sets=1, ways=4, replacement=LRU)
    fill(tlb, "abcd")
    assert tlb.lookup(1, 0) is not None  # use a: order b c d a
    assert tlb.lookup(1, 2 * PAGE) is not None  # use c: order b d a c
    assert tlb.insert(1, 4 * PAGE, PAGE, "e").payload == "b"
    assert tlb.insert(1, 5 * PAGE, PAGE, "f").payload == "d"
    assert tlb.insert(1, 6 * PAGE, PAGE, "g").payload == "a"
    assert names_in(tlb) == {"c", "e", "f", "g"}


def test_round_robin_evicts_in_turn_and_does_not_look_at_uses():
    tlb = Tlb(sets=1, ways=3, replacement=ROUND_ROBIN)
    fill(tlb, "abc")
    assert tlb.lookup(1, 0) is not None  # use a: makes no difference
    assert tlb.insert(1, 4 * PAGE, PAGE, "d").payload == "a"  # way 0
    assert tlb.insert(1, 5 * PAGE, PAGE, "e").payload == "b"  # way 1
    assert tlb.insert(1, 6 * PAGE, PAGE, "f").payload == "c"  # way 2
    assert tlb.insert(1, 7 * PAGE, PAGE, "g").payload == "d"  # way 0 again


def test_round_robin_fills_an_emptied_way_without_moving_on():
    tlb = Tlb(sets=1, ways=3, replacement=ROUND_ROBIN)
    fill(tlb, "abc")
    assert tlb.insert(1, 3 * PAGE, PAGE, "d").payload == "a"  # way 0; way 1 is next
    tlb.invalidate_range(2 * PAGE, PAGE, asid=1)  # c, way 2
    assert tlb.insert(1, 4 * PAGE, PAGE, "e") is None  # into way 2
    assert tlb.insert(1, 5 * PAGE, PAGE, "f").payload == "b"  # way 1 as before


def test_tree_plru_follows_its_bits_where_true_lru_would_differ():
    # Four ways: a root and two nodes. 0 points left. Uses of ways 0, 1, 2, 3 in order leave:
    #   way 0: root right, left node right; way 1: root right, left node left;
    #   way 2: root left, right node right; way 3: root left, right node left.
    tlb = Tlb(sets=1, ways=4, replacement=TREE_PLRU)
    fill(tlb, "abcd")
    # Use a (way 0): root right, left node right. Victim: right half, its node points left: way 2, c.
    # True LRU would evict b.
    assert tlb.lookup(1, 0) is not None
    assert tlb.insert(1, 4 * PAGE, PAGE, "e").payload == "c"
    # That was a use of way 2: root left, right node right. Victim: left half, its node points right: way 1,
    # b.
    assert tlb.insert(1, 5 * PAGE, PAGE, "f").payload == "b"
    # Use of way 1: root right, left node left. Victim: right half, node right: way 3, d.
    assert tlb.insert(1, 6 * PAGE, PAGE, "g").payload == "d"


def victims(seed: int, unit: int, ways: int, evictions: int) -> list[int]:
    """Fill ways 0, 1, ... with pages 0, 1, ..., then say which way each further page goes to."""
    tlb = Tlb(1, ways, RANDOM, seed, unit)
    for page in range(ways):
        tlb.insert(1, page * PAGE, PAGE, None)
    went_to = []
    for page in range(ways, ways + evictions):
        tlb.insert(1, page * PAGE, PAGE, None)
        went_to.append([entry.page for entry in tlb.entries()].index(page))
    return went_to


def test_random_replacement_follows_the_generator_from_1():
    # 0x9E3779B97F4A7C15 + 256 * 27523551774946691 + 2 * 118 = 2^64 + 1, so x is 1 at first. Then by hand:
    #   1 ^ 1 << 13 = 0x2001; ^ 0x2001 >> 7 = 0x2041; ^ 0x2041 << 17 = 0x40822041.
    # The next three are those published for this generator from 1: 1152992998833853505 =
    # 0x100041060C011441, 11177516664432764457 = 0x9B1E842F6E862629, 17678023832001937445 =
    # 0xF554F503555D8025.
    # Shifted right by 33: 0, 0x08002083, 0x4D8F4217, 0x7AAA7A81. The low two bits: 0, 3, 3, 1.
    assert victims(27523551774946691, 118, ways=4, evictions=4) == [0, 3, 3, 1]


def test_random_replacement_differs_from_unit_to_unit():
    # Unit 0 starts at ...15, unit 1 at ...17, unit 2 at ...19.
    # Unit 0: 0xDC1B77AE0BF34DAD, 0x64F0EEB9026E6076; >> 33: 0x6E0DBBD7, 0x3278775C.
    # Unit 1: 0xDC1B77AE8AF70D2F, 0x44F06CB51A6E48F5, 0x4D3A47CB309E0924; >> 33: 0x6E0DBBD7, 0x2278365A,
    # 0x269D23E5.
    # Unit 2: 0xDC1B77AD0DEACEA1, 0xA4F3E291526E937C; >> 33: 0x6E0DBBD6, 0x5279F148.
    assert victims(0, 0, ways=4, evictions=2) == [3, 0]
    assert victims(0, 1, ways=4, evictions=2) == [3, 2]
    assert victims(0, 2, ways=4, evictions=2) == [2, 0]
    # Modulo 3 a number is the sum of its hexadecimal digits: 75, 43, 54.
    assert victims(0, 1, ways=3, evictions=3) == [0, 1, 0]


def test_all_sets_draw_from_one_generator_and_only_for_evictions():
    tlb = Tlb(2, 4, RANDOM, 27523551774946691, 118)
    for page in range(8):
        tlb.insert(1, page * PAGE, PAGE, page)
    tlb.insert(1, 0, PAGE, 0)  # there already: no draw
    assert tlb.insert(1, 8 * PAGE, PAGE, 8).payload == 0  # set 0, way 0
    tlb.invalidate_all()
    for page in range(8):
        tlb.insert(1, page * PAGE, PAGE, page)
    assert tlb.insert(1, 9 * PAGE, PAGE, 9).payload == 7  # set 1, way 3
    assert tlb.insert(1, 10 * PAGE, PAGE, 10).payload == 6  # set 0, way 3


def test_an_invalidation_leaves_the_order_of_the_rest():
    tlb = Tlb(1, 4, LRU)
    fill(tlb, "abcd")
    tlb.invalidate_va(Owner(0, 1), PAGE, PAGE)  # b
    assert tlb.insert(1, 4 * PAGE, PAGE, "e") is None  # into its way
    assert [tlb.insert(1, page * PAGE, PAGE, "").payload for page in (5, 6, 7)] == ["a", "c", "d"]


def test_tree_plru_fills_an_emptied_way_and_keeps_its_bits():
    tlb = Tlb(1, 4, TREE_PLRU)
    fill(tlb, "abcd")  # root left, left node left, right node left
    tlb.invalidate_va(Owner(0, 1), 2 * PAGE, PAGE)  # c, way 2: no bit moves
    # Into way 2: root left, right node right.
    assert tlb.insert(1, 4 * PAGE, PAGE, "e") is None
    assert tlb.insert(1, 5 * PAGE, PAGE, "f").payload == "a"  # then root right, left node right
    assert tlb.insert(1, 6 * PAGE, PAGE, "g").payload == "d"


def test_tree_plru_needs_a_power_of_two():
    with pytest.raises(ValueError, match="power of two"):
        Tlb(sets=1, ways=3, replacement=TREE_PLRU)


def test_an_unknown_replacement_is_refused():
    with pytest.raises(ValueError, match="replacement"):
        Tlb(sets=1, ways=2, replacement="fifo")


def test_lru_equals_an_ordered_dictionary_on_a_long_random_run():
    chance = random.Random(1)
    tlb = Tlb(sets=4, ways=4)
    model: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(4)]
    hits = 0
    for _ in range(20_000):
        page = min(int(chance.expovariate(0.05)), 63)
        recent = model[page % 4]
        expected = page in recent
        if expected:
            recent.move_to_end(page)
            hits += 1
        else:
            recent[page] = None
            if len(recent) > 4:
                recent.popitem(last=False)
        found = tlb.lookup(1, page * PAGE)
        assert (found is not None) == expected
        if found is None:
            tlb.insert(1, page * PAGE, PAGE, None)
    assert (tlb.hits, tlb.misses) == (hits, 20_000 - hits)


# Keys


def test_a_page_goes_to_the_set_of_its_page_number():
    # Two sets of one way: even pages fight for set 0, odd pages for set 1.
    tlb = Tlb(sets=2, ways=1)
    tlb.insert(1, 0 * PAGE, PAGE, "zero")
    tlb.insert(1, 1 * PAGE, PAGE, "one")
    assert tlb.insert(1, 2 * PAGE, PAGE, "two").payload == "zero"
    assert names_in(tlb) == {"one", "two"}


def test_pages_of_all_sizes_are_found_by_any_of_their_bytes():
    tlb = Tlb(sets=4, ways=5)  # every page number here is a multiple of 4: all go to set 0
    sizes = [4 * K, 64 * K, 2 * M, 32 * M, G]
    for number, size in enumerate(sizes, start=1):
        tlb.insert(1, number * 4 * G, size, size)
    for number, size in enumerate(sizes, start=1):
        assert tlb.lookup(1, number * 4 * G).payload == size
        assert tlb.lookup(1, number * 4 * G + size - 1).payload == size
        assert tlb.lookup(1, number * 4 * G + size) is None
    assert (tlb.hits, tlb.misses) == (10, 5)


def test_an_entry_answers_its_own_asid_only_and_a_global_one_every_asid():
    tlb = Tlb(sets=1, ways=4)
    tlb.insert(1, 0, PAGE, "one")
    tlb.insert(2, 0, PAGE, "two")
    tlb.insert(None, PAGE, PAGE, "global")
    assert tlb.lookup(1, 0).payload == "one"
    assert tlb.lookup(2, 0).payload == "two"
    assert tlb.lookup(3, 0) is None
    assert tlb.lookup(3, PAGE).payload == "global"


def test_stage_2_entries_are_found_by_their_vmids_stage_2_alone():
    tlb = Tlb(sets=1, ways=4)
    tlb.insert(Owner(1, stage=2), 0, PAGE, "stage 2")
    assert tlb.lookup(Owner(1, 7), 0) is None
    assert tlb.lookup(Owner(2, stage=2), 0) is None
    assert tlb.lookup(Owner(1, stage=2), 0).payload == "stage 2"
    tlb.insert(Owner(1), PAGE, PAGE, "global")
    assert tlb.lookup(Owner(1, stage=2), PAGE) is None
    assert tlb.lookup(Owner(1, 7), PAGE).payload == "global"


def test_inserting_a_key_again_replaces_it_and_evicts_nothing():
    tlb = Tlb(sets=1, ways=2)
    fill(tlb, "ab")
    assert tlb.insert(1, 0, PAGE, "A") is None
    assert len(tlb.entries()) == 2
    assert names_in(tlb) == {"A", "b"}
    assert tlb.insert(1, 2 * PAGE, PAGE, "c").payload == "b"  # the insert was a use of A


# Invalidation


def test_invalidation_by_asid_leaves_other_asids_and_global_entries():
    tlb = Tlb(sets=1, ways=4)
    tlb.insert(1, 0, PAGE, "one")
    tlb.insert(2, 0, PAGE, "two")
    tlb.insert(None, PAGE, PAGE, "global")
    tlb.invalidate_asid(1)
    assert names_in(tlb) == {"two", "global"}


@pytest.mark.parametrize(
    ("start", "length", "asid", "left"),
    [
        # Entries of ASID 1: 4K at 0x1000, 64K at 0x10000, 2M at 0x200000. ASID 2: 4K at 0x1000. Global: 4K at
        # 0x2000.
        (0x1000, 0x1000, 1, {"64k", "2m", "other", "global"}),
        (0x1000, 0x1000, None, {"64k", "2m", "global"}),
        (0x1000, 0x2000, 1, {"64k", "2m", "other"}),
        (0x1_F000, 0x1000, 1, {"4k", "2m", "other", "global"}),  # the last page of the 64K one
        (0x2_0000, 0x1000, 1, {"4k", "64k", "2m", "other", "global"}),  # just after it
        (0x3F_F000, 0x1000, 1, {"4k", "64k", "other", "global"}),  # the last page of the 2M one
        (0x0, 0x40_0000, 3, {"4k", "64k", "2m", "other"}),  # an ASID with no entries takes the global ones
    ],
)
def test_invalidation_by_range_takes_every_entry_that_overlaps(start, length, asid, left):
    tlb = Tlb(sets=2, ways=8)
    tlb.insert(1, 0x1000, 4 * K, "4k")
    tlb.insert(1, 0x1_0000, 64 * K, "64k")
    tlb.insert(1, 0x20_0000, 2 * M, "2m")
    tlb.insert(2, 0x1000, 4 * K, "other")
    tlb.insert(None, 0x2000, 4 * K, "global")
    tlb.invalidate_range(start, length, asid)
    assert names_in(tlb) == left


def test_invalidation_of_all_leaves_nothing_to_find():
    tlb = Tlb(sets=2, ways=2)
    fill(tlb, "abcd")
    tlb.invalidate_all()
    assert (tlb.entries(), tlb.lookup(1, 0)) == ([], None)


# Two levels and a walk


def page_tables(pages: dict[int, int]) -> Memory:
    """39-bit tables, three levels, at 0: level 1 is page 0, level 2 of L1 index i page 1 + i, level 3 above.

    `pages` gives the leaf descriptor of each 4K page number; page numbers stay below 8 << 18 (8G).
    """
    words: dict[int, int] = {}
    for page, leaf in pages.items():
        level2 = (1 + (page >> 18)) << 12
        level3 = (0x100 + (page >> 9)) << 12
        words[8 * (page >> 18)] = level2 | 3
        words[level2 + 8 * ((page >> 9) & 511)] = level3 | 3
        words[level3 + 8 * (page & 511)] = leaf
    return memory_of_words(words)


def leaf_at(page: int) -> int:
    # AF, SH 3, nG, AP 1: read and write for all. Output: 4G above the input.
    return (page << 12) + (4 << 30) | 0xF43


THREE_LEVELS = Regime(AARCH64_S1, ttbr0=0, t0sz=25)
UTLB = Shape(16, 4)
TLB = Shape(128, 4)


def machine(memory: Memory, *, utlb: Shape = UTLB, tlb: Shape = TLB, runs: bool = True) -> Smmu:
    """Two address spaces over the same tables, with the walk cache of level-3 tables."""
    banks = [Bank(THREE_LEVELS, asid=asid, vmid=1, runs=runs) for asid in (1, 2)]
    return Smmu(banks, memory, utlb=utlb, tlb=tlb, stage1_walk_caches={0: Shape(16, 4)})


def counts(m: Smmu) -> tuple[int, int, int, int]:
    return m.utlb_hits, m.tlb_hits, m.walks, m.walk_reads


def test_a_sequential_run_walks_once_a_page_and_reads_once_more_than_twice_a_table():
    # 1,025 pages from 0, 4 accesses each: 1,025 walks and 3 x 1,025 micro-TLB hits. They lie in 3 level-3
    # tables: the first walk of each reads 3 tables, the other 1,022 read 1. 1,022 + 9 = 1,031 reads.
    m = machine(page_tables({page: leaf_at(page) for page in range(1025)}))
    for iova in range(0, 1025 * PAGE, K):
        outcome = m.access(0, 0, iova)
        assert outcome.pa == iova + 4 * G
    assert counts(m) == (3075, 0, 1025, 1031)
    assert (m.accesses, m.stage1_walk_caches.hits[0], m.faults) == (4100, 1022, 0)


def test_a_tlb_hit_fills_the_micro_tlb():
    # The micro-TLB has one entry, the TLB two.
    m = machine(page_tables({0: leaf_at(0), 1: leaf_at(1)}), utlb=Shape(1, 1), tlb=Shape(1, 2))
    trail = [m.access(0, 0, page * PAGE).where for page in (0, 1, 0, 0, 1, 1, 0)]
    #        page 0  page 1  page 0  again   page 1  again   page 0
    assert trail == ["walk", "walk", "tlb", "utlb", "tlb", "utlb", "tlb"]
    # Walks: 3 reads, then 1 with the walk cache.
    assert counts(m) == (2, 3, 2, 4)


def test_micro_tlb_hits_are_not_uses_of_the_tlb():
    # Micro-TLB of two, TLB of two, pages 0, 1, then 0 twice more from the micro-TLB. For the TLB page 0 is
    # still the older: page 2 evicts it there, and page 1 in the micro-TLB. Then page 1 is a TLB hit.
    pages = page_tables({page: leaf_at(page) for page in range(3)})
    m = machine(pages, utlb=Shape(1, 2), tlb=Shape(1, 2))
    trail = [m.access(0, 0, page * PAGE).where for page in (0, 1, 0, 0, 2, 1)]
    assert trail == ["walk", "walk", "utlb", "utlb", "walk", "tlb"]


def test_a_contiguous_run_is_one_entry_unless_it_is_turned_off():
    # 16 pages with the contiguous bit, output 64K-aligned: one walk of 3 reads serves all 16.
    memory = page_tables({page: leaf_at(page) | 1 << 52 for page in range(16)})
    m = machine(memory)
    for page in range(16):
        assert m.access(0, 0, page * PAGE + 5).pa == page * PAGE + 5 + 4 * G
    assert counts(m) == (15, 0, 1, 3)
    # As single pages: 16 walks, 3 + 15 reads.
    plain = machine(memory, runs=False)
    for page in range(16):
        plain.access(0, 0, page * PAGE)
    assert counts(plain) == (0, 0, 16, 18)


def test_a_faulting_walk_fills_nothing_even_below_a_good_level_3_table():
    # Page 0 is mapped, page 1 is not, in the same level-3 table; L1 index 1 is invalid.
    m = machine(page_tables({0: leaf_at(0)}))
    tables = m.stage1_walk_caches
    for _ in range(2):
        outcome = m.access(0, 0, PAGE)
        assert (outcome.where, outcome.fault, outcome.level) == ("walk", TRANSLATION, 3)
    assert not (m.utlbs[0].entries() or m.tlb.entries() or tables.caches[0].entries())
    assert counts(m) == (0, 0, 2, 6)
    # Once page 0 was walked the table is known: page 1 faults at level 3 after one read.
    m.access(0, 0, 0)
    assert m.access(0, 0, PAGE).reads == ((0x10_0008, 0),)
    # L1 index 1: one read, level 1.
    outcome = m.access(0, 0, G)
    assert (outcome.fault, outcome.level) == (TRANSLATION, 1)
    assert counts(m) == (0, 0, 5, 11)
    assert (m.faults, tables.hits[0], len(m.tlb.entries())) == (4, 1, 1)


def test_a_hit_that_may_not_write_is_a_hit_and_a_permission_fault():
    # 0xFC3: read-only. The read walks and fills; the write hits the micro-TLB and faults without a walk.
    m = machine(page_tables({0: leaf_at(0) | 0x80}))
    assert m.access(0, 0, 0).fault is None
    refused = m.access(0, 0, 0, write=True)
    assert (refused.where, refused.fault, refused.level, refused.reads) == ("utlb", PERMISSION, 3, ())
    assert counts(m) == (1, 0, 1, 3)


@pytest.mark.parametrize("replacement", [LRU, ROUND_ROBIN, TREE_PLRU])
@pytest.mark.parametrize("seed", [1, 2])
def test_hits_and_walks_add_up_and_every_answer_is_the_walkers(replacement, seed):
    chance = random.Random(seed)
    pages: dict[int, int] = {}
    for page in chance.sample(range(4096), 600):
        pages[page] = leaf_at(page) | (0x80 if chance.random() < 0.2 else 0)
    memory = page_tables(pages)
    m = machine(memory, utlb=Shape(2, 4, replacement), tlb=Shape(8, 4, replacement))
    mapped = list(pages)
    faults = 0
    for _ in range(4000):
        page = (
            mapped[min(int(chance.expovariate(0.02)), 599)]
            if chance.random() < 0.95
            else chance.randrange(8192)
        )
        iova = page * PAGE + chance.randrange(PAGE)
        write = chance.random() < 0.3
        bank = chance.choice([0, 1])
        outcome = m.access(0, bank, iova, write=write)
        direct = walk(THREE_LEVELS, memory, iova, write=write)
        assert (outcome.pa, outcome.fault, outcome.level) == (direct.pa, direct.fault, direct.level)
        faults += direct.fault is not None
        if chance.random() < 0.01:
            m.tlbi(chance.choice((TLBI_VA, TLBI_VA_LAST)), bank, iova, PAGE)
        if chance.random() < 0.002:
            m.tlbi(TLBI_ASID, bank)
    assert m.accesses == m.utlb_hits + m.tlb_hits + m.walks == 4000
    (utlb,) = m.utlbs
    (walk_cache,) = m.stage1_walk_caches.caches.values()
    walk_cache_hits = m.stage1_walk_caches.hits[0]
    assert (utlb.hits, utlb.misses) == (m.utlb_hits, m.tlb_hits + m.walks)
    assert (m.tlb.hits, m.tlb.misses) == (m.tlb_hits, m.walks)
    assert (walk_cache.hits, walk_cache.misses) == (walk_cache_hits, m.walks - walk_cache_hits)
    assert m.faults == faults
    assert min(m.utlb_hits, m.tlb_hits, m.walks, walk_cache_hits, faults) > 0
    assert m.walk_reads >= m.walks
