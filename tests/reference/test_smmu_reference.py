"""TLBs, walk caches and invalidation of the whole machine, counted by hand (H2, H3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from .smmu import (
    TLBI_ALL,
    TLBI_ASID,
    TLBI_IPAS2,
    TLBI_SYNC,
    TLBI_VA,
    TLBI_VA_LAST,
    TLBI_VAA,
    TLBI_VAA_LAST,
    TLBI_VMID,
    Bank,
    Shape,
    Smmu,
)  # fmt: skip
from .tables import (
    BIG,
    DEPTHS,
    GLOBAL_PAGE,
    OWN_BLOCK,
    OWN_PAGE,
    PAGE,
    READ_ONLY,
    Tree,
    Words,
    owners,
    reads_of,
    spans,
)  # fmt: skip
from .tlb import Owner
from .walker import (
    AARCH32_SHORT,
    AARCH64_S1,
    EXTERNAL,
    PERMISSION,
    TRANSLATION,
    G,
    K,
    M,
    Regime,
    memory_of_words32,
    table_reach,
)  # fmt: skip

# Walk caches

FOUR_LEVELS = Regime(AARCH64_S1, ttbr0=0x1000, t0sz=16)
THREE_LEVELS = Regime(AARCH64_S1, ttbr0=0x1000, t0sz=25)


def plain(regime: Regime = FOUR_LEVELS, **caches: object) -> tuple[Smmu, Tree]:
    """One stage-1 bank: 2M blocks at 0 and 2M, pages at 4M, 4M + 4K and 6M, all output 64G above."""
    words = Words()
    tree = words.tree(0x1000, 0 if regime.t0sz == 16 else 1)
    for iova in (0, 2 * M):
        tree.map(iova, 64 * G + iova, OWN_BLOCK, level=2)
    for iova in (4 * M, 4 * M + PAGE, 6 * M):
        tree.map(iova, 64 * G + iova, OWN_PAGE)
    smmu = Smmu([Bank(regime)], words.memory, utlb=Shape(1, 1), tlb=Shape(1, 1), **caches)
    return smmu, tree


def test_a_walk_that_ends_at_a_2m_block_enters_depths_1_and_2_only():
    smmu, _ = plain(stage1_walk_caches=DEPTHS)
    assert reads_of(smmu, 0) == 3  # levels 0, 1 and 2
    caches = smmu.stage1_walk_caches.caches
    assert spans(caches[0]) == []
    assert spans(caches[1]) == [(0, G)]  # the level-2 table
    assert spans(caches[2]) == [(0, 512 * G)]  # the level-1 table
    # Nothing inherited; the root is at 0x1000, the first two tables follow it.
    assert [caches[depth].entries()[0].payload.address for depth in (1, 2)] == [0x3000, 0x2000]


def test_a_walk_starts_at_the_deepest_table_that_is_cached():
    smmu, _ = plain(stage1_walk_caches=DEPTHS)
    assert reads_of(smmu, 0) == 3
    assert reads_of(smmu, 2 * M) == 1  # level 2 from depth 1
    assert reads_of(smmu, 4 * M) == 2  # level 2 from depth 1, and level 3, which enters depth 0
    assert reads_of(smmu, 4 * M + PAGE) == 1  # level 3 from depth 0
    assert reads_of(smmu, 6 * M) == 2  # another level-3 table
    hits = smmu.stage1_walk_caches.hits
    assert hits == {0: 1, 1: 3, 2: 0}
    assert spans(smmu.stage1_walk_caches.caches[0]) == [(4 * M, 2 * M), (6 * M, 2 * M)]


def test_a_hit_in_depth_0_is_no_use_of_depth_1():
    smmu, tree = plain(THREE_LEVELS, stage1_walk_caches={0: BIG, 1: Shape(1, 2)})
    for iova in (G, 2 * G):
        tree.map(iova, 64 * G, OWN_PAGE)
    assert [reads_of(smmu, iova) for iova in (4 * M, G)] == [3, 3]  # depth 1 is full
    assert reads_of(smmu, 4 * M + PAGE) == 1  # from depth 0
    assert reads_of(smmu, 2 * G) == 3  # evicts the level-2 table of the first 1G, used longest ago
    assert reads_of(smmu, 6 * M) == 3


@pytest.mark.parametrize(("depth", "second"), [(0, 1), (1, 2), (2, 3)])
def test_one_walk_cache_alone_saves_what_lies_above_its_depth(depth: int, second: int):
    smmu, _ = plain(stage1_walk_caches={depth: BIG})
    assert reads_of(smmu, 4 * M) == 4
    assert reads_of(smmu, 4 * M + PAGE) == second


def test_without_walk_caches_every_walk_reads_every_level():
    smmu, _ = plain()
    assert [reads_of(smmu, iova) for iova in (0, 4 * M, 4 * M + PAGE)] == [3, 4, 4]


def test_the_start_level_table_is_never_cached():
    smmu, _ = plain(THREE_LEVELS, stage1_walk_caches=DEPTHS)
    assert reads_of(smmu, 4 * M) == 3
    caches = smmu.stage1_walk_caches.caches
    assert [len(caches[depth].entries()) for depth in (0, 1, 2)] == [1, 1, 0]


def test_a_walk_does_not_look_for_a_table_of_its_own_start_level():
    # Bank 1 starts at level 1, where bank 0, of the same owner, has cached a table: depth 2.
    smmu, tree = plain(stage1_walk_caches={2: BIG})
    smmu.banks.append(replace(smmu.banks[0], regime=replace(THREE_LEVELS, ttbr0=0x2000)))
    assert reads_of(smmu, 4 * M) == 4
    tree.words[0x2000] = 0  # the level-1 descriptor of both: read, and no longer valid
    assert smmu.access(0, 1, 4 * M + PAGE).fault == TRANSLATION
    assert smmu.stage1_walk_caches.hits[2] == 0


def test_a_table_taken_from_a_walk_cache_is_not_entered_again():
    smmu, _ = plain(stage1_walk_caches=DEPTHS)
    assert reads_of(smmu, 4 * M) == 4
    (before,) = smmu.stage1_walk_caches.caches[1].entries()
    smmu.stage1_walk_caches.caches[2].invalidate_all()
    assert reads_of(smmu, 6 * M) == 2  # from depth 1: enters depth 0, neither 1 nor 2
    (after,) = smmu.stage1_walk_caches.caches[1].entries()
    assert after is before
    assert spans(smmu.stage1_walk_caches.caches[2]) == []


def test_a_faulting_walk_enters_no_stage_1_walk_cache():
    smmu, tree = plain(stage1_walk_caches=DEPTHS)
    tree.map(8 * M, 64 * G, OWN_PAGE | READ_ONLY)
    refused = smmu.access(0, 0, 8 * M, write=True)
    assert (refused.fault, refused.level, len(refused.reads)) == (PERMISSION, 3, 4)
    unmapped = smmu.access(0, 0, 8 * M + PAGE)
    assert (unmapped.fault, unmapped.level, len(unmapped.reads)) == (TRANSLATION, 3, 4)
    assert all(not cache.entries() for cache in smmu.stage1_walk_caches.caches.values())
    assert not smmu.tlb.entries()
    assert not smmu.utlbs[0].entries()


def test_a_walk_cache_hands_on_what_its_table_inherits():
    smmu, tree = plain(stage1_walk_caches={0: BIG})
    tree.words[tree.slot(4 * M, 2)] |= 1 << 62  # APTable[1]: no writes below
    assert reads_of(smmu, 4 * M) == 4
    refused = smmu.access(0, 0, 4 * M + PAGE, write=True)
    assert (refused.where, refused.fault, len(refused.reads)) == ("walk", PERMISSION, 1)


def test_a_stale_table_is_used_until_it_is_invalidated():
    smmu, tree = plain(stage1_walk_caches={0: BIG})
    smmu.access(0, 0, 4 * M)
    tree.words[tree.slot(4 * M, 2)] = 0
    stale = smmu.access(0, 0, 4 * M + PAGE)
    assert (stale.pa, len(stale.reads)) == (64 * G + 4 * M + PAGE, 1)
    smmu.tlbi(TLBI_VA_LAST, 0, 4 * M, 2 * M)
    assert smmu.access(0, 0, 4 * M + PAGE).where == "walk"
    smmu.tlbi(TLBI_VA, 0, 4 * M + 99 * PAGE, PAGE)  # meets what the table covers, not the page
    assert smmu.access(0, 0, 4 * M).fault == TRANSLATION


def test_a_table_outside_memory_is_an_external_fault_that_counts_no_read():
    smmu, tree = plain()
    tree.words[tree.slot(8 * M, 2)] = 0xDEAD_0000 | 3
    outcome = smmu.access(0, 0, 8 * M)
    assert (outcome.fault, outcome.level, smmu.walk_reads) == (EXTERNAL, 3, 3)


def test_tables_of_one_depth_cover_another_size_in_every_granule():
    for depth in (0, 1, 2):
        reach = [table_reach(granule, depth) for granule in (4 * K, 16 * K, 64 * K)]
        assert len(set(reach)) == 3
    assert table_reach(16 * K, 0) == 32 * M
    assert table_reach(64 * K, 0) == 512 * M


def test_a_short_descriptor_table_is_of_depth_0_and_covers_1m():
    # First-level entry 1 (1M to 2M): a table at 0x8000, PXN. Pages 0 and 1: AP 0b011, the access flag (AFE)
    # and unprivileged access.
    words = {0x4004: 0x8000 | 1 << 2 | 1, 0x8000: 0x10_0000 | 0x32, 0x8004: 0x10_1000 | 0x32}
    regime = Regime(AARCH32_SHORT, ttbr0=0x4000, t0sz=0)
    smmu = Smmu(
        [Bank(regime)],
        memory_of_words32(words),
        utlb=Shape(1, 1),
        tlb=Shape(1, 1),
        stage1_walk_caches=DEPTHS,
    )
    assert reads_of(smmu, M) == 2
    assert spans(smmu.stage1_walk_caches.caches[0]) == [(M, M)]
    assert spans(smmu.stage1_walk_caches.caches[1]) == []
    refused = smmu.access(0, 0, M + PAGE, privileged=True, instruction=True)  # PXN is inherited
    assert (refused.fault, len(refused.reads)) == (PERMISSION, 1)
    assert smmu.access(0, 0, M + PAGE, instruction=True).pa == 0x10_1000


# Owners

SHARED = [  # (asid, vmid): 0 and 1 are one owner, 2 another ASID, 3 another VMID
    (7, 1),
    (7, 1),
    (8, 1),
    (7, 2),
]


def owned(leaf: int, **caches: object) -> tuple[Smmu, Tree]:
    """Four banks over the same tables: a page at 0."""
    words = Words()
    tree = words.tree(0x1000, 1)
    tree.map(0, 64 * G, leaf)
    banks = [Bank(THREE_LEVELS, asid=asid, vmid=vmid) for asid, vmid in SHARED]
    return Smmu(banks, words.memory, utlb=BIG, tlb=BIG, **caches), tree


def where(smmu: Smmu, iova: int = 0) -> list[str]:
    return [smmu.access(0, bank, iova).where for bank in range(4)]


def test_banks_with_the_same_vmid_and_asid_share_entries():
    smmu, _ = owned(OWN_PAGE)
    assert where(smmu) == ["walk", "utlb", "walk", "walk"]


def test_a_global_entry_is_found_by_every_asid_of_its_vmid_and_by_no_other_vmid():
    smmu, _ = owned(GLOBAL_PAGE)
    assert where(smmu) == ["walk", "utlb", "utlb", "walk"]
    assert owners(smmu.tlb) == {Owner(1), Owner(2)}


def test_walk_cache_entries_are_never_global():
    smmu, tree = owned(GLOBAL_PAGE, stage1_walk_caches=DEPTHS)
    tree.map(PAGE, 64 * G + PAGE, GLOBAL_PAGE)
    assert reads_of(smmu, 0, bank=0) == 3
    assert reads_of(smmu, PAGE, bank=2) == 3  # the other ASID does not see bank 0's tables
    assert owners(smmu.stage1_walk_caches.caches[0]) == {Owner(1, 7), Owner(1, 8)}


def test_banks_have_an_asid_and_a_vmid_of_their_own_unless_told():
    smmu = Smmu([Bank(THREE_LEVELS)] * 2, Words().memory, utlb=BIG, tlb=BIG)
    assert [(bank.asid, bank.vmid) for bank in smmu.banks] == [(0, 1), (1, 2)]


def test_the_banks_own_entry_comes_before_the_vmids_global_one():
    smmu, tree = owned(OWN_PAGE)
    smmu.access(0, 0, 0)  # the owner's: 64G
    tree.map(0, 32 * G, GLOBAL_PAGE)
    smmu.access(0, 2, 0)  # global in the VMID: 32G
    assert [smmu.access(0, bank, 0).pa for bank in (0, 1, 2)] == [64 * G, 64 * G, 32 * G]


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        (TLBI_ASID, {Owner(1), Owner(1, 8), Owner(2), Owner(2, 7)}),
        (TLBI_VA, {Owner(1, 8), Owner(2), Owner(2, 7)}),
        (TLBI_VA_LAST, {Owner(1, 8), Owner(2), Owner(2, 7)}),
        (TLBI_VAA, {Owner(2), Owner(2, 7)}),
        (TLBI_VAA_LAST, {Owner(2), Owner(2, 7)}),
        (TLBI_VMID, {Owner(2), Owner(2, 7)}),
        (TLBI_IPAS2, {Owner(1), Owner(1, 7), Owner(1, 8), Owner(2), Owner(2, 7)}),
        (TLBI_SYNC, {Owner(1), Owner(1, 7), Owner(1, 8), Owner(2), Owner(2, 7)}),
        (TLBI_ALL, set()),
    ],
)
def test_an_invalidation_takes_the_owners_that_it_names(kind: str, left: set[Owner]):
    smmu, tree = owned(OWN_PAGE)
    tree.map(PAGE, 64 * G, GLOBAL_PAGE)
    where(smmu, 0)
    where(smmu, PAGE)
    smmu.tlbi(kind, bank=0, iova=0, size=2 * PAGE)
    assert owners(smmu.tlb) == owners(smmu.utlbs[0]) == left


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        (TLBI_ASID, {Owner(1, 8), Owner(2, 7)}),
        (TLBI_VA, {Owner(1, 8), Owner(2, 7)}),
        (TLBI_VA_LAST, {Owner(1, 7), Owner(1, 8), Owner(2, 7)}),
        (TLBI_VAA, {Owner(2, 7)}),
        (TLBI_VAA_LAST, {Owner(1, 7), Owner(1, 8), Owner(2, 7)}),
        (TLBI_VMID, {Owner(2, 7)}),
        (TLBI_IPAS2, {Owner(1, 7), Owner(1, 8), Owner(2, 7)}),
        (TLBI_ALL, set()),
    ],
)
def test_an_invalidation_takes_stage_1_tables_unless_it_is_last_level(kind: str, left: set[Owner]):
    smmu, _ = owned(OWN_PAGE, stage1_walk_caches=DEPTHS)
    where(smmu)
    smmu.tlbi(kind, bank=1, iova=0, size=PAGE)
    assert owners(smmu.stage1_walk_caches.caches[0]) == left
    assert owners(smmu.stage1_walk_caches.caches[1]) == left


def test_an_unknown_kind_is_refused():
    smmu, _ = owned(OWN_PAGE)
    with pytest.raises(ValueError, match="TLBI_NONE"):
        smmu.tlbi("TLBI_NONE")


# Look-ups


def test_of_a_stale_page_and_a_block_the_page_answers():
    smmu, tree = owned(OWN_PAGE)
    assert smmu.access(0, 0, 0).pa == 64 * G  # an entry of 4K
    tree.map(0, 32 * G, OWN_BLOCK, level=2)
    assert smmu.access(0, 0, PAGE).pa == 32 * G + PAGE  # an entry of 2M, over the same 4K too
    assert smmu.access(0, 0, 0x123).pa == 64 * G + 0x123
    smmu.tlbi(TLBI_VA, 0, 0, 1)  # both meet the range
    assert not smmu.tlb.entries()


def test_a_refused_tlb_hit_is_copied_into_the_micro_tlb():
    words = Words()
    tree = words.tree(0x1000, 1)
    tree.map(0, 64 * G, OWN_PAGE | READ_ONLY)
    smmu = Smmu([Bank(THREE_LEVELS)], words.memory, utlb=BIG, tlb=BIG, tbus=2)
    assert smmu.access(0, 0, 0).where == "walk"
    refused = smmu.access(1, 0, 0, write=True)
    assert (refused.where, refused.fault, refused.level) == ("tlb", PERMISSION, 3)
    assert smmu.access(1, 0, 0).where == "utlb"
    assert smmu.access(0, 0, 0).where == "utlb"
    assert smmu.counts() == {
        "accesses": 4,
        "utlb_hits": 2,
        "tlb_hits": 1,
        "walks": 1,
        "walk_reads": 3,
        "faults": 1,
        "ipa_hits": 0,
        **{f"{stage}_hits_{depth}": 0 for stage in ("stage1", "stage2") for depth in (0, 1, 2)},
    }


def test_an_invalidation_reaches_the_micro_tlb_of_every_tbu():
    words = Words()
    words.tree(0x1000, 1).map(0, 64 * G, OWN_PAGE)
    smmu = Smmu([Bank(THREE_LEVELS)], words.memory, utlb=BIG, tlb=BIG, tbus=3)
    assert [smmu.access(tbu, 0, 0).where for tbu in (0, 1, 2)] == ["walk", "tlb", "tlb"]
    smmu.tlbi(TLBI_VA, 0, 0, PAGE)
    assert not any(utlb.entries() for utlb in smmu.utlbs)


@pytest.mark.parametrize(("output", "size"), [(64 * G, 64 * K), (64 * G + PAGE, PAGE)])
def test_a_run_is_one_entry_if_its_input_and_output_are_aligned_alike(output: int, size: int):
    words = Words()
    tree = words.tree(0x1000, 1)
    for page in range(16):
        tree.map(page * PAGE, output + page * PAGE, OWN_PAGE | 1 << 52)
    smmu = Smmu([Bank(THREE_LEVELS)], words.memory, utlb=BIG, tlb=BIG)
    assert smmu.access(0, 0, 3 * PAGE).pa == output + 3 * PAGE
    assert [entry.size for entry in smmu.tlb.entries()] == [size]


# Inputs and ranges


def adreno() -> tuple[Smmu, Tree]:
    """One bank of two halves, sign-extended from bit 48: a page at the lowest address of the upper half."""
    words = Words()
    tree = words.tree(0x1000, 0)
    tree.map(0xFFFF_0000_0000_0000, 64 * G, OWN_PAGE)
    regime = Regime(AARCH64_S1, ttbr1=0x1000, epd0=True, epd1=False, sep=48)
    return Smmu([Bank(regime)], words.memory, utlb=BIG, tlb=BIG), tree


def test_an_entry_is_for_the_input_that_sep_makes_of_an_address():
    smmu, _ = adreno()
    assert smmu.access(0, 0, 1 << 48).pa == 64 * G
    assert spans(smmu.tlb) == [(0xFFFF_0000_0000_0000, PAGE)]
    # Bits above 48 do not count.
    again = smmu.access(0, 0, 0x7_0001_0000_0000_0123)
    assert (again.where, again.pa) == ("utlb", 64 * G + 0x123)


def test_an_invalidation_begins_at_the_input_that_sep_makes_of_an_address():
    smmu, _ = adreno()
    smmu.access(0, 0, 1 << 48)
    smmu.tlbi(TLBI_VA, 0, 1 << 48, 0)  # an empty range
    smmu.tlbi(TLBI_VA, 0, (1 << 48) - PAGE, PAGE)  # the last page of the lower half
    assert smmu.tlb.entries()
    smmu.tlbi(TLBI_VA, 0, 1 << 48, PAGE)
    assert not smmu.tlb.entries()


def test_a_range_ends_where_the_addresses_do():
    smmu, _ = owned(OWN_PAGE)
    smmu.access(0, 0, 0)
    smmu.tlbi(TLBI_VA, 0, (1 << 64) - PAGE, 2 * PAGE)
    assert smmu.tlb.entries()
