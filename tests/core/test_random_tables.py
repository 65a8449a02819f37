"""Random tables, random accesses: the core, the reference walker on the same words and a plain dict agree."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from smmucore.pagetable import Memory
from smmucore.registers import FSR_AFF, FSR_EF, FSR_PF, FSR_TF
from smmucore.spaces import linux
from smmucore.tlb import SLOTS, Cache
from smmucore.translate import Translator
from tests.reference import walker
from traces import events as ev

from .tools import (
    FSR_OF,
    RW,
    G,
    K,
    M,
    Row,
    access_of,
    entry_pa,
    events,
    put,
    reference_memory,
    regimes_of,
    shapes,
    word_at,
)

AF = 1 << 10
AP_UNPRIV = 1 << 6
AP_RDONLY = 1 << 7
BOTH_XN = 3 << 53
# Of a table descriptor.  The core knows one execute-never bit: it is set with its privileged twin.
XN_TABLES = 3 << 59
NO_UNPRIV_TABLE = 1 << 61
RDONLY_TABLE = 1 << 62

RIGHTS = [
    right | execute | private
    for right in (ev.PROT_READ, ev.PROT_WRITE, RW)
    for execute in (0, ev.PROT_EXEC)
    for private in (0, ev.PROT_PRIV)
]


@dataclass
class Pages:
    """What is mapped, as (log2 of the page's size, its number) -> (output address, rights)."""

    ias: int
    leaves: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    def leaf_at(self, iova: int) -> tuple[int, int] | None:
        """(log2 of the size, number) of the page that holds `iova`."""
        return next((key for b in (12, 21, 30) if (key := (b, iova >> b)) in self.leaves), None)

    def is_free(self, iova: int, size: int) -> bool:
        return iova + size <= 1 << self.ias and not any(
            number << bits < iova + size and iova < (number + 1) << bits for bits, number in self.leaves
        )

    def map(self, iova: int, size: int, pa: int, prot: int) -> None:
        while size:
            bits = next(b for b in (30, 21, 12) if size >= 1 << b and (iova | pa) % (1 << b) == 0)
            self.leaves[bits, iova >> bits] = pa, prot
            iova, pa, size = iova + (1 << bits), pa + (1 << bits), size - (1 << bits)

    def expected(self, row: Row) -> tuple[int, int]:
        """(FSR bit or 0, output address or 0) of an access."""
        key = self.leaf_at(row.iova)
        if key is None:
            return FSR_TF, 0
        pa, prot = self.leaves[key]
        allowed = row.prot & ev.PROT_PRIV or not prot & ev.PROT_PRIV
        if row.op == ev.WRITE:
            allowed = allowed and prot & ev.PROT_WRITE
        if row.op == ev.EXEC:
            allowed = allowed and prot & ev.PROT_EXEC
        return (0, pa + row.iova % (1 << key[0])) if allowed else (FSR_PF, 0)


def random_map(rng: random.Random, pages: Pages) -> Row | None:
    """A MAP of free addresses: some pages, blocks, or a run that needs leaves of several sizes."""
    kind = rng.choice(("pages", "pages", "pages", "blocks", "gigabyte", "mixed"))
    # Few regions, so that mappings share tables.
    region = rng.randrange(4) * (1 << (pages.ias - 2)) + rng.randrange(3) * G % (1 << (pages.ias - 2))
    if kind == "pages":
        iova = region + rng.randrange(3) * 2 * M + rng.randrange(512) * 4 * K
        size, pa = rng.randint(1, 40) * 4 * K, rng.randrange(1 << 30) * 4 * K
    elif kind == "blocks":
        iova = region + rng.randrange(512) * 2 * M
        size, pa = rng.randint(1, 4) * 2 * M, rng.randrange(1 << 20) * 2 * M
    elif kind == "gigabyte":
        iova, size, pa = region, G, rng.randrange(1 << 12) * G
    else:
        # Aligned alike, so that a page or two are followed by blocks and pages again.
        before, after = rng.randint(0, 3) * 4 * K, rng.randint(0, 3) * 4 * K
        iova = region + rng.randint(1, 510) * 2 * M - before
        size, pa = before + 2 * M * rng.randint(0, 2) + after, rng.randint(1, 1 << 20) * 2 * M - before
    if not size or not pages.is_free(iova, size):
        return None
    prot = rng.choice(RIGHTS) | rng.choice((0, ev.PROT_CACHE, ev.PROT_DEVICE))
    return Row(ev.MAP, iova, size, pa, prot)


def random_unmap(rng: random.Random, pages: Pages) -> Row:
    """An UNMAP of some whole pages and of what lies unmapped behind them."""
    bits, number = rng.choice(list(pages.leaves))
    iova, size = number << bits, 1 << bits
    while rng.random() < 0.5:
        behind = pages.leaf_at(iova + size)
        if iova + size + 4 * K > 1 << pages.ias:
            break
        if behind is not None and behind[1] << behind[0] != iova + size:
            break
        size += 1 << behind[0] if behind is not None else 4 * K
    inside = [key for key in pages.leaves if iova <= key[1] << key[0] < iova + size]
    for key in inside:
        del pages.leaves[key]
    return Row(ev.UNMAP, iova, size)


def random_access(rng: random.Random, pages: Pages) -> Row:
    op = rng.choice((ev.READ, ev.WRITE, ev.EXEC))
    prot = rng.choice((0, ev.PROT_PRIV))
    draw = rng.random()
    if draw < 0.75 and pages.leaves:
        bits, number = rng.choice(list(pages.leaves))
        iova = (number << bits) + rng.randrange(1 << bits)
        if draw > 0.6:  # a neighbour, often not mapped
            iova = max(0, iova + rng.choice((-1, 1)) * rng.choice((4 * K, 2 * M, G)))
    elif draw < 0.95:
        iova = rng.randrange(1 << pages.ias)
    else:
        iova = rng.choice((1 << pages.ias, rng.randrange(1 << 64), (1 << 64) - 1, 1 << 55))
    return Row(op, iova, 4, 0, prot)


def compare(translator: Translator, rows: list[Row], pages: Pages | None = None) -> int:
    """Translate and hold every answer against the reference walker, and against `pages` where given."""
    answers = translator.feed(events(rows))
    memory, regimes = reference_memory(translator.mem), regimes_of(translator)
    for row, answer in zip(rows, answers, strict=True):
        want = walker.walk(regimes[row.requester], memory, row.iova, **access_of(row))
        assert (int(answer.fault), int(answer.level)) == (FSR_OF[want.fault], want.level), row
        assert int(answer.pa) == (want.pa or 0), row
        if pages is not None:
            assert (int(answer.fault), int(answer.pa)) == pages.expected(row), row
    return len(rows)


def deface(rng: random.Random, translator: Translator, pages: Pages) -> None:
    """Change descriptors by hand into what no mapper writes: table bits, AF 0, reserved types, far tables."""
    mem, regime = translator.mem, translator.regimes[0]
    for _ in range(25):
        bits, number = rng.choice(list(pages.leaves))
        iova = number << bits
        leaf_level = {12: 3, 21: 2, 30: 1}[bits]
        level = rng.randint(int(regime.start_level), leaf_level)
        try:
            pa = entry_pa(mem, regime, iova, level)
            descriptor = word_at(mem, pa)
        except IndexError:
            continue  # an earlier change cut this path off
        if descriptor & 1 == 0:
            continue
        if level < leaf_level:
            change = rng.choice((XN_TABLES, NO_UNPRIV_TABLE, RDONLY_TABLE, RDONLY_TABLE | XN_TABLES, "rare"))
            if change != "rare":
                descriptor |= int(change)
            elif rng.random() < 0.3:
                descriptor = rng.choice(
                    (
                        0x1000 | 3,  # a table below the simulated memory
                        0xFFFF_FFFF_F000 | 3,  # above it
                        descriptor & ~2,  # now a block; at level 0 there is none
                        descriptor & ~1,
                    )
                )
        else:
            descriptor ^= rng.choice((AF, AP_UNPRIV, AP_RDONLY, BOTH_XN, 1, 2 if level == 3 else AF))
        put(mem, pa, descriptor)


def build(rng: random.Random, ias: int, maps: int) -> tuple[Translator, Pages]:
    translator, pages = Translator.empty(linux(ias), caches=shapes((2, 2), (8, 2), (2, 2))), Pages(ias)
    rows: list[Row] = []
    for _ in range(maps):
        row = random_map(rng, pages)
        if row is not None:
            pages.map(row.iova, row.size, row.pa, row.prot)
            rows.append(row)
        if rows and pages.leaves and rng.random() < 0.3:
            rows.append(random_unmap(rng, pages))
    translator.feed(events(rows))
    return translator, pages


def check_random_table(seed: int, maps: int, count: int) -> int:
    rng = random.Random(seed)
    ias = (39, 48, 40, 36, 32, 48, 39)[seed % 7]
    translator, pages = build(rng, ias, maps)
    flush = Row(ev.TLBI, prot=ev.TLBI_ALL)
    compared = compare(translator, [random_access(rng, pages) for _ in range(count)], pages)
    for _ in range(3):
        translator.feed(events([flush]))
        deface(rng, translator, pages)
        compared += compare(translator, [random_access(rng, pages) for _ in range(count)])
    return compared


# 14 x 4 x 500 = 28,000 comparisons with the walker, 7,000 of them with the dict too.
@pytest.mark.parametrize("seed", range(14))
def test_random_accesses_to_random_tables_end_as_the_reference_and_the_dict_say(seed: int) -> None:
    assert check_random_table(seed, maps=60, count=500) == 2000


@pytest.mark.nojit
@pytest.mark.parametrize("seed", [100, 101, 102])
def test_accesses_to_a_small_random_table_end_as_the_reference_says(seed: int) -> None:
    assert check_random_table(seed, maps=8, count=40) == 160


def test_the_random_tables_reach_every_way_a_walk_can_end() -> None:
    endings: dict[tuple[int, int], int] = {}
    for seed in range(14):
        rng = random.Random(seed)
        translator, pages = build(rng, (39, 48)[seed % 2], 60)
        deface(rng, translator, pages)
        answers = translator.feed(events([random_access(rng, pages) for _ in range(1000)]))
        for answer in answers:
            key = int(answer.fault), int(answer.level)
            endings[key] = endings.get(key, 0) + 1
    for level in (1, 2, 3):
        for fault in (0, FSR_TF, FSR_AFF, FSR_PF):
            assert endings.get((fault, level), 0), (fault, level)
    assert any(fault == FSR_EF for fault, _ in endings)
    assert endings.get((FSR_TF, 0), 0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 32), ias=st.sampled_from([32, 33, 36, 39, 40, 42, 47, 48]))
@example(seed=0, ias=30)
@example(seed=0, ias=31)
def test_any_seed_and_any_input_size_agree_with_the_reference(seed: int, ias: int) -> None:
    rng = random.Random(seed)
    translator, pages = build(rng, ias, 20)
    compare(translator, [random_access(rng, pages) for _ in range(60)], pages)


# --- One descriptor at a time, so that a failure names its rule


def is_filled(cache: Cache) -> bool:
    return bool((cache.words >= SLOTS).any())


@dataclass
class One:
    """One page of 4K at 0x40201000 under 48 bits: a descriptor at each level, and its neighbour's."""

    translator: Translator
    mem: Memory
    iova: int = 0x4020_1000
    neighbour: int = 0x4020_2000

    def change(self, level: int, set_bits: int = 0, clear: int = 0) -> None:
        pa = entry_pa(self.mem, self.translator.regimes[0], self.iova, level)
        put(self.mem, pa, word_at(self.mem, pa) & ~clear | set_bits)

    def access(self, op: int = ev.READ, *, privileged: bool = False, iova: int | None = None) -> int:
        """The FSR bit of an access, which the reference confirms."""
        prot = ev.PROT_PRIV if privileged else 0
        row = Row(op, self.iova if iova is None else iova, 4, 0, prot)
        compare(self.translator, [row])
        return int(self.translator.feed(events([row]))[0].fault)


@pytest.fixture
def one() -> One:
    translator = Translator.empty(linux(48))
    rows = [
        Row(ev.MAP, iova, 4 * K, 0x9000_0000 + iova, RW | ev.PROT_EXEC) for iova in (0x4020_1000, 0x4020_2000)
    ]
    translator.feed(events(rows))
    return One(translator, translator.mem)


@pytest.mark.nojit
@pytest.mark.parametrize("warm", [False, True], ids=["by a full walk", "through the walk cache"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_aptable_takes_writing_away_from_every_page_below(one: One, level: int, warm: bool) -> None:
    one.change(level, RDONLY_TABLE)
    if warm:
        assert one.access(iova=one.neighbour) == 0  # fills the walk cache
        assert is_filled(one.translator.mmu.walk0)
    assert one.access(ev.WRITE) == FSR_PF
    assert one.access(ev.WRITE, privileged=True) == FSR_PF
    assert one.access(ev.READ) == 0
    assert one.access(ev.EXEC) == 0


@pytest.mark.nojit
@pytest.mark.parametrize("warm", [False, True], ids=["by a full walk", "through the walk cache"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_aptable_takes_unprivileged_access_away_from_every_page_below(
    one: One, level: int, warm: bool
) -> None:
    one.change(level, NO_UNPRIV_TABLE)
    if warm:
        assert one.access(privileged=True, iova=one.neighbour) == 0
    for op in (ev.READ, ev.WRITE, ev.EXEC):
        assert one.access(op) == FSR_PF
        assert one.access(op, privileged=True) == 0


@pytest.mark.nojit
@pytest.mark.parametrize("warm", [False, True], ids=["by a full walk", "through the walk cache"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_xntable_takes_execution_away_from_every_page_below(one: One, level: int, warm: bool) -> None:
    one.change(level, XN_TABLES)
    if warm:
        assert one.access(iova=one.neighbour) == 0
    assert one.access(ev.EXEC) == FSR_PF
    assert one.access(ev.EXEC, privileged=True) == FSR_PF
    assert one.access(ev.WRITE) == 0


def test_hierarchical_bits_of_two_levels_add_up(one: One) -> None:
    one.change(0, RDONLY_TABLE)
    one.change(2, XN_TABLES)
    assert one.access(ev.READ) == 0
    assert one.access(ev.WRITE) == FSR_PF
    assert one.access(ev.EXEC) == FSR_PF


@pytest.mark.nojit
def test_one_execute_never_bit_stands_for_both_privileges(one: One) -> None:
    """Our choice, and where the architecture says more: UXN is the unprivileged bit, PXN the privileged one.

    io-pgtable sets them together, so that no table of a Linux driver can tell.  The core looks at
    UXN (54) and UXNTable (60) for both; the reference keeps them apart.
    """
    one.change(3, set_bits=1 << 54)
    row = Row(ev.EXEC, one.iova, 4, 0, ev.PROT_PRIV)
    (answer,) = one.translator.feed(events([row]))
    assert answer.fault == FSR_PF
    memory, regime = reference_memory(one.mem), regimes_of(one.translator)[0]
    assert walker.walk(regime, memory, one.iova, instruction=True, privileged=True).fault is None


@pytest.mark.nojit
def test_a_page_without_the_access_flag_gives_an_access_flag_fault_and_is_not_cached(one: One) -> None:
    one.change(3, clear=AF)
    assert one.access() == FSR_AFF
    assert not is_filled(one.translator.mmu.tlb)
    assert not is_filled(one.translator.mmu.walk0)


@pytest.mark.nojit
def test_the_access_flag_is_looked_at_before_permissions(one: One) -> None:
    one.change(3, set_bits=AP_RDONLY, clear=AF)
    assert one.access(ev.WRITE) == FSR_AFF


@pytest.mark.nojit
def test_a_reserved_descriptor_of_level_3_is_a_translation_fault(one: One) -> None:
    one.change(3, clear=2)
    assert one.access() == FSR_TF
    assert int(one.translator.feed(events([Row(ev.READ, one.iova)]))[0].level) == 3


@pytest.mark.nojit
@pytest.mark.parametrize(("level", "size"), [(1, G), (2, 2 * M)])
def test_address_bits_inside_a_block_are_not_looked_at(level: int, size: int) -> None:
    translator = Translator.empty(linux(39))
    translator.feed(events([Row(ev.MAP, G, size, 4 * G, RW)]))
    at = entry_pa(translator.mem, translator.regimes[0], G, level)
    put(translator.mem, at, word_at(translator.mem, at) | 0x1000 | size >> 1)
    row = Row(ev.READ, G + 0x2345)
    assert int(translator.feed(events([row]))[0].pa) == 4 * G + 0x2345
    compare(translator, [row, Row(ev.READ, G + size - 1)])


@pytest.mark.nojit
def test_a_block_of_level_0_is_a_translation_fault(one: One) -> None:
    one.change(0, clear=2)
    assert one.access() == FSR_TF
    assert int(one.translator.feed(events([Row(ev.READ, one.iova)]))[0].level) == 0


@pytest.mark.nojit
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("pa", [0x1000, 0xFFFF_FFFF_F000], ids=["below memory", "above memory"])
def test_a_table_outside_memory_is_an_external_fault_at_the_level_that_reads_it(
    one: One, level: int, pa: int
) -> None:
    at = entry_pa(one.mem, one.translator.regimes[0], one.iova, level)
    put(one.mem, at, pa | 3)
    assert one.access() == FSR_EF
    assert int(one.translator.feed(events([Row(ev.READ, one.iova)]))[0].level) == level + 1


def test_a_read_that_aborts_is_not_counted_among_the_reads(one: One) -> None:
    """Our choice: walk_reads counts descriptors that arrived; the reference counts the aborted one too."""
    put(one.mem, entry_pa(one.mem, one.translator.regimes[0], one.iova, 1), 0x1000 | 3)
    (answer,) = one.translator.feed(events([Row(ev.READ, one.iova)]))
    want = walker.walk(regimes_of(one.translator)[0], reference_memory(one.mem), one.iova)
    assert (int(answer.reads), len(want.reads)) == (2, 3)


@pytest.mark.nojit
@pytest.mark.parametrize("ias", [32, 39, 40, 48])
def test_an_address_beyond_the_input_size_faults_at_level_0_and_reads_nothing(ias: int) -> None:
    translator = Translator.empty(linux(ias))
    rows = [Row(ev.READ, iova) for iova in (1 << ias, (1 << 64) - 1, 1 << 63)]
    for answer in translator.feed(events(rows)):
        assert (answer.fault, answer.level, answer.reads) == (FSR_TF, 0, 0)
    compare(translator, rows)
