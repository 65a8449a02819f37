"""The core's caches and the reference's hold and answer the same (H2, H3; docs/translation.md)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from smmucore.shapes import DEPTHS, NAMES
from tests.reference import walker
from tests.reference.smmu import KINDS

from .lockstep import Lockstep
from .machines import ANY, FORMATS
from .tools import SOURCE_OF

FAULTS = (walker.TRANSLATION, walker.ADDRESS_SIZE, walker.ACCESS_FLAG, walker.PERMISSION, walker.EXTERNAL)
#: log2 of the pages, blocks and runs that there are.
SIZE_BITS = (12, 14, 16, 20, 21, 24, 25, 29, 30, 34, 42)

STAGE_1_TABLES = [f"stage-1 walk cache {depth}" for depth in range(DEPTHS)]
STAGE_2_TABLES = [f"stage-2 walk cache {depth}" for depth in range(DEPTHS)]
TRANSLATIONS = ["micro-TLB", "TLB"]
CACHES = [*TRANSLATIONS, *STAGE_1_TABLES, *STAGE_2_TABLES, "IPA cache"]
#: From which caches each kind takes something; the VA kinds of a bank with a stage 2 alone count as IPAS2.
TAKES = {
    "TLBI_VA": [*TRANSLATIONS, *STAGE_1_TABLES],
    "TLBI_VA_LAST": TRANSLATIONS,
    "TLBI_VAA": [*TRANSLATIONS, *STAGE_1_TABLES],
    "TLBI_VAA_LAST": TRANSLATIONS,
    "TLBI_ASID": [*TRANSLATIONS, *STAGE_1_TABLES],
    "TLBI_IPAS2": [*TRANSLATIONS, *STAGE_2_TABLES, "IPA cache"],
    "TLBI_IPAS2_LAST": [*TRANSLATIONS, "IPA cache"],
    "TLBI_VMID": CACHES,
    "TLBI_ALL": CACHES,
    "TLBI_SYNC": [],
}


def everything_happened(tally: Counter[Any], replacement: str) -> None:
    """A comparison proves nothing of what did not occur."""
    for cache in CACHES:
        assert tally["hits", cache] > 20, cache
        assert tally["evictions", cache, replacement] > 5, cache
    for kind in KINDS:
        for regime in ("alone", "stage 1"):
            assert tally["tlbi", kind, regime] > 0, (kind, regime)
        for cache in CACHES:
            if cache not in TAKES[kind]:
                assert tally["tlbi", kind, cache] == 0, (kind, cache)
            elif not cache.endswith("2"):  # those are few
                assert tally["tlbi", kind, cache] > 0, (kind, cache)
    for where in ("utlb", "tlb"):
        assert tally["stale", where] > 10, where
        assert tally["answer", where, walker.PERMISSION] > 50, where
        for whose in ("global", "own"):
            assert tally[whose, where, "another's"] > 10, (whose, where)
    assert tally["stale", "walk"] > 10, "through a stale table"
    for fault in FAULTS:
        for stage, s1ptw in ((1, False), (2, False), (2, True)):
            assert tally["fault", fault, stage, s1ptw] > 20, (fault, stage, s1ptw)
    assert {1 << bits for bits in SIZE_BITS} == {key[1] for key in tally if key[0] == "size"}
    assert tally["remaps"] > 300


# 14 x 4 x 375 = 21,000 accesses for each replacement.
@pytest.mark.parametrize("replacement", NAMES)
def test_on_random_machines_every_answer_and_every_cache_is_the_references(replacement: str) -> None:
    tally: Counter[Any] = Counter()
    for kind in FORMATS:
        for seed in range(4):
            Lockstep(seed, kind, replacement, tally).run(375)
        assert tally["accesses", kind] == 1_500
    assert sum(tally["answer", where, fault] for where in SOURCE_OF for fault in (None, *FAULTS)) == 21_000
    everything_happened(tally, replacement)


@pytest.mark.parametrize("kind", FORMATS)
def test_caches_with_replacements_of_their_own_are_the_references_too(kind: str) -> None:
    Lockstep(4, kind, ANY, Counter()).run(400)


@pytest.mark.nojit
@pytest.mark.parametrize("replacement", NAMES)
@pytest.mark.parametrize("kind", FORMATS)
def test_a_few_answers_of_a_random_machine_are_the_references(kind: str, replacement: str) -> None:
    Lockstep(5, kind, replacement, Counter()).run(30)
