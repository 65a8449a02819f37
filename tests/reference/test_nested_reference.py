"""Two stages, and a stage 2 alone, in the whole machine, counted by hand (H2, H3)."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from .smmu import (
    TLBI_ALL,
    TLBI_ASID,
    TLBI_IPAS2,
    TLBI_IPAS2_LAST,
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
    OWN_BLOCK,
    OWN_PAGE,
    PAGE,
    S2_BLOCK,
    S2_PAGE,
    Words,
    owners,
    reads_of,
    spans,
)  # fmt: skip
from .tlb import LRU, RANDOM, ROUND_ROBIN, TREE_PLRU, Owner
from .walker import AARCH64_S1, AARCH64_S2, PERMISSION, TRANSLATION, G, M, Regime, walk_nested

# Nested: four levels over three

MOVED = 4 * G  # PA less IPA
S1_ROOT = 0x10000  # IPA; the tables of stage 1 follow it, all in the first 2M
DATA = G  # IPA of page 0: another 1G than the tables
NESTED_S1 = Regime(AARCH64_S1, ttbr0=S1_ROOT, t0sz=16)
NESTED_S2 = Regime(AARCH64_S2, ttbr0=0x1000, t0sz=25, start_level=1)


class Nested:
    """Eight pages from IOVA 0 at IPA `DATA`; stage 2 has 4K pages and adds `MOVED`.

    Page 7 is at the IPA of page 0 as well, so that its output has been translated if page 0's has.
    """

    def __init__(self, *, banks: int = 1, **caches: object) -> None:
        words = Words()
        self.s2 = words.tree(0x1000, 1)
        self.s1 = words.tree(S1_ROOT, 0, moved=MOVED)
        for page in range(8):
            ipa = DATA + page % 7 * PAGE
            self.s1.map(page * PAGE, ipa, OWN_PAGE)
            self.s2.map(ipa, MOVED + ipa, S2_PAGE)
        for table in range(S1_ROOT, self.s1.last_table + PAGE, PAGE):
            self.s2.map(table, MOVED + table, S2_PAGE)
        self.memory = words.memory
        bank = Bank(NESTED_S1, NESTED_S2, vmid=5)
        alone = Bank(NESTED_S2, vmid=5)
        self.smmu = Smmu([bank] * banks + [alone], words.memory, utlb=BIG, tlb=BIG, **caches)

    def reads(self, page: int) -> int:
        return reads_of(self.smmu, page * PAGE)


def test_a_cold_nested_walk_of_four_levels_over_three_reads_19():
    nested = Nested()
    # Each of four stage-1 tables: three reads of stage 2, then its own. The output: three more.
    assert nested.reads(0) == 4 * (3 + 1) + 3
    assert nested.reads(1) == 19
    assert nested.smmu.access(0, 0, 0x123).pa == MOVED + DATA + 0x123


def test_with_an_ipa_cache_stage_2_is_walked_for_new_pages_only():
    nested = Nested(ipa_cache=BIG)
    assert nested.reads(0) == 19  # five pages of IPAs, all new
    assert nested.reads(1) == 4 + 3  # four tables known, the output not
    assert nested.reads(7) == 4  # everything known
    assert nested.smmu.ipa_hits == 4 + 5
    assert owners(nested.smmu.ipa_cache) == {Owner(5, stage=2)}


def test_a_stage_1_walk_cache_leaves_one_table_address_to_translate():
    nested = Nested(stage1_walk_caches={0: BIG})
    assert nested.reads(0) == 19
    assert nested.reads(1) == (3 + 1) + 3
    assert nested.smmu.stage1_walk_caches.caches[0].entries()[0].payload.address == S1_ROOT + 3 * PAGE


def test_all_walk_caches_and_the_ipa_cache_leave_the_two_last_levels():
    nested = Nested(stage1_walk_caches=DEPTHS, stage2_walk_caches=DEPTHS, ipa_cache=BIG)
    # Cold. Stage 2 for the first table: 3; the other tables lie in the same 2M: 1 each; the output in another
    # 1G: 3. And the four tables themselves.
    assert nested.reads(0) == 3 + 1 + 1 + 1 + 3 + 4
    assert nested.smmu.stage2_walk_caches.hits == {0: 3, 1: 0, 2: 0}
    assert nested.reads(1) == 1 + 1  # its descriptor, and that of its output
    assert nested.reads(7) == 1  # its descriptor
    assert nested.smmu.stage1_walk_caches.hits == {0: 2, 1: 0, 2: 0}
    assert nested.smmu.stage2_walk_caches.hits == {0: 4, 1: 0, 2: 0}
    assert nested.smmu.ipa_hits == 1 + 2


def test_stage_2_walk_caches_alone_save_within_the_first_walk():
    nested = Nested(stage2_walk_caches={1: BIG})
    # Depth 1 only: the first stage-2 walk reads 3, the next three 2 each, the output's 3.
    assert nested.reads(0) == 3 + 2 + 2 + 2 + 3 + 4


def test_a_stale_ipa_entry_survives_tlbi_va():
    nested = Nested(ipa_cache=BIG)
    nested.reads(0)
    nested.s2.map(DATA, 32 * G, S2_PAGE)
    nested.smmu.tlbi(TLBI_VA, 0, 0, PAGE)
    stale = nested.smmu.access(0, 0, 0)
    assert (stale.where, stale.pa, len(stale.reads)) == ("walk", MOVED + DATA, 4)


def test_tlbi_ipas2_leaves_what_is_cached_of_both_stages_together():
    nested = Nested(ipa_cache=BIG)
    nested.reads(0)
    nested.s2.map(DATA, 32 * G, S2_PAGE)
    nested.smmu.tlbi(TLBI_IPAS2, 0, DATA, PAGE)
    stale = nested.smmu.access(0, 0, 0)
    assert (stale.where, stale.pa) == ("utlb", MOVED + DATA)
    nested.smmu.tlbi(TLBI_VA, 0, 0, PAGE)
    fresh = nested.smmu.access(0, 0, 0)
    assert (fresh.pa, len(fresh.reads)) == (32 * G, 4 + 3)


@pytest.mark.parametrize(("kind", "output_reads"), [(TLBI_IPAS2, 3), (TLBI_IPAS2_LAST, 1)])
def test_tlbi_ipas2_takes_stage_2_tables_unless_it_is_last_level(kind: str, output_reads: int):
    nested = Nested(stage2_walk_caches=DEPTHS, ipa_cache=BIG)
    nested.reads(0)
    nested.smmu.tlbi(kind, 0, DATA, PAGE)
    assert nested.reads(7) == 4 + output_reads  # the tables' IPAs lie elsewhere


def test_tlbi_vmid_takes_both_stages_and_what_is_cached_of_both_together():
    everything = {"stage1_walk_caches": DEPTHS, "stage2_walk_caches": DEPTHS, "ipa_cache": BIG}
    nested = Nested(**everything)
    cold = nested.reads(0)
    nested.smmu.access(0, 1, DATA)
    nested.smmu.tlbi(TLBI_VMID, 0)
    assert nested.reads(0) == cold == 13


def test_a_stage_2_walk_is_cached_even_where_stage_1_faults():
    nested = Nested(stage1_walk_caches=DEPTHS, ipa_cache=BIG)
    unmapped = nested.smmu.access(0, 0, 100 * PAGE)
    assert (unmapped.fault, unmapped.stage, unmapped.level) == (TRANSLATION, 1, 3)
    assert len(unmapped.reads) == 4 * (3 + 1)
    assert nested.reads(100) == 4  # no stage-1 walk cache was filled, and four IPAs were
    assert not any(cache.entries() for cache in nested.smmu.stage1_walk_caches.caches.values())


def test_a_stage_2_leaf_is_cached_before_its_permissions_are_asked():
    nested = Nested(ipa_cache=BIG)
    nested.s2.map(DATA, MOVED + DATA, S2_PAGE & ~(1 << 7))  # no writes
    for reads in (19, 4):
        refused = nested.smmu.access(0, 0, 0x40, write=True)
        assert (refused.where, refused.fault, refused.stage, refused.level) == ("walk", PERMISSION, 2, 3)
        assert (refused.s1ptw, refused.ipa, len(refused.reads)) == (False, DATA + 0x40, reads)
    assert nested.smmu.access(0, 0, 0).pa == MOVED + DATA


def test_a_stage_2_walk_that_faults_is_not_cached():
    nested = Nested(stage2_walk_caches=DEPTHS, ipa_cache=BIG)
    nested.s2.words[nested.s2.slot(S1_ROOT, 3)] = 0
    for _ in range(2):
        fault = nested.smmu.access(0, 0, 0)
        assert (fault.fault, fault.stage, fault.s1ptw, len(fault.reads)) == (TRANSLATION, 2, True, 3)


def test_a_hit_that_stage_2_refuses_says_so():
    nested = Nested()
    nested.s2.map(DATA, MOVED + DATA, S2_PAGE & ~(1 << 7))
    nested.reads(0)
    refused = nested.smmu.access(0, 0, 0x40, write=True)
    assert (refused.where, refused.fault, refused.stage, refused.ipa) == ("utlb", PERMISSION, 2, DATA + 0x40)


@pytest.mark.parametrize(("s1_level", "s2_level"), [(2, 3), (3, 2)])
def test_an_entry_of_two_stages_covers_the_smaller_leaf(s1_level: int, s2_level: int):
    nested = Nested(ipa_cache=BIG)
    nested.s1.map(2 * M, 2 * G, OWN_BLOCK if s1_level == 2 else OWN_PAGE, s1_level)
    nested.s2.map(nested.s1.last_table, MOVED + nested.s1.last_table, S2_PAGE)
    nested.s2.map(2 * G, 8 * G, S2_BLOCK if s2_level == 2 else S2_PAGE, s2_level)
    assert nested.smmu.access(0, 0, 2 * M + 8).pa == 8 * G + 8
    assert spans(nested.smmu.tlb) == [(2 * M, PAGE)]
    assert (2 * G, 2 * M if s2_level == 2 else PAGE) in spans(nested.smmu.ipa_cache)


def test_nested_banks_of_one_vmid_share_the_ipa_cache_but_not_stage_1():
    nested = Nested(banks=2, stage1_walk_caches=DEPTHS, ipa_cache=BIG)
    assert reads_of(nested.smmu, 0, bank=0) == 19
    assert reads_of(nested.smmu, 0, bank=1) == 4


# Stage 2 alone


def test_a_stage_2_bank_fills_stage_2_walk_caches_and_no_ipa_cache():
    nested = Nested(stage1_walk_caches=DEPTHS, stage2_walk_caches=DEPTHS, ipa_cache=BIG)
    alone = nested.smmu.access(0, 1, DATA)
    assert (alone.where, alone.pa, len(alone.reads)) == ("walk", MOVED + DATA, 3)
    assert reads_of(nested.smmu, DATA + PAGE, bank=1) == 1
    assert owners(nested.smmu.tlb) == {Owner(5, stage=2)}
    assert not nested.smmu.ipa_cache.entries()
    assert not any(cache.entries() for cache in nested.smmu.stage1_walk_caches.caches.values())


def test_a_stage_2_bank_shares_its_tables_with_the_nested_banks_of_its_vmid():
    nested = Nested(stage2_walk_caches=DEPTHS)
    nested.smmu.access(0, 1, DATA)
    # Tables: 3 + 1 + 1 + 1 and four of their own; the output's level-3 table is known.
    assert nested.reads(0) == 6 + 4 + 1


def test_no_stage_1_look_up_finds_a_stage_2_entry_nor_the_other_way():
    nested = Nested()
    nested.smmu.access(0, 1, DATA)
    assert nested.smmu.access(0, 0, DATA).where == "walk"  # the same address as an IOVA: not mapped
    nested.reads(0)
    assert nested.smmu.access(0, 1, 0).where == "walk"


@pytest.mark.parametrize(
    ("kind", "reads"),
    [
        (TLBI_VA, 3),
        (TLBI_VAA, 3),
        (TLBI_IPAS2, 3),
        (TLBI_VMID, 3),
        (TLBI_ALL, 3),
        (TLBI_VA_LAST, 1),
        (TLBI_VAA_LAST, 1),
        (TLBI_IPAS2_LAST, 1),
        (TLBI_ASID, 0),
        (TLBI_SYNC, 0),
    ],
)
def test_for_a_stage_2_bank_va_kinds_do_what_ipas2_kinds_do(kind: str, reads: int):
    nested = Nested(stage2_walk_caches=DEPTHS)
    nested.smmu.access(0, 1, DATA)
    nested.smmu.tlbi(kind, 1, DATA, PAGE)
    assert reads_of(nested.smmu, DATA, bank=1) == reads


@pytest.mark.parametrize("kind", [TLBI_VA, TLBI_VAA, TLBI_ASID])
def test_no_stage_1_kind_of_a_nested_bank_takes_a_stage_2_entry(kind: str):
    nested = Nested(stage2_walk_caches=DEPTHS)
    nested.smmu.access(0, 1, DATA)
    nested.smmu.tlbi(kind, 0, DATA, PAGE)
    assert nested.smmu.access(0, 1, DATA).where == "utlb"
    assert nested.smmu.stage2_walk_caches.caches[0].entries()


def test_tlbi_asid_of_a_stage_2_bank_takes_nothing_of_the_asid_that_it_was_given():
    nested = Nested()
    nested.smmu.banks[1] = replace(nested.smmu.banks[1], asid=nested.smmu.banks[0].asid)
    nested.reads(0)
    nested.smmu.tlbi(TLBI_ASID, 1)
    assert nested.reads(0) == 0


def test_an_ipa_beyond_the_input_size_is_not_looked_up():
    # Bank 2 has the IPA cache in common with bank 0, and a stage 2 of 30 bits, which `DATA` is beyond.
    nested = Nested(ipa_cache=BIG)
    narrow = replace(NESTED_S2, t0sz=34)
    nested.smmu.banks.append(replace(nested.smmu.banks[0], stage2=narrow, asid=9))
    assert nested.smmu.access(0, 0, 0).fault is None
    outcome = nested.smmu.access(0, 2, 0)
    assert (outcome.fault, outcome.stage, outcome.s1ptw, outcome.level) == (TRANSLATION, 2, False, 0)


# Everything at once


@pytest.mark.parametrize("replacement", [LRU, ROUND_ROBIN, TREE_PLRU, RANDOM])
@pytest.mark.parametrize("seed", range(2))
def test_without_stale_tables_every_answer_is_the_walkers(replacement: str, seed: int):
    chance = random.Random(seed)
    small = Shape(2, 2, replacement, seed)
    depths = dict.fromkeys((0, 1, 2), small)
    nested = Nested(
        banks=2, tbus=2, stage1_walk_caches=depths, stage2_walk_caches=depths, ipa_cache=Shape(2, 4)
    )
    smmu = nested.smmu
    smmu.utlbs = [small.tlb(tbu) for tbu in range(2)]
    smmu.tlb = Shape(4, 2, replacement, seed).tlb()
    for _ in range(400):
        iova = chance.randrange(9) * PAGE + chance.randrange(PAGE)
        access = {"write": chance.random() < 0.3, "privileged": chance.random() < 0.3}
        got = smmu.access(chance.randrange(2), chance.randrange(2), iova, **access)
        want = walk_nested(NESTED_S1, NESTED_S2, nested.memory, iova, **access)
        assert (got.pa, got.fault) == (want.pa, want.fault)
        assert len(got.reads) <= 19
        if chance.random() < 0.1:
            kind = chance.choice([TLBI_VA, TLBI_VAA_LAST, TLBI_ASID, TLBI_IPAS2, TLBI_VMID, TLBI_ALL])
            smmu.tlbi(kind, chance.randrange(2), chance.choice((0, DATA)) + PAGE, 2 * PAGE)
    assert smmu.utlb_hits + smmu.tlb_hits + smmu.walks == smmu.accesses == 400
