"""A block in stages leaves what accesses one by one leave: answers, counts, every cache (H2, design 11)."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from smmucore.shapes import NONE, Caches, Shape
from smmucore.spaces import linux
from smmucore.tlb import Cache
from smmucore.translate import Translator
from traces import events as ev

from .tools import RW, K, M, Row, events

REPLACEMENTS = ("lru", "lru", "round-robin", "tree-plru", "random")
CACHES = ("utlb", "tlb", "walk0", "walk1", "walk2")


def random_shape(rng: random.Random, *, absent: float) -> Shape:
    if rng.random() < absent:
        return NONE
    return Shape(rng.choice((1, 2, 4)), rng.choice((1, 2, 4, 8)), rng.choice(REPLACEMENTS), rng.randrange(9))


def random_rows(rng: random.Random, blocks: int) -> list[list[Row]]:
    """Pages of two banks, some read-only; blocks of accesses; now and then something else."""
    pages = []
    for bank in (0, 1):
        for n in range(rng.choice((4, 40, 200))):
            iova = (rng.randrange(8) << 21 | n * 4 * K) + (rng.randrange(3) << 30)
            if all(p.requester != bank or p.iova != iova for p in pages):
                rights = RW if rng.random() < 0.9 else ev.PROT_READ
                pages.append(Row(ev.MAP, iova, 4 * K, M + n * 8 * K, rights, bank))
    made = [list(pages)]
    strays = rng.choice((0, 0, 0, 0.002))
    writes = rng.choice((0, 0, 0.3))
    for _ in range(blocks):
        rows = []
        bank = rng.choice((0, 1, None))
        mine = [p for p in pages if bank is None or p.requester == bank]
        page = rng.choice(mine)
        for _ in range(rng.randrange(1, 400)):
            if rng.random() < 0.6:
                page = rng.choice(mine[: rng.choice((3, len(mine)))])
            iova = page.iova + rng.randrange(4 * K)
            if rng.random() < strays:
                iova = rng.choice((5 << 30, 1 << 44))
            op = ev.WRITE if rng.random() < writes else ev.READ
            rows.append(Row(op, iova, 4, 0, 0, page.requester))
        page = rng.choice(pages)
        what = rng.random()
        if what < 0.3:
            kinds = (ev.TLBI_VA, ev.TLBI_VA_LAST, ev.TLBI_ASID, ev.TLBI_ALL)
            rows.append(Row(ev.TLBI, page.iova, 4 * K, 0, rng.choice(kinds), page.requester))
        elif what < 0.4:  # without an invalidation: TLBs go on with what they hold
            rows.append(Row(ev.UNMAP, page.iova, 4 * K, 0, 0, page.requester))
            rows.append(Row(ev.MAP, page.iova, 4 * K, 64 * M + page.pa, page.prot, page.requester))
        elif what < 0.45:  # from here on pages have two sizes, and nothing is done in stages
            rows.append(Row(ev.MAP, 7 << 30, 2 * M, 128 * M, RW, 0))
            rows.append(Row(ev.READ, 7 << 30, 4, 0, 0, 0))
            made.append(rows)
            break
        made.append(rows)
    return made


def same_cache(name: str, one: Cache, other: Cache) -> None:
    if one.info.sets == 0:
        return
    assert np.array_equal(one.words, other.words), name
    assert np.array_equal(one.values, other.values), name
    assert np.array_equal(one.order, other.order), name
    assert np.array_equal(one.units.random, other.units.random), name


def check(seed: int, blocks: int, tally: Counter[str]) -> None:
    rng = random.Random(seed)
    caches = Caches(
        random_shape(rng, absent=0),
        random_shape(rng, absent=0),
        tuple(random_shape(rng, absent=0.4) for _ in range(3)),
    )
    spaces = [linux(rng.choice((39, 48)))[0] for _ in range(2)]
    staged, single = Translator.empty(spaces, caches=caches), Translator.empty(spaces, caches=caches)
    single._stages.made.wait = 1 << 40  # never worth a try
    for rows in random_rows(rng, blocks):
        made = events(rows)
        before = staged._stages.made.done
        answers = staged.feed(made)
        tally["in stages"] += staged._stages.made.done - before
        tally["accesses"] += sum(row.op <= ev.EXEC for row in rows)
        assert np.array_equal(answers, single.feed(made)), seed
        tally["faults"] += int((answers.fault != 0).sum())
        assert staged.counts == single.counts, seed
        for name in CACHES:
            same_cache(f"{name} {seed}", getattr(staged.mmu, name), getattr(single.mmu, name))
    assert single._stages.made.done == 0


def test_blocks_in_stages_leave_what_accesses_one_by_one_leave() -> None:
    tally: Counter[str] = Counter()
    for seed in range(150):
        check(seed, 12, tally)
    assert tally["in stages"] > tally["accesses"] // 3
    assert tally["in stages"] < tally["accesses"]
    assert tally["faults"] > 100


def test_counting_alone_counts_the_same() -> None:
    for seed in range(20):
        blocks = random_rows(random.Random(seed), 6)
        counting, answering = Translator.empty(linux(39, 39)), Translator.empty(linux(39, 39))
        for rows in blocks:
            counting.count(events(rows))
            answering.feed(events(rows))
            assert counting.counts == answering.counts


@pytest.mark.nojit
def test_a_few_blocks_in_stages_with_the_compiler_off() -> None:
    tally: Counter[str] = Counter()
    for seed in (0, 3):
        check(seed, 2, tally)
    assert tally["in stages"] > 0
