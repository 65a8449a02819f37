"""The state groups of an a6xx: pieces of command streams that it fetches when something is drawn.

CP_SET_DRAW_STATE names groups by number. The next draw fetches those that were set since the last one, lowest
number first, as far as they are for the current mode: binning, tiles, or straight to memory. These rules are
those that Mesa's decoder plays out. a6xx only: we have its log of such a capture to hold ours against.
"""

from __future__ import annotations

#: Packets that draw.
DRAWS = frozenset({0x22, 0x24, 0x28, 0x29, 0x2A, 0x38})
CP_SET_MARKER = 0x65
#: Mode of CP_SET_MARKER -> its bit of a group's enable mask; other modes leave it as it is.
_MODES = {1: 1 << 22, 2: 1 << 20, 4: 1 << 21}
_ANY = 7 << 20
_DISABLE, _DISABLE_ALL, _AT_ONCE = 1 << 17, 1 << 18, 1 << 19


class Groups:
    """Which groups are set."""

    def __init__(self) -> None:
        self._mode = _ANY
        self._set: dict[int, tuple[int, int, int]] = {}  # number -> address, dwords, enable mask

    def marker(self, value: int) -> None:
        """Take a CP_SET_MARKER's dword."""
        self._mode = _MODES.get(value & 0xF, self._mode)

    def set(self, words: memoryview, at: int, end: int) -> list[tuple[int, int]]:
        """Take a CP_SET_DRAW_STATE's dwords.

        Returns
        -------
        list of (int, int)
            Address and dwords of groups that are fetched at once.
        """
        now = []
        for group in range(at, end - 2, 3):
            head, iova = words[group], words[group + 1] | words[group + 2] << 32
            number, dwords = head >> 24 & 0x1F, head & 0xFFFF
            if head & _DISABLE_ALL:
                self._set.clear()
            elif head & _DISABLE or not dwords:
                self._set.pop(number, None)
            elif not head & _AT_ONCE:
                self._set[number] = iova, dwords, head & _ANY
            elif head & self._mode:
                now.append((iova, dwords))
        return now

    def draw(self) -> list[tuple[int, int]]:
        """Return address and dwords of the groups that a draw fetches, in its order."""
        listed = [self._set[number] for number in sorted(self._set)]
        due = [(iova, dwords) for iova, dwords, mask in listed if mask & self._mode]
        self._set.clear()
        return due
