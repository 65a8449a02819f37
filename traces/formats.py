"""The table formats that a trace can name, and which sizes go together (docs/traces.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from traces.manifest import Space

FORMATS = ("aarch64-s1", "aarch64-s2", "nested", "aarch32-lpae", "aarch32-short")
#: What traces said before there were several formats.
ALIASES = {"AArch64 LPAE stage 1": "aarch64-s1"}

GRANULES = (4096, 16384, 65536)
OUTPUT_BITS = (32, 36, 40, 42, 44, 48, 52)
#: Bits from which TCR2.SEP sign-extends; the last is the top of the 49 bits that an MMU-500 takes.
SIGN_BITS = (31, 35, 39, 41, 43, 47, 48)

_AARCH64 = ("aarch64-s1", "aarch64-s2", "nested")
_HALVES = ("aarch64-s1", "nested", "aarch32-lpae", "aarch32-short")
#: A TLB tells 50 bits of 4K or 16K pages apart, and more only where both halves have 64K pages.
_MIXED = 50
_LEAST_IPA = 32  # stage-1 tables are below 4G, or stage 2 reaches beyond 512G
_CONCATENATED = 4  # log2 of the start tables side by side


def problem(field: str, expected: str, found: Any) -> PydanticCustomError:
    """Return the error for one field of a space: what was expected of it, and what was found."""
    return PydanticCustomError(
        "space_rule", "{expected}, found {found}", {"field": field, "expected": expected, "found": str(found)}
    )


def _input(field: str, ias: int, granule: int, aarch32: bool) -> None:
    most = 32 if aarch32 else 52 if granule == 65536 else 48
    if not 25 <= ias <= most:
        with_granule = "" if aarch32 else f" with a granule of {granule}"
        raise problem(field, f"25 to {most} input bits{with_granule}", ias)


def check_space(space: Space) -> None:
    """Check that a space's fields go together.

    Raises
    ------
    PydanticCustomError
        The first that does not; its context has the field, what was expected and what was found.
    """
    name, granule, upper = space.format, space.granule, space.ttbr1
    aarch32 = name not in _AARCH64
    if aarch32 and granule != 4096:
        raise problem("granule", f"4096 with {name}", granule)
    _input("ias", space.ias, granule, aarch32)
    if space.oas is not None:
        allowed = (40,) if aarch32 else OUTPUT_BITS if granule == 65536 else OUTPUT_BITS[:-1]
        if space.oas not in allowed:
            raise problem("oas", f"one of {', '.join(map(str, allowed))} output bits", space.oas)
    if upper is not None:
        _check_upper(space, aarch32)
    if space.sep is not None:
        if name not in ("aarch64-s1", "nested"):
            raise problem("sep", f"nothing with {name}", space.sep)
        if space.sep not in SIGN_BITS:
            raise problem("sep", f"one of {', '.join(map(str, SIGN_BITS))}", space.sep)
    if space.start_level is not None:
        if name != "aarch64-s2":
            raise problem("start_level", f"nothing with {name}", space.start_level)
        levels = start_levels(space.ias, granule)
        if space.start_level not in levels:
            expected = f"{' or '.join(map(str, levels))} with {space.ias} input bits"
            raise problem("start_level", expected, space.start_level)
    if (space.stage2 is None) == (name == "nested"):
        expected = (
            "the number of the space that is its stage 2" if name == "nested" else f"nothing with {name}"
        )
        raise problem("stage2", expected, "nothing" if space.stage2 is None else space.stage2)


def _check_upper(space: Space, aarch32: bool) -> None:
    upper = space.ttbr1
    assert upper is not None
    if space.format not in _HALVES:
        raise problem("ttbr1", f"nothing with {space.format}", f"{upper.ias} bits")
    if aarch32 and upper.granule != 4096:
        raise problem("ttbr1.granule", f"4096 with {space.format}", upper.granule)
    _input("ttbr1.ias", upper.ias, upper.granule, aarch32)
    if space.format == "aarch32-short" and upper.ias != 32:
        raise problem("ttbr1.ias", "32 with aarch32-short (TTBR1 has all that TTBR0 leaves)", upper.ias)
    if aarch32 and upper.ias == 32 and space.ias == 32:
        raise problem("ias", "31 or less beside a ttbr1 of 32 input bits", space.ias)
    if min(space.granule, upper.granule) < 65536 and max(space.ias, upper.ias) > _MIXED:
        expected = f"a granule of 65536 in both halves where one has more than {_MIXED} input bits"
        raise problem("ttbr1.granule", expected, f"{space.granule} and {upper.granule}")


def start_levels(ias: int, granule: int) -> tuple[int, ...]:
    """Return the levels that a stage 2 can start at: 1 to 16 tables, each bit of them resolved.

    >>> start_levels(40, 4096), start_levels(48, 65536)
    ((0, 1), (1,))
    """
    page_bits = granule.bit_length() - 1
    resolved = {level: ias - page_bits - (3 - level) * (page_bits - 3) for level in range(4)}
    return tuple(level for level, bits in resolved.items() if 1 <= bits <= page_bits - 3 + _CONCATENATED)


def check_spaces(spaces: Sequence[Space]) -> None:
    """Check what spaces say of one another.

    Raises
    ------
    PydanticCustomError
        As `check_space`, with ``spaces.N.`` before the field.
    """
    for space in spaces:
        if space.stage2 is None:
            continue
        where = f"spaces.{space.space}."
        below = spaces[space.stage2] if space.stage2 < len(spaces) else None
        if below is None or below.format != "aarch64-s2":
            found = f"{space.stage2}, {'of which there is none' if below is None else 'a ' + below.format}"
            raise problem(where + "stage2", "the number of a space of format aarch64-s2", found)
        if below.ias < _LEAST_IPA:
            expected = f"{_LEAST_IPA} or more, for the tables of space {space.space} (nested)"
            raise problem(f"spaces.{below.space}.ias", expected, below.ias)
        if space.vmid is not None and space.vmid != below.vmid:
            raise problem(where + "vmid", f"that of space {below.space}, its stage 2", space.vmid)


class Reach:
    """What input addresses the spaces' tables have, by half, and their granules; for many events at once.

    Parameters
    ----------
    spaces : sequence of Space
    """

    def __init__(self, spaces: Sequence[Space]) -> None:
        listed = [_bounds(space) for space in spaces] or [(0, 1, 0, 0, 0, 0)]
        columns = zip(*listed, strict=True)
        self._sign, self._low, self._first, self._last, self._mask0, self._mask1 = (
            np.array(column, np.uint64) for column in columns
        )
        # IPA ranges have the granule of the stage 2, where there is one above the other.
        self._ipa_mask = np.array(
            [spaces[s.stage2 if s.stage2 is not None else s.space].granule - 1 for s in spaces] or [0],
            np.uint64,
        )

    def input_of(self, space: np.ndarray, iova: np.ndarray) -> np.ndarray:
        """Return the addresses that tables are walked with: sign-extended where the space says so."""
        above = self._sign[space].astype(np.int64)
        return np.right_shift((iova << above.astype(np.uint64)).view(np.int64), above).view(np.uint64)

    def masks(self, space: np.ndarray, iova: np.ndarray) -> np.ndarray:
        """Return granule - 1 of the half that each address is in."""
        return np.where(
            self._upper(space, self.input_of(space, iova)), self._mask1[space], self._mask0[space]
        )

    def ipa_masks(self, space: np.ndarray) -> np.ndarray:
        """Return granule - 1 of the stage 2."""
        return self._ipa_mask[space]

    def _upper(self, space: np.ndarray, va: np.ndarray) -> np.ndarray:
        return (va >= self._first[space]) & (va <= self._last[space])

    def inside(self, space: np.ndarray, iova: np.ndarray, size: np.ndarray) -> np.ndarray:
        """Tell which ranges lie in one half."""
        va = self.input_of(space, iova)
        end = va + (size - np.uint64(1))
        upper = self._upper(space, va)
        last = np.where(upper, self._last[space], self._low[space])
        return (upper | (va <= self._low[space])) & (end >= va) & (end <= last)


def _bounds(space: Space) -> tuple[int, int, int, int, int, int]:
    """Return sign shift, last of the lower half, first and last of the upper, and the granule masks.

    Where there is no upper half its first address is above its last.
    """
    sign = 0 if space.sep is None else 63 - space.sep
    low, mask = (1 << space.ias) - 1, space.granule - 1
    upper = space.ttbr1
    if upper is None:
        return sign, low, 1, 0, mask, mask
    whole = 64 if space.format in _AARCH64 else 32
    first = (1 << whole) - (1 << upper.ias)
    if whole == 32:
        # With T1SZ 0, and with short descriptors, TTBR1 has what TTBR0 leaves; else it wins where both claim.
        first = low + 1 if upper.ias == 32 else first
        low = min(low, first - 1)
    return sign, low, first, (1 << whole) - 1, mask, upper.granule - 1
