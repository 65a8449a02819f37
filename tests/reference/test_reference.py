"""The reference walker against recordings and against tables written by hand.

Recorded answers come from `tests/oracle`. In the hand-written cases the comments work the answer out from the
architecture; no expected value was taken from a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from . import oracle
from .walker import (
    AARCH32_LPAE_S1,
    AARCH32_SHORT,
    AARCH64_S1,
    AARCH64_S2,
    ACCESS_FLAG,
    ADDRESS_SIZE,
    EXTERNAL,
    PERMISSION,
    TRANSLATION,
    G,
    K,
    M,
    Memory,
    Permissions,
    Regime,
    memory_of_words,
    memory_of_words32,
    start_level_of_sl0,
    walk,
    walk_nested,
)

RWX = Permissions(readable=True, writable=True, executable=True)
RW = Permissions(readable=True, writable=True, executable=False)
RX = Permissions(readable=True, writable=False, executable=True)
R = Permissions(readable=True, writable=False, executable=False)
X = Permissions(readable=False, writable=False, executable=True)
NONE = Permissions()


# Recordings


def check_recorded_walks(path: Path) -> dict[str, int]:
    """Replay each row with its own table reads as the whole memory; return how many of each kind agreed."""
    agreed = {"translated": 0, "F_TRANSLATION": 0, "F_PERMISSION": 0}
    for row in oracle.load_walks(path):
        where = f"{path.name} seq {row.seq}"
        regime = Regime(AARCH64_S1, ttbr0=row.ttb, t0sz=16, oas=44)
        memory = Memory(read64=dict(row.reads).get, read32=lambda pa: None)
        got = walk(regime, memory, row.iova)
        write = walk(regime, memory, row.iova, write=True)
        assert got.reads == row.reads, where
        assert write.reads == row.reads, where
        if row.fault is None:
            assert (got.fault, got.pa, got.page_size) == (None, row.pa, row.size), where
            assert got.level == len(row.reads) - 1, where
            assert got.privileged.readable + 2 * got.privileged.writable == row.perm, where
            assert (write.fault is None) == (row.perm & 2 != 0), where
            agreed["translated"] += 1
        elif row.fault == "F_TRANSLATION":
            for result in (got, write):
                assert (result.fault, result.level) == (TRANSLATION, len(row.reads) - 1), where
            agreed["F_TRANSLATION"] += 1
        else:
            # The page is valid and read-only: a read goes through, so it was a write that faulted.
            assert got.translated, where
            assert (write.fault, write.level) == (PERMISSION, len(row.reads) - 1), where
            agreed["F_PERMISSION"] += 1
    return agreed


def test_every_recorded_gpu_walk_is_reproduced():
    # 20,894 walks: 8 of them to two addresses that nothing maps.
    assert check_recorded_walks(oracle.COMMITTED / "gpu.oracle.csv.gz") == {
        "translated": 20_886,
        "F_TRANSLATION": 8,
        "F_PERMISSION": 0,
    }


def test_every_recorded_vfio_walk_is_reproduced():
    # 9,138 walks: 16 translation faults at levels 1 and 3, and 4 writes to read-only memory.
    assert check_recorded_walks(oracle.COMMITTED / "vfio.oracle.csv.gz") == {
        "translated": 9_118,
        "F_TRANSLATION": 16,
        "F_PERMISSION": 4,
    }


@pytest.mark.shared
@pytest.mark.parametrize("path", oracle.walk_files(oracle.shared_folder()), ids=lambda path: path.name)
def test_every_walk_of_the_larger_recordings_is_reproduced(path):
    agreed = check_recorded_walks(path)
    assert sum(agreed.values()) > 0


@pytest.mark.shared
@pytest.mark.parametrize("path", oracle.walk_files(oracle.shared_folder()), ids=lambda path: path.name)
def test_a_committed_recording_has_every_row_of_the_larger_one(path):
    committed = oracle.COMMITTED / path.name
    if not committed.exists():
        pytest.skip(f"{path.name} is not committed")
    assert list(oracle.load_walks(committed)) == list(oracle.load_walks(path))


def written_iovas(tables: oracle.Tables, table: int, level: int = 0, iova: int = 0) -> Iterator[int]:
    """Every IOVA whose 4K-granule descriptor is not zero and is no table: what a walk could translate."""
    for index, descriptor in enumerate(tables.pages[table]):
        here = iova | index << (39 - 9 * level)
        if level < 3 and descriptor & 3 == 3:
            yield from written_iovas(tables, descriptor & 0xFFFF_FFFF_F000, level + 1, here)
        elif descriptor != 0:
            yield here


def test_walking_the_dumped_tables_gives_exactly_the_mappings_that_were_made():
    tables = oracle.load_tables(oracle.COMMITTED, "vfio")
    calls = oracle.load_maps(oracle.COMMITTED / "vfio.maps.csv.gz")
    # The dump was taken before the last call, which unmapped all of the command buffer.
    last = calls.pop()
    assert (last.op, last.tag, last.iova, last.length) == ("unmap", "cmdbuf", 0x3_0000_0000, 256 * K)

    mapped: dict[int, tuple[int, str]] = {}
    for call in calls:
        for offset in range(0, call.length, 4 * K):
            if call.op == "map":
                assert call.pa is not None
                mapped[call.iova + offset] = (call.pa + offset, call.prot)
            else:
                mapped.pop(call.iova + offset, None)

    (context,) = (context for context in tables.contexts if context.sid == 0x20)
    regime = Regime(AARCH64_S1, ttbr0=context.ttb0, t0sz=context.t0sz, oas=context.ips)
    memory = Memory(read64=tables.read64, read32=lambda pa: None)
    walked: dict[int, tuple[int, str]] = {}
    leaves = {4 * K: 0, 2 * M: 0, G: 0}
    for iova in written_iovas(tables, context.ttb0):
        result = walk(regime, memory, iova)
        assert result.pa is not None
        leaves[result.page_size] += 1
        for offset in range(0, result.page_size, 4 * K):
            walked[iova + offset] = (result.pa + offset, "rw" if result.privileged.writable else "r")

    assert leaves == {4 * K: 2112, 2 * M: 8, G: 1}
    assert walked == mapped


def test_the_last_byte_of_each_mapping_translates_and_the_one_after_the_domain_does_not():
    tables = oracle.load_tables(oracle.COMMITTED, "vfio")
    (context,) = (context for context in tables.contexts if context.sid == 0x28)
    regime = Regime(AARCH64_S1, ttbr0=context.ttb0, t0sz=context.t0sz, oas=context.ips)
    memory = Memory(read64=tables.read64, read32=lambda pa: None)
    # map,big1G,0x4000000000,0x80000000,0x40000000,rw
    assert walk(regime, memory, 0x40_3FFF_FFFF, write=True).pa == 0xBFFF_FFFF
    beyond = walk(regime, memory, 0x40_4000_0000)
    assert (beyond.fault, beyond.level) == (TRANSLATION, 1)


def test_a_walk_over_the_dumped_gpu_tables_finds_what_the_recording_found():
    # Streams and tables outlive the recording: rows of the same table base whose descriptors are still the
    # dumped ones.
    tables = oracle.load_tables(oracle.COMMITTED, "gpu")
    by_base = {context.ttb0: context for context in tables.contexts}
    memory = Memory(read64=tables.read64, read32=lambda pa: None)
    compared = 0
    for row in oracle.load_walks(oracle.COMMITTED / "gpu.oracle.csv.gz"):
        if row.ttb in by_base and all(tables.read64(pa) == descriptor for pa, descriptor in row.reads):
            context = by_base[row.ttb]
            assert row.asid == context.asid
            result = walk(
                Regime(AARCH64_S1, ttbr0=row.ttb, t0sz=context.t0sz, oas=context.ips), memory, row.iova
            )
            assert (result.pa, result.reads) == (row.pa, row.reads)
            compared += 1
    assert compared > 0


def test_the_walk_of_the_real_adreno_ends_in_a_valid_page():
    recorded = oracle.load_adreno_walk()
    # 0x100c17000: bits 47:39 0, 38:30 4, 29:21 6, 20:12 23.
    table = recorded.root
    words = {}
    for index, descriptor in zip(recorded.indices, recorded.descriptors, strict=True):
        words[table + 8 * index] = descriptor
        table = descriptor & 0xFFFF_FFFF_F000
    regime = Regime(AARCH64_S1, ttbr0=recorded.root, t0sz=16, oas=40)
    got = walk(regime, memory_of_words(words, zero_fill=False), recorded.iova, write=True)
    assert got.translated
    assert got.reads == tuple(words.items())
    assert (got.pa, got.attr_indx, got.ap) == (
        recorded.leaf["pa"],
        recorded.leaf["attr_indx"],
        recorded.leaf["ap"],
    )
    assert (got.sh, got.ng) == (recorded.leaf["sh"], recorded.leaf["ng"] == 1)


# AArch64 stage 1, 4K granule.
#
# The chain that most cases below vary: 39-bit input (T0SZ 25), so it starts at level 1 with 9 bits.
# IOVA 0x12_3456_7890 = 0x48 << 30 | 0x1A2 << 21 | 0x167 << 12 | 0x890.
# Level 1 at 0x8000_0000 + 8 * 0x048 = 0x8000_0240
# level 2 at 0x8000_1000 + 8 * 0x1A2 = 0x8000_1D10
# level 3 at 0x8000_2000 + 8 * 0x167 = 0x8000_2B38
# The leaf 0x4_5678_9F47: output 0x4_5678_9000; 0xF47 = nG 0x800, AF 0x400, SH 3 (0x300), AP[1] 0x40, AttrIndx
# 1 (0x4), page 0x3.

IOVA = 0x12_3456_7890
L1, L2, L3 = 0x8000_0240, 0x8000_1D10, 0x8000_2B38
CHAIN = {L1: 0x8000_1003, L2: 0x8000_2003, L3: 0x4_5678_9F47}
THREE_LEVELS = Regime(AARCH64_S1, ttbr0=0x8000_0000, t0sz=25)


def chain(changes: dict[int, int], regime: Regime = THREE_LEVELS, **access: bool):
    return walk(regime, memory_of_words({**CHAIN, **changes}), IOVA, **access)


def test_a_39_bit_input_starts_at_level_1_and_reads_three_tables():
    got = chain({})
    assert got.pa == 0x4_5678_9890
    assert (got.level, got.page_size, got.contiguous, got.run_size) == (3, 4 * K, False, 4 * K)
    assert (got.ap, got.attr_indx, got.sh, got.ng, got.ns) == (1, 1, 3, True, False)
    assert (got.privileged, got.unprivileged) == (RWX, RWX)
    assert got.reads == ((L1, 0x8000_1003), (L2, 0x8000_2003), (L3, 0x4_5678_9F47))


@pytest.mark.parametrize(
    ("granule", "input_bits", "reads"),
    [
        # 4K resolves 9 bits a level above 12: one level up to 21, two to 30, three to 39, four to 48.
        (4 * K, 30, 2),
        (4 * K, 31, 3),
        (4 * K, 32, 3),
        (4 * K, 39, 3),
        (4 * K, 40, 4),
        (4 * K, 48, 4),
        # 16K resolves 11 bits above 14: 25, 36, 47, 58.
        (16 * K, 25, 1),
        (16 * K, 32, 2),
        (16 * K, 36, 2),
        (16 * K, 37, 3),
        (16 * K, 47, 3),
        (16 * K, 48, 4),
        # 64K resolves 13 bits above 16: 29, 42, 55.
        (64 * K, 29, 1),
        (64 * K, 32, 2),
        (64 * K, 42, 2),
        (64 * K, 43, 3),
        (64 * K, 48, 3),
    ],
)
def test_the_start_level_follows_from_the_granule_and_the_input_size(granule, input_bits, reads):
    # Every table is the same page: its first entry points to itself, so IOVA 0 goes down to level 3, where
    # the same value (table at upper levels, page at level 3) is a page at the table itself.
    table = 0x1_0000
    regime = Regime(AARCH64_S1, ttbr0=table, t0sz=64 - input_bits, granule=granule)
    got = walk(regime, memory_of_words({table: table | 0x443}), 0, privileged=True)
    assert got.pa == table
    assert len(got.reads) == reads
    assert got.level == 3


@pytest.mark.parametrize(("granule", "t0sz"), [(4 * K, 15), (16 * K, 15), (64 * K, 11), (4 * K, 40)])
def test_an_input_size_that_the_granule_does_not_have_is_refused(granule, t0sz):
    with pytest.raises(ValueError, match="TnSZ"):
        walk(Regime(AARCH64_S1, t0sz=t0sz, granule=granule), memory_of_words({0: 0}), 0)


def test_a_start_table_smaller_than_a_page_is_aligned_to_its_own_size():
    # 31-bit input: level 1 has 1 bit, 2 entries, 16 bytes. TTBR0 0x8000_0FF8 loses bits 3:0: base
    # 0x8000_0FF0. IOVA 0x4000_0000 is index 1: 0x8000_0FF8. There a 1G block at 0x1_4000_0000 (0x741: AF, SH
    # 3, AP[1], block).
    regime = Regime(AARCH64_S1, ttbr0=0x0005_0000_8000_0FF8, t0sz=33)  # bits 63:48 are the ASID
    got = walk(regime, memory_of_words({0x8000_0FF8: 0x1_4000_0741}), 0x4000_0123)
    assert got.pa == 0x1_4000_0123
    assert got.reads == ((0x8000_0FF8, 0x1_4000_0741),)


def test_a_2m_block_ends_the_walk_at_level_2():
    # 0x4_5660_0741: 2M-aligned output. IOVA bits 20:0 are 0x167890.
    got = chain({L2: 0x4_5660_0741})
    assert (got.pa, got.level, got.page_size, got.run_size) == (0x4_5676_7890, 2, 2 * M, 2 * M)
    assert got.ng is False
    assert len(got.reads) == 2


def test_a_1g_block_ends_the_walk_at_level_1():
    # IOVA bits 29:0 are 0x3456_7890.
    got = chain({L1: 0x40_8000_0741})
    assert (got.pa, got.level, got.page_size) == (0x40_B456_7890, 1, G)
    assert len(got.reads) == 1


@pytest.mark.parametrize(
    ("entry", "leaf", "page_size", "run_size"),
    [
        (L3, 0x4_5678_0F47 | 1 << 52, 4 * K, 64 * K),  # 16 x 4K
        (L2, 0x4_5600_0741 | 1 << 52, 2 * M, 32 * M),  # 16 x 2M
        (L1, 0x40_0000_0741 | 1 << 52, G, 16 * G),  # 16 x 1G
    ],
)
def test_the_contiguous_bit_widens_the_run_and_leaves_the_page(entry, leaf, page_size, run_size):
    got = chain({entry: leaf})
    assert (got.contiguous, got.page_size, got.run_size) == (True, page_size, run_size)


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({L1: 0}, 1),
        ({L1: 0x8000_1002}, 1),  # bit 0 is 0: invalid whatever bit 1 says
        ({L2: 0}, 2),
        ({L3: 0}, 3),
        ({L3: 0x4_5678_9F45}, 3),  # 0b01 at level 3 is reserved
    ],
)
def test_an_invalid_descriptor_is_a_translation_fault_at_its_level(changes, level):
    got = chain(changes)
    assert (got.fault, got.level, got.stage, got.s1ptw, got.pa) == (TRANSLATION, level, 1, False, None)
    assert len(got.reads) == level


def test_a_block_at_level_0_is_a_translation_fault():
    regime = Regime(AARCH64_S1, ttbr0=0x8000_0000, t0sz=16)
    got = walk(regime, memory_of_words({0x8000_0000: 0x741}), 0)
    assert (got.fault, got.level) == (TRANSLATION, 0)


def test_an_iova_above_the_input_size_faults_at_level_0_and_reads_nothing():
    # T0SZ 25: 39 bits. Bit 39 set is outside.
    got = walk(THREE_LEVELS, memory_of_words(CHAIN), 1 << 39)
    assert (got.fault, got.level, got.reads) == (TRANSLATION, 0, ())


def test_epd0_faults_at_level_0_and_reads_nothing():
    got = chain({}, Regime(AARCH64_S1, ttbr0=0x8000_0000, t0sz=25, epd0=True))
    assert (got.fault, got.level, got.reads) == (TRANSLATION, 0, ())


@pytest.mark.parametrize(
    ("changes", "ttbr0", "level"),
    [
        ({}, 0x1_8000_0000, 0),  # the base register itself: level 0
        ({L1: 0x1_8000_1003}, 0x8000_0000, 1),  # a table above 4G
        ({L2: 0x1_8000_2003}, 0x8000_0000, 2),
        ({L2: 0x1_0000_0741}, 0x8000_0000, 2),  # a block above 4G
        ({}, 0x8000_0000, 3),  # the page of the chain is at 0x4_5678_9000
    ],
)
def test_an_address_beyond_the_output_size_is_an_address_size_fault_where_it_was_found(changes, ttbr0, level):
    got = chain(changes, Regime(AARCH64_S1, ttbr0=ttbr0, t0sz=25, oas=32))
    assert (got.fault, got.level) == (ADDRESS_SIZE, level)
    assert len(got.reads) == level


def test_a_table_outside_memory_is_an_external_abort_at_the_level_being_read():
    # Level 2 is looked for at 0x9000_1000 + 8 * 0x1A2 = 0x9000_1D10, where there is nothing.
    got = chain({L1: 0x9000_1003})
    assert (got.fault, got.level) == (EXTERNAL, 2)
    assert got.reads == ((L1, 0x9000_1003), (0x9000_1D10, None))


def test_a_clear_access_flag_faults_before_permissions_are_looked_at():
    # 0xBC7: as 0xFC7 (AP 3, read-only) without AF (0x400).
    read_only_not_accessed = {L3: 0x4_5678_9BC7}
    got = chain(read_only_not_accessed, write=True)
    assert (got.fault, got.level) == (ACCESS_FLAG, 3)


def test_affd_turns_access_flag_faults_off():
    got = chain({L3: 0x4_5678_9B47}, Regime(AARCH64_S1, ttbr0=0x8000_0000, t0sz=25, affd=True))
    assert got.pa == 0x4_5678_9890


def test_an_address_size_fault_comes_before_the_access_flag():
    got = chain({L3: 0x4_5678_9B47}, Regime(AARCH64_S1, ttbr0=0x8000_0000, t0sz=25, oas=32))
    assert got.fault == ADDRESS_SIZE


UXN, PXN = 1 << 54, 1 << 53
LEAF = 0x4_5678_9F07  # as in CHAIN with AP 0


@pytest.mark.parametrize(
    ("leaf", "ap", "privileged", "unprivileged"),
    [
        (LEAF, 0, RWX, NONE),  # AP 0: privileged only, read and write
        (LEAF | 0x40, 1, RWX, RWX),
        (LEAF | 0x80, 2, RX, NONE),
        (LEAF | 0xC0, 3, RX, RX),
        (LEAF | 0x40 | UXN, 1, RWX, RW),
        (LEAF | 0x40 | PXN, 1, RW, RWX),
        (LEAF | 0xC0 | UXN | PXN, 3, R, R),
    ],
)
def test_ap_and_execute_never_give_each_privilege_its_rights(leaf, ap, privileged, unprivileged):
    got = chain({L3: leaf}, privileged=True)
    assert (got.ap, got.privileged, got.unprivileged) == (ap, privileged, unprivileged)


@pytest.mark.parametrize(
    ("leaf", "privileged", "unprivileged"),
    [
        (LEAF, RWX, X),  # no unprivileged data access, but nothing forbids fetching: execute-only
        (LEAF | 0x40, RW, RWX),  # writable unprivileged: never executed privileged
        (LEAF | 0xC0, RX, RX),
    ],
)
def test_the_two_execute_rules_of_the_arm_arm_can_be_asked_for(leaf, privileged, unprivileged):
    regime = Regime(AARCH64_S1, ttbr0=0x8000_0000, t0sz=25, arm_execute_rules=True)
    got = chain({L3: leaf}, regime, privileged=True)
    assert (got.privileged, got.unprivileged) == (privileged, unprivileged)


@pytest.mark.parametrize(
    ("leaf", "access", "allowed"),
    [
        (LEAF | 0xC0, {"write": True, "privileged": True}, False),
        (LEAF | 0xC0, {"write": False}, True),
        (LEAF, {"write": False}, False),
        (LEAF, {"write": True, "privileged": True}, True),
        (LEAF | 0x40 | UXN, {"instruction": True}, False),
        (LEAF | 0x40 | UXN, {"instruction": True, "privileged": True}, True),
        (LEAF | 0x40 | PXN, {"instruction": True, "privileged": True}, False),
        (LEAF | 0x40 | UXN, {"instruction": True, "write": True}, True),  # a write is never a fetch
    ],
)
def test_what_the_page_does_not_allow_is_a_permission_fault_at_the_level_of_the_leaf(leaf, access, allowed):
    got = chain({L3: leaf}, **access)
    if allowed:
        assert got.translated
    else:
        assert (got.fault, got.level, got.pa) == (PERMISSION, 3, None)
    assert len(got.reads) == 3


TABLE_NS, TABLE_AP_READ_ONLY, TABLE_AP_PRIVILEGED = 1 << 63, 1 << 62, 1 << 61
TABLE_UXN, TABLE_PXN = 1 << 60, 1 << 59


@pytest.mark.parametrize("entry", [L1, L2])
@pytest.mark.parametrize(
    ("bits", "ap", "privileged", "unprivileged", "ns"),
    [
        # The leaf itself has AP 1: everything allowed.
        (TABLE_AP_PRIVILEGED, 0, RWX, NONE, False),
        (TABLE_AP_READ_ONLY, 3, RX, RX, False),
        (TABLE_AP_READ_ONLY | TABLE_AP_PRIVILEGED, 2, RX, NONE, False),
        (TABLE_UXN, 1, RWX, RW, False),
        (TABLE_PXN, 1, RW, RWX, False),
        (TABLE_NS, 1, RWX, RWX, True),
    ],
)
def test_table_attributes_take_rights_away_from_all_below(entry, bits, ap, privileged, unprivileged, ns):
    got = chain({entry: CHAIN[entry] | bits}, privileged=True)
    assert (got.ap, got.privileged, got.unprivileged, got.ns) == (ap, privileged, unprivileged, ns)


@pytest.mark.parametrize(
    ("first", "second", "privileged", "unprivileged", "ns"),
    [
        (TABLE_PXN, TABLE_AP_READ_ONLY, R, RX, False),
        (TABLE_AP_READ_ONLY, TABLE_PXN, R, RX, False),
        (TABLE_AP_READ_ONLY, TABLE_AP_PRIVILEGED, RX, NONE, False),
        (TABLE_UXN, TABLE_PXN, RW, RW, False),
        (TABLE_NS, TABLE_UXN, RWX, RW, True),
    ],
)
def test_table_attributes_of_two_levels_add_up(first, second, privileged, unprivileged, ns):
    got = chain({L1: CHAIN[L1] | first, L2: CHAIN[L2] | second}, privileged=True)
    assert (got.privileged, got.unprivileged, got.ns) == (privileged, unprivileged, ns)


# AArch64 stage 1, 16K and 64K granules


def test_16k_with_48_bits_starts_at_level_0_with_two_entries():
    # 0x8050_0E02_4123 = 1 << 47 | 5 << 36 | 7 << 25 | 9 << 14 | 0x123.
    # Level 0 at 0x9000_0010 (2 entries, 16 bytes) + 8 * 1; level 1 at 0x9000_4000 + 8 * 5; level 2 at
    # 0x9000_8000 + 8 * 7; level 3 at 0x9000_C000 + 8 * 9. The page is at 0x1_2345_4000.
    words = {
        0x9000_0018: 0x9000_4003,
        0x9000_4028: 0x9000_8003,
        0x9000_8038: 0x9000_C003,
        0x9000_C048: 0x1_2345_4747,
    }
    regime = Regime(AARCH64_S1, ttbr0=0x9000_0010, t0sz=16, granule=16 * K)
    got = walk(regime, memory_of_words(words), 0x8050_0E02_4123)
    assert (got.pa, got.level, got.page_size, got.run_size) == (0x1_2345_4123, 3, 16 * K, 16 * K)
    assert got.reads == tuple(words.items())


def test_16k_contiguous_pages_run_for_2m_and_blocks_for_1g():
    # 36-bit input: level 2, 11 bits. IOVA 7 << 25 | 9 << 14 = 0x0E02_4000.
    regime = Regime(AARCH64_S1, ttbr0=0x9000_8000, t0sz=28, granule=16 * K)
    page = walk(
        regime, memory_of_words({0x9000_8038: 0x9000_C003, 0x9000_C048: 0x1_2340_0747 | 1 << 52}), 0x0E02_4000
    )
    assert (page.contiguous, page.page_size, page.run_size) == (True, 16 * K, 2 * M)  # 128 x 16K
    # A level 2 block is 32M; IOVA bits 24:0 are 0x2_4000.
    block = walk(regime, memory_of_words({0x9000_8038: 0x2_0000_0741 | 1 << 52}), 0x0E02_4000)
    assert (block.pa, block.level, block.page_size, block.run_size) == (
        0x2_0002_4000,
        2,
        32 * M,
        G,
    )  # 32 x 32M


def test_16k_has_no_block_at_level_1():
    regime = Regime(AARCH64_S1, ttbr0=0x9000_4000, t0sz=17, granule=16 * K)
    got = walk(regime, memory_of_words({0x9000_4028: 0x741}), 5 << 36)
    assert (got.fault, got.level, len(got.reads)) == (TRANSLATION, 1, 1)


# 0xE00_2ABC_BEEF = 3 << 42 | 0x1001 << 29 | 0xABC << 16 | 0xBEEF. Level 1 (64 entries, 512 bytes) at
# 0xA000_0200 + 8 * 3; level 2 at 0xA001_0000 + 8 * 0x1001; level 3 at 0xA002_0000 + 8 * 0xABC.
IOVA_64K = 0xE00_2ABC_BEEF
L1_64K, L2_64K, L3_64K = 0xA000_0218, 0xA001_8008, 0xA002_55E0
CHAIN_64K = {L1_64K: 0xA001_0003, L2_64K: 0xA002_0003, L3_64K: 0x7_1234_0747}
REGIME_64K = Regime(AARCH64_S1, ttbr0=0xA000_0200, t0sz=16, granule=64 * K)


def test_64k_with_48_bits_starts_at_level_1_with_64_entries():
    got = walk(REGIME_64K, memory_of_words(CHAIN_64K), IOVA_64K)
    assert (got.pa, got.level, got.page_size, got.run_size) == (0x7_1234_BEEF, 3, 64 * K, 64 * K)
    assert got.reads == tuple(CHAIN_64K.items())


def test_64k_ignores_bits_15_to_12_of_a_descriptor_unless_the_output_is_52_bits():
    got = walk(REGIME_64K, memory_of_words({**CHAIN_64K, L3_64K: 0x7_1234_F747}), IOVA_64K)
    assert got.pa == 0x7_1234_BEEF


def test_64k_contiguous_pages_run_for_2m_and_blocks_for_16g():
    page = walk(REGIME_64K, memory_of_words({**CHAIN_64K, L3_64K: 0x7_1220_0747 | 1 << 52}), IOVA_64K)
    assert (page.contiguous, page.page_size, page.run_size) == (True, 64 * K, 2 * M)  # 32 x 64K
    # A level 2 block is 512M; IOVA bits 28:0 are 0x0ABC_BEEF.
    block = walk(REGIME_64K, memory_of_words({**CHAIN_64K, L2_64K: 0x8_0000_0741 | 1 << 52}), IOVA_64K)
    assert (block.pa, block.level, block.page_size) == (0x8_0ABC_BEEF, 2, 512 * M)
    assert block.run_size == 16 * G  # 32 x 512M


def test_64k_has_no_block_at_level_1_with_48_bit_output():
    got = walk(REGIME_64K, memory_of_words({L1_64K: 0x741}), IOVA_64K)
    assert (got.fault, got.level) == (TRANSLATION, 1)


def test_64k_with_52_bits_keeps_the_high_address_bits_in_low_places():
    # T0SZ 12: level 1 has 10 bits, 51:42. IOVA 0x3FF << 42 = 0xF_FC00_0000_0000; 0x1234 is the offset.
    # TTBR0 0xB000_000C: bits 5:2 are 3, so the table (8K) is at 0x3_0000_B000_0000, entry + 8 * 0x3FF =
    # 0x1FF8. Its descriptor 0xC000_5003: address 47:16 0xC000_0000, 51:48 (in 15:12) 5. At level 2 index 0, a
    # 512M block 0x2000_9741: output 0x9_0000_2000_0000.
    words = {0x3_0000_B000_1FF8: 0xC000_5003, 0x5_0000_C000_0000: 0x2000_9741}
    regime = Regime(AARCH64_S1, ttbr0=0xB000_000C, t0sz=12, granule=64 * K, oas=52)
    got = walk(regime, memory_of_words(words), 0xF_FC00_0000_1234)
    assert (got.pa, got.page_size) == (0x9_0000_2000_1234, 512 * M)
    assert got.reads == tuple(words.items())


def test_64k_with_52_bits_has_a_4t_block_at_level_1():
    # 4T is 1 << 42. Output 0xC00_0000_0000 (3 << 42) plus bits 51:48 0xA.
    regime = Regime(AARCH64_S1, ttbr0=0xB000_0000, t0sz=12, granule=64 * K, oas=52)
    got = walk(regime, memory_of_words({0xB000_0008: 0xC00_0000_A741}), (1 << 42) + 0x55)
    assert (got.pa, got.level, got.page_size) == (0xA_0C00_0000_0055, 1, 1 << 42)


# TTBR0 and TTBR1

# One 2M block at the top: 0xFFFF_FFE0_0000 is index 511 at levels 0, 1 and 2.
TOP_TABLES = {
    0x7000_0FF8: 0x7000_1003,
    0x7000_1FF8: 0x7000_2003,
    0x7000_2FF8: 0x9_0000_0741,
}


@pytest.mark.parametrize("iova", [0x1_FFFF_FFFF_F123, 0xFFFF_FFFF_FFFF_F123, 0x00FF_FFFF_FFFF_F123])
def test_on_adreno_bit_48_selects_ttbr1_however_the_iova_is_extended(iova):
    # SEP 48, both halves 48 bits. The offset in the block is 0x1F_F123.
    regime = Regime(AARCH64_S1, ttbr0=0x6000_0000, ttbr1=0x7000_0000, t0sz=16, t1sz=16, epd1=False, sep=48)
    got = walk(regime, memory_of_words(TOP_TABLES), iova)
    assert got.pa == 0x9_001F_F123
    assert got.reads == tuple(TOP_TABLES.items())


def test_on_adreno_bit_47_is_an_ordinary_bit_of_ttbr0():
    regime = Regime(AARCH64_S1, ttbr0=0x7000_0000, ttbr1=0x6000_0000, t0sz=16, t1sz=16, epd1=False, sep=48)
    assert walk(regime, memory_of_words(TOP_TABLES), 0x0_FFFF_FFFF_F123).pa == 0x9_001F_F123


def test_a_48_bit_input_split_at_bit_47_has_two_47_bit_halves():
    # T0SZ 17: 47 bits, level 0 with 8 bits (46:39). The top of the upper half: index 255 at level 0, 511
    # below.
    words = {0x7000_07F8: 0x7000_1003, 0x7000_1FF8: 0x7000_2003, 0x7000_2FF8: 0x9_0000_0741}
    regime = Regime(AARCH64_S1, ttbr0=0x6000_0000, ttbr1=0x7000_0000, t0sz=17, t1sz=17, epd1=False, sep=47)
    got = walk(regime, memory_of_words(words), 0xFFFF_FFFF_F123)
    assert (got.pa, got.reads) == (0x9_001F_F123, tuple(words.items()))
    # The bottom of the upper half is index 0 everywhere: nothing there, but it is TTBR1's level 0 that is
    # read.
    bottom = walk(regime, memory_of_words(words), 0x8000_0000_0000)
    assert (bottom.fault, bottom.level, bottom.reads) == (TRANSLATION, 0, ((0x7000_0000, 0),))


def test_an_upper_iova_below_the_region_of_ttbr1_faults_at_level_0():
    # T1SZ 25: 39 bits. After extension from bit 48 the bits 63:39 must all be ones; bit 39 is not.
    regime = Regime(AARCH64_S1, ttbr0=0x6000_0000, ttbr1=0x7000_0000, t0sz=25, t1sz=25, epd1=False, sep=48)
    outside = walk(regime, memory_of_words(TOP_TABLES), 0x1_FF7F_FFFF_F123)
    assert (outside.fault, outside.level, outside.reads) == (TRANSLATION, 0, ())
    # Inside: level 1, index 511; the same two lower tables.
    inside = walk(
        Regime(AARCH64_S1, ttbr1=0x7000_1000, t0sz=25, t1sz=25, epd1=False, sep=48),
        memory_of_words(TOP_TABLES),
        0x1_FFFF_FFFF_F123,
    )
    assert (inside.pa, len(inside.reads)) == (0x9_001F_F123, 2)


def test_epd1_stops_the_upper_half_only():
    regime = Regime(AARCH64_S1, ttbr0=0x8000_0000, ttbr1=0x7000_0000, t0sz=25, t1sz=16, epd1=True, sep=48)
    memory = memory_of_words({**CHAIN, **TOP_TABLES})
    assert walk(regime, memory, IOVA).translated
    upper = walk(regime, memory, 0x1_FFFF_FFFF_F123)
    assert (upper.fault, upper.level, upper.reads) == (TRANSLATION, 0, ())


def test_without_sep_bit_55_selects_and_every_bit_above_the_input_counts():
    regime = Regime(AARCH64_S1, ttbr0=0x8000_0000, ttbr1=0x7000_0000, t0sz=16, t1sz=16, epd1=False)
    memory = memory_of_words(TOP_TABLES)
    assert walk(regime, memory, 0xFFFF_FFFF_FFFF_F123).pa == 0x9_001F_F123
    # Bits 63:48 are 0x00FF: bit 55 says TTBR1, and bits 63:56 are not ones.
    assert walk(regime, memory, 0x00FF_FFFF_FFFF_F123).reads == ()
    # Bit 48 alone: bit 55 says TTBR0, and bit 48 is not zero.
    assert walk(regime, memory, 0x0001_FFFF_FFFF_F123).reads == ()


def test_ttbr1_may_have_a_granule_of_its_own():
    # TG1 64K, T1SZ 22: 42 bits, level 2 with 13 bits. The top: index 0x1FFF at level 2 and at level 3.
    words = {0xA000_FFF8: 0xA001_0003, 0xA001_FFF8: 0x7_1234_0747}
    regime = Regime(
        AARCH64_S1,
        ttbr0=0x8000_0000,
        ttbr1=0xA000_0000,
        t0sz=25,
        t1sz=22,
        epd1=False,
        sep=48,
        granule1=64 * K,
    )
    memory = memory_of_words({**CHAIN, **words})
    upper = walk(regime, memory, 0x1_FFFF_FFFF_BEEF)
    assert (upper.pa, upper.page_size, upper.reads) == (0x7_1234_BEEF, 64 * K, tuple(words.items()))
    assert walk(regime, memory, IOVA).page_size == 4 * K


# AArch64 stage 2


def test_sl0_counts_down_from_level_2_with_4k_and_from_level_3_otherwise():
    assert [start_level_of_sl0(4 * K, sl0) for sl0 in (0, 1, 2)] == [2, 1, 0]
    assert [start_level_of_sl0(16 * K, sl0) for sl0 in (0, 1, 2)] == [3, 2, 1]
    assert [start_level_of_sl0(64 * K, sl0) for sl0 in (0, 1, 2)] == [3, 2, 1]


# 40-bit IPA from level 1: bits 39:30 are 10 bits, two concatenated tables of 512, 8K, at 0xD000_0000.
# IPA 0xFF_8020_3004 = 0x3FE << 30 | 1 << 21 | 3 << 12 | 4. Entry 0x3FE at 0xD000_1FF0, in the second table;
# level 2 at 0xD000_4000 + 8; level 3 at 0xD000_5000 + 8 * 3. The leaf 0x1_0000_77FF: output 0x1_0000_7000; AF
# 0x400, SH 3, S2AP 3 (0xC0), MemAttr 0xF (0x3C), page.
IPA = 0xFF_8020_3004
STAGE2 = {0xD000_1FF0: 0xD000_4003, 0xD000_4008: 0xD000_5003, 0xD000_5018: 0x1_0000_77FF}


@pytest.mark.parametrize("start", [{"sl0": 1}, {"start_level": 1}])
def test_stage_2_with_40_bits_starts_in_two_concatenated_tables(start):
    # VTTBR bits below 8K do not count; bits 63:48 are the VMID.
    regime = Regime(AARCH64_S2, ttbr0=0x0007_0000_D000_1000, t0sz=24, **start)
    got = walk(regime, memory_of_words(STAGE2), IPA, write=True)
    assert (got.pa, got.level, got.stage, got.page_size) == (0x1_0000_7004, 3, 2, 4 * K)
    assert (got.ap, got.mem_attr, got.sh, got.attr_indx) == (3, 0xF, 3, None)
    assert (got.privileged, got.unprivileged) == (RWX, RWX)
    assert got.reads == tuple(STAGE2.items())


@pytest.mark.parametrize(
    ("granule", "t0sz", "sl0", "index_bits"),
    [
        (4 * K, 21, 1, 13),  # 43 bits from level 1: 43 - 30
        (4 * K, 30, 0, 13),  # 34 bits from level 2: 34 - 21
        (16 * K, 24, 1, 15),  # 40 bits from level 2: 40 - 25
        (64 * K, 18, 1, 17),  # 46 bits from level 2: 46 - 29
    ],
)
def test_stage_2_concatenates_at_most_16_tables(granule, t0sz, sl0, index_bits):
    # The last entry of the sixteenth table, invalid: the read's address says how many entries the start level
    # has.
    base = 0x100_0000_0000
    regime = Regime(AARCH64_S2, ttbr0=base, t0sz=t0sz, sl0=sl0, granule=granule)
    last_entry = base + 8 * ((1 << index_bits) - 1)
    got = walk(regime, memory_of_words({last_entry: 0}), (1 << (64 - t0sz)) - 1)
    assert (got.fault, got.stage, got.reads) == (TRANSLATION, 2, ((last_entry, 0),))
    # One bit more would be 32 tables: SL0 does not fit T0SZ.
    more = walk(
        Regime(AARCH64_S2, ttbr0=base, t0sz=t0sz - 1, sl0=sl0, granule=granule), memory_of_words({}), 0
    )
    assert (more.fault, more.level, more.stage, more.reads) == (TRANSLATION, 0, 2, ())


def test_stage_2_whose_start_level_resolves_nothing_faults_at_level_0():
    # 30 bits are resolved by levels 2 and 3 already.
    got = walk(Regime(AARCH64_S2, ttbr0=0xD000_0000, t0sz=34, sl0=1), memory_of_words({}), 0)
    assert (got.fault, got.level, got.stage, got.reads) == (TRANSLATION, 0, 2, ())


def test_stage_2_faults_at_level_0_for_an_ipa_beyond_its_input():
    got = walk(Regime(AARCH64_S2, ttbr0=0xD000_0000, t0sz=24, sl0=1), memory_of_words(STAGE2), 1 << 40)
    assert (got.fault, got.level, got.stage, got.reads) == (TRANSLATION, 0, 2, ())


@pytest.mark.parametrize(
    ("leaf", "ap", "allowed"),
    [
        (0x1_0000_773F, 0, NONE),
        (0x1_0000_777F, 1, RX),  # S2AP[0]: read
        (0x1_0000_77BF, 2, Permissions(readable=False, writable=True, executable=False)),  # S2AP[1]: write
        (0x1_0000_77FF | 1 << 54, 3, RW),  # XN
    ],
)
def test_s2ap_and_xn_give_the_same_rights_to_both_privileges(leaf, ap, allowed):
    regime = Regime(AARCH64_S2, ttbr0=0xD000_0000, t0sz=24, sl0=1)
    memory = memory_of_words({**STAGE2, 0xD000_5018: leaf})
    for instruction, write, right in (
        (False, False, allowed.readable),
        (False, True, allowed.writable),
        (True, False, allowed.executable),
    ):
        got = walk(regime, memory, IPA, write=write, instruction=instruction)
        if right:
            assert (got.ap, got.privileged, got.unprivileged) == (ap, allowed, allowed)
        else:
            assert (got.fault, got.level, got.stage) == (PERMISSION, 3, 2)


def test_stage_2_ignores_table_attributes():
    words = {**STAGE2, 0xD000_1FF0: 0xD000_4003 | 0x1F << 59}
    got = walk(Regime(AARCH64_S2, ttbr0=0xD000_0000, t0sz=24, sl0=1), memory_of_words(words), IPA)
    assert (got.privileged, got.ns) == (RWX, False)


# Nested: stage 1, then stage 2.
#
# Stage 1 is CHAIN (three levels, tables at IPA 0x8000_0000), with its page at IPA 0xC020_3000 instead.
# Stage 2, 40 bits from level 1, two tables at 0xD000_0000:
#   index 2 (IPA 0x8000_0000 to 0xBFFF_FFFF): a 1G block at PA 0x10_0000_0000, where the tables then are;
#   index 3 (IPA 0xC000_0000 on): 0xC020_3000 is level 2 index 1, level 3 index 3, page at PA 0x1_0000_7000.
# The stage-1 tables therefore lie at PA 0x10_0000_0240, 0x10_0000_1D10, 0x10_0000_2B38.

S1L1, S1L2, S1L3 = 0x10_0000_0240, 0x10_0000_1D10, 0x10_0000_2B38
S2_TABLES, S2_OUT, S2L2, S2L3 = 0xD000_0010, 0xD000_0018, 0xD000_4008, 0xD000_5018
NESTED = {
    S2_TABLES: 0x10_0000_07FD,  # block, MemAttr 0xF, S2AP 3, SH 3, AF
    S2_OUT: 0xD000_4003,
    S2L2: 0xD000_5003,
    S2L3: 0x1_0000_77FF,
    S1L1: 0x8000_1003,
    S1L2: 0x8000_2003,
    S1L3: 0xC020_3F47,
}
NESTED_S2 = Regime(AARCH64_S2, ttbr0=0xD000_0000, t0sz=24, sl0=1)


def nested(changes: dict[int, int], **access: bool):
    return walk_nested(THREE_LEVELS, NESTED_S2, memory_of_words({**NESTED, **changes}), IOVA, **access)


def test_a_nested_walk_translates_every_table_address_and_the_output():
    got = nested({})
    assert (got.pa, got.ipa, got.page_size) == (0x1_0000_7890, 0xC020_3890, 4 * K)
    # Three times a stage-2 walk of one read and the stage-1 descriptor, then a stage-2 walk of three reads.
    assert [pa for pa, _ in got.reads] == [
        S2_TABLES,
        S1L1,
        S2_TABLES,
        S1L2,
        S2_TABLES,
        S1L3,
        S2_OUT,
        S2L2,
        S2L3,
    ]
    assert got.stage1 is not None
    assert got.stage2 is not None
    assert (got.stage1.pa, got.stage2.pa) == (0xC020_3890, 0x1_0000_7890)
    assert (got.attr_indx, got.mem_attr) == (1, 0xF)


def test_a_nested_page_is_as_large_as_the_smaller_of_the_two():
    # Stage 1: a 2M block at IPA 0xC020_0000, offset 0x16_7890. Stage 2: a 1G block at PA 0x5_4000_0000.
    got = nested({S1L2: 0xC020_0741, S2_OUT: 0x5_4000_07FD})
    assert (got.pa, got.page_size) == (0x5_4036_7890, 2 * M)
    # Stage 1: a 2M block again. Stage 2: 4K; level 3 index of 0xC036_7890 is 0x167.
    got = nested({S1L2: 0xC020_0741, 0xD000_5B38: 0x1_0000_77FF})
    assert (got.pa, got.page_size) == (0x1_0000_7890, 4 * K)


def test_a_nested_run_is_contiguous_only_if_both_stages_say_so():
    hint = 1 << 52
    assert nested({S1L3: NESTED[S1L3] | hint}).contiguous is False
    both = nested({S1L3: NESTED[S1L3] | hint, S2L3: NESTED[S2L3] | hint})
    assert (both.contiguous, both.run_size) == (True, 64 * K)


def test_a_stage_2_fault_on_a_stage_1_table_says_so():
    got = nested({S2_TABLES: 0})
    assert (got.fault, got.level, got.stage, got.s1ptw) == (TRANSLATION, 1, 2, True)
    assert got.ipa == 0x8000_0240  # the IPA of the descriptor
    assert got.reads == ((S2_TABLES, 0),)


def test_a_stage_1_table_must_be_readable_at_stage_2_and_need_not_be_writable():
    # S2AP 2 (0x80, write only): 0x7FD without bit 6.
    got = nested({S2_TABLES: 0x10_0000_07BD})
    assert (got.fault, got.level, got.stage, got.s1ptw) == (PERMISSION, 1, 2, True)
    # S2AP 1 (0x40, read only) serves a write access as well, and XN does not stop a fetch.
    read_only = {S2_TABLES: 0x10_0000_077D | 1 << 54}
    assert nested(read_only, write=True).translated
    assert nested(read_only, instruction=True).translated


def test_a_stage_2_fault_on_the_output_is_not_of_the_stage_1_walk():
    got = nested({S2L3: 0})
    assert (got.fault, got.level, got.stage, got.s1ptw, got.ipa) == (TRANSLATION, 3, 2, False, 0xC020_3890)
    assert len(got.reads) == 9


def test_stage_2_refuses_the_write_that_stage_1_allows():
    got = nested({S2L3: 0x1_0000_777F}, write=True)
    assert (got.fault, got.level, got.stage, got.s1ptw) == (PERMISSION, 3, 2, False)
    assert nested({S2L3: 0x1_0000_777F}).privileged == RX


def test_stage_1_permissions_are_checked_before_stage_2_sees_the_output():
    # Read-only at stage 1 and unmapped at stage 2: the stage-1 fault is the one reported, and 6 reads were
    # made.
    got = nested({S1L3: 0xC020_3FC7, S2L3: 0}, write=True)
    assert (got.fault, got.level, got.stage, got.s1ptw) == (PERMISSION, 3, 1, False)
    assert len(got.reads) == 6


def test_a_stage_1_translation_fault_keeps_its_stage():
    got = nested({S1L2: 0})
    assert (got.fault, got.level, got.stage, got.s1ptw) == (TRANSLATION, 2, 1, False)


def test_external_aborts_of_the_two_stages_are_told_apart():
    # Stage 2 maps the tables to PA 0x20_0000_0000, where there is no memory: reading the stage-1 descriptor
    # aborts.
    first = nested({S2_TABLES: 0x20_0000_07FD})
    assert (first.fault, first.level, first.stage, first.s1ptw) == (EXTERNAL, 1, 1, False)
    # The stage-2 level 2 table is outside memory.
    second = nested({S2_OUT: 0xE000_4003})
    assert (second.fault, second.level, second.stage, second.s1ptw) == (EXTERNAL, 2, 2, False)


# AArch32, long descriptors


def test_lpae_with_t0sz_0_starts_at_level_1_with_four_entries():
    # 0xC060_4ABC = 3 << 30 | 3 << 21 | 4 << 12 | 0xABC. TTBR0 0x9_0000_0020: 4 entries, 32 bytes.
    words = {0x9_0000_0038: 0x9_0000_1003, 0x9_0000_1018: 0x9_0000_2003, 0x9_0000_2020: 0xFF_0000_5F47}
    regime = Regime(AARCH32_LPAE_S1, ttbr0=0x0003_0009_0000_0020, t0sz=0, t1sz=0)
    got = walk(regime, memory_of_words(words), 0xC060_4ABC)
    assert (got.pa, got.page_size, got.ng) == (0xFF_0000_5ABC, 4 * K, True)
    assert got.reads == tuple(words.items())


def test_lpae_with_t0sz_2_starts_at_level_2():
    # 30 bits, 512 entries. 0x3FE0_0000 is index 0x1FF. A 2M block.
    regime = Regime(AARCH32_LPAE_S1, ttbr0=0x9_0000_1000, t0sz=2, t1sz=0)
    got = walk(regime, memory_of_words({0x9_0000_1FF8: 0x1_0020_0741}), 0x3FE1_2345)
    assert (got.pa, got.level, got.page_size) == (0x1_0021_2345, 2, 2 * M)


@pytest.mark.parametrize(
    ("t0sz", "t1sz", "iova", "table"),
    [
        # Neither set: all is TTBR0's. 0xC000_0000 is index 3.
        (0, 0, 0xC000_0000, 0x9_0000_0018),
        # T0SZ 1, T1SZ 0: the low 2G is TTBR0's (level 1, 1 bit), all the rest TTBR1's (level 1, 2 bits).
        (1, 0, 0x7FFF_FFFF, 0x9_0000_0008),
        (1, 0, 0x8000_0000, 0xA_0000_0010),
        # T0SZ 0, T1SZ 1: the high 2G is TTBR1's (1 bit: 0xC000_0000 is index 1), all the rest TTBR0's.
        (0, 1, 0x4000_0000, 0x9_0000_0008),
        (0, 1, 0xC000_0000, 0xA_0000_0008),
        # Both: the low 1G (level 2, 512 entries) and the high 2G.
        (2, 1, 0x3FE0_0000, 0x9_0000_0FF8),
        (2, 1, 0x8000_0000, 0xA_0000_0000),
    ],
)
def test_lpae_t0sz_and_t1sz_divide_the_input(t0sz, t1sz, iova, table):
    regime = Regime(
        AARCH32_LPAE_S1, ttbr0=0x9_0000_0000, ttbr1=0xA_0000_0000, t0sz=t0sz, t1sz=t1sz, epd1=False
    )
    got = walk(regime, memory_of_words({table: 0}), iova)
    assert (got.fault, got.reads) == (TRANSLATION, ((table, 0),))


def test_lpae_reports_level_1_for_what_no_table_covers():
    regime = Regime(AARCH32_LPAE_S1, ttbr0=0x9_0000_0000, ttbr1=0xA_0000_0000, t0sz=2, t1sz=1, epd1=True)
    for iova in (
        0x4000_0000,  # between the low 1G and the high 2G
        0x8000_0000,  # TTBR1 is disabled
        0x1_0000_0000,  # more than 32 bits
    ):
        got = walk(regime, memory_of_words({}), iova)
        assert (got.fault, got.level, got.reads) == (TRANSLATION, 1, ()), hex(iova)


def test_lpae_outputs_40_bits():
    # Bit 40 of a level 2 table pointer; then of TTBR0.
    words = {0x9_0000_0000: 0x9_0000_1003, 0x9_0000_1000: 0x100_0000_2003}
    got = walk(Regime(AARCH32_LPAE_S1, ttbr0=0x9_0000_0000, t0sz=0, t1sz=0), memory_of_words(words), 0)
    assert (got.fault, got.level, len(got.reads)) == (ADDRESS_SIZE, 2, 2)
    got = walk(Regime(AARCH32_LPAE_S1, ttbr0=0x109_0000_0000, t0sz=0, t1sz=0), memory_of_words(words), 0)
    assert (got.fault, got.level, got.reads) == (ADDRESS_SIZE, 0, ())


@pytest.mark.parametrize(
    ("bits", "privileged", "unprivileged"),
    [
        (0x40, RWX, RWX),
        (0x40 | 1 << 54, RW, RW),  # XN is for both
        (0x40 | 1 << 53, RW, RWX),  # PXN for the privileged
        (0x80, RX, NONE),
    ],
)
def test_lpae_execute_never_is_for_both_privileges(bits, privileged, unprivileged):
    # A 1G block.
    regime = Regime(AARCH32_LPAE_S1, ttbr0=0x9_0000_0000, t0sz=0, t1sz=0)
    got = walk(regime, memory_of_words({0x9_0000_0000: 0x701 | bits}), 0, privileged=True)
    assert (got.page_size, got.privileged, got.unprivileged) == (G, privileged, unprivileged)


# AArch32, short descriptors. SCTLR.AFE 1 unless said: AP[0] is the access flag. Sections and supersections
# have AP[0], AP[1], AP[2] in bits 10, 11, 15; pages in bits 4, 5, 9.

SHORT = Regime(AARCH32_SHORT, ttbr0=0x4000_0000, t0sz=0)


def test_short_section_is_1m():
    # IOVA 0x1234_5678: first level entry 0x123 at 0x4000_0000 + 4 * 0x123 = 0x4000_048C.
    # 0x8AB3_1C0E = base 0x8AB0_0000, nG 0x2_0000, S 0x1_0000, TEX[0] 0x1000, AP[1] 0x800, AP[0] 0x400, C B
    # 0xC, 0b10.
    got = walk(SHORT, memory_of_words32({0x4000_048C: 0x8AB3_1C0E}), 0x1234_5678)
    assert (got.pa, got.level, got.page_size, got.run_size) == (0x8AB4_5678, 1, M, M)
    assert (got.ap, got.attr_indx, got.mem_attr, got.sh, got.ng, got.ns) == (3, 7, 7, 1, True, False)
    assert (got.privileged, got.unprivileged) == (RWX, RWX)
    assert got.reads == ((0x4000_048C, 0x8AB3_1C0E),)


def test_short_supersection_is_16m_and_has_40_bits():
    # IOVA 0x5512_3456: entry 0x551 at 0x4000_1544. 0x77A4_0C62 = base 31:24 0x77; PA[35:32] in 23:20 0xA; bit
    # 18; AP[1:0] 0xC00; PA[39:36] in 8:5, 0x60 = 3 << 5; 0b10.
    got = walk(SHORT, memory_of_words32({0x4000_1544: 0x77A4_0C62}), 0x5512_3456)
    assert (got.pa, got.level, got.page_size) == (0x3A_7712_3456, 1, 16 * M)
    assert (got.sh, got.ng) == (0, False)


def test_short_large_page_is_64k():
    # IOVA 0x2003_4567: entry 0x200 at 0x4000_0800 holds 0x5000_0401, a table at 0x5000_0400; entry 0x34 there
    # at 0x5000_0400 + 0xD0. 0x6543_8A31 = base 0x6543_0000, XN 0x8000, nG 0x800, AP[2] 0x200, AP[1:0] 0x30,
    # 0b01.
    words = {0x4000_0800: 0x5000_0401, 0x5000_04D0: 0x6543_8A31}
    memory = memory_of_words32(words)
    got = walk(SHORT, memory, 0x2003_4567)
    assert (got.pa, got.level, got.page_size) == (0x6543_4567, 2, 64 * K)
    assert (got.ap, got.ng, got.privileged, got.unprivileged) == (7, True, R, R)
    assert got.reads == tuple(words.items())
    refused = walk(SHORT, memory, 0x2003_4567, write=True, privileged=True)
    assert (refused.fault, refused.level) == (PERMISSION, 2)
    assert walk(SHORT, memory, 0x2003_4567, instruction=True).fault == PERMISSION
    # Without XN (bit 15) it can be fetched from.
    executable = memory_of_words32({**words, 0x5000_04D0: 0x6543_0A31})
    assert walk(SHORT, executable, 0x2003_4567, instruction=True).pa == 0x6543_4567


def test_short_small_page_is_4k():
    # IOVA 0x2003_5567: second level entry 0x35 at 0x5000_04D4. First level 0x5000_0409: NS (bit 3).
    # 0x7000_1496 = base 0x7000_1000, S 0x400, TEX 2 (0x80), AP[0] 0x10, B 0x4, 0b10: privileged only,
    # executable.
    words = {0x4000_0800: 0x5000_0409, 0x5000_04D4: 0x7000_1496}
    got = walk(SHORT, memory_of_words32(words), 0x2003_5567, privileged=True)
    assert (got.pa, got.level, got.page_size) == (0x7000_1567, 2, 4 * K)
    # AttrIndx is TEX[0] C B = 0 0 1; MemAttr TEX C B = 010 0 1.
    assert (got.ap, got.attr_indx, got.mem_attr, got.sh, got.ns) == (1, 1, 0b01001, 1, True)
    assert (got.privileged, got.unprivileged) == (RWX, NONE)
    refused = walk(SHORT, memory_of_words32(words), 0x2003_5567)
    assert (refused.fault, refused.level) == (PERMISSION, 2)


def test_short_small_page_has_xn_in_bit_0():
    words = {0x4000_0800: 0x5000_0401, 0x5000_04D4: 0x7000_1033}
    assert walk(SHORT, memory_of_words32(words), 0x2003_5567).unprivileged == RW


def test_short_pxn_is_bit_2_of_a_table_and_bit_0_of_a_section():
    words = {0x4000_0800: 0x5000_0405, 0x5000_04D4: 0x7000_1032}
    page = walk(SHORT, memory_of_words32(words), 0x2003_5567)
    assert (page.privileged, page.unprivileged) == (RW, RWX)
    section = walk(SHORT, memory_of_words32({0x4000_0800: 0x8AB0_0C03}), 0x2003_5567)
    assert (section.page_size, section.privileged, section.unprivileged) == (M, RW, RWX)


@pytest.mark.parametrize(
    ("words", "fault", "level"),
    [
        ({0x4000_0800: 0}, TRANSLATION, 1),
        ({0x4000_0800: 0x8AB0_0802}, ACCESS_FLAG, 1),  # AP[0] is 0
        ({0x4000_0800: 0x5000_0401, 0x5000_04D4: 0}, TRANSLATION, 2),
        ({0x4000_0800: 0x5000_0401, 0x5000_04D4: 0x7000_1022}, ACCESS_FLAG, 2),
        ({0x4000_0800: 0x5100_0401}, EXTERNAL, 2),
    ],
)
def test_short_faults_at_the_level_of_the_descriptor(words, fault, level):
    got = walk(SHORT, memory_of_words32(words), 0x2003_5567)
    assert (got.fault, got.level, got.stage) == (fault, level, 1)
    assert len(got.reads) == level


@pytest.mark.parametrize(
    ("ap", "privileged", "unprivileged"),
    [
        (0b000, NONE, NONE),
        (0b001, RWX, NONE),
        (0b010, RWX, RX),
        (0b011, RWX, RWX),
        (0b101, RX, NONE),
        (0b110, RX, RX),
        (0b111, RX, RX),
    ],
)
def test_short_without_afe_has_the_full_ap_model_and_no_access_flag(ap, privileged, unprivileged):
    # A section: AP[1:0] in 11:10, AP[2] in 15.
    section = 0x8AB0_0002 | (ap & 3) << 10 | (ap >> 2) << 15
    regime = Regime(AARCH32_SHORT, ttbr0=0x4000_0000, t0sz=0, afe=False)
    memory = memory_of_words32({0x4000_0800: section})
    for is_privileged, allowed in ((True, privileged), (False, unprivileged)):
        for write, right in ((False, allowed.readable), (True, allowed.writable)):
            got = walk(regime, memory, 0x2000_0000, privileged=is_privileged, write=write)
            assert got.fault == (None if right else PERMISSION)
            if right:
                assert (got.privileged, got.unprivileged) == (privileged, unprivileged)


def test_short_ttbcr_n_gives_the_low_part_to_a_smaller_table():
    # N 2: TTBR0 has the low 1G, 1024 entries, 4K, at 0x4000_1000 (bit 12 is part of the base now).
    regime = Regime(AARCH32_SHORT, ttbr0=0x4000_1000, ttbr1=0x4800_0000, t0sz=2, epd1=False)
    # 0x3FF0_0000 is entry 0x3FF; 0x4000_0000 goes to TTBR1, whose table covers all: entry 0x400.
    low = walk(regime, memory_of_words32({0x4000_1FFC: 0x8AB0_0C02}), 0x3FF0_0010)
    assert (low.pa, low.reads) == (0x8AB0_0010, ((0x4000_1FFC, 0x8AB0_0C02),))
    high = walk(regime, memory_of_words32({0x4800_1000: 0x8AB0_0C02}), 0x4000_0010)
    assert (high.pa, high.reads) == (0x8AB0_0010, ((0x4800_1000, 0x8AB0_0C02),))


def test_short_disabled_tables_and_wide_inputs_fault_at_level_1():
    regime = Regime(AARCH32_SHORT, ttbr0=0x4000_0000, t0sz=1, epd0=True, epd1=True)
    for iova in (0, 0x8000_0000, 0x1_0000_0000):
        got = walk(regime, memory_of_words32({}), iova)
        assert (got.fault, got.level, got.reads) == (TRANSLATION, 1, ())


def test_a_nested_walk_may_have_short_descriptors_at_stage_1():
    # The first-level table is at IPA 0x4000_0000. Stage 2 (40 bits from level 1): index 1 a 1G block at
    # PA 0x10_0000_0000, so entry 0x123 is at 0x10_0000_048C; its section 0x8AB0_0C02 gives IPA 0x8AB4_5678,
    # index 2 a 1G block at PA 0x11_0000_0000: PA 0x11_0AB4_5678.
    words = {0xD000_0008: 0x10_0000_07FD, 0xD000_0010: 0x11_0000_07FD, 0x10_0000_0488: 0x8AB0_0C02 << 32}
    got = walk_nested(SHORT, NESTED_S2, memory_of_words(words), 0x1234_5678)
    assert (got.pa, got.ipa, got.page_size) == (0x11_0AB4_5678, 0x8AB4_5678, M)
    assert got.reads == (
        (0xD000_0008, 0x10_0000_07FD),
        (0x10_0000_048C, 0x8AB0_0C02),
        (0xD000_0010, 0x11_0000_07FD),
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"format": "aarch64"},
        {"format": AARCH32_SHORT, "t0sz": 0, "granule": 16 * K},
        {"format": AARCH32_LPAE_S1, "t0sz": 8, "t1sz": 0},
        {"format": AARCH32_LPAE_S1, "t0sz": 0, "t1sz": 16},
        {"format": AARCH64_S2, "sl0": 1, "start_level": 1},
    ],
)
def test_a_regime_that_no_register_can_hold_is_refused(fields):
    with pytest.raises(ValueError, match=r"format|AArch32|sl0"):
        Regime(**fields)
