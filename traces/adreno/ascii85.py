"""Decodes the ascii85 of Linux's GPU dumps: five characters for a dword, ``z`` for a dword of 0."""

from __future__ import annotations

import re

import numpy as np

# Possessive, so that a long run of dwords leaves no trail to go back on.
_WHOLE = re.compile(rb"(?:z|[!-u]{5})*+")
_PART = re.compile(rb"[!-u]{0,4}")
_WEIGHTS = np.array([85**4, 85**3, 85**2, 85, 1], np.uint64)


class Ascii85:
    """Decodes a text that comes in pieces.

    Examples
    --------
    >>> Ascii85().feed(b'zE9.').hex(), Ascii85().feed(b"!!!!!z").hex()
    ('00000000', '0000000000000000')
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, text: bytes) -> bytes | None:
        """Decode a piece.

        Parameters
        ----------
        text : bytes

        Returns
        -------
        bytes or None
            Little-endian dwords; None where the text is no ascii85, or a dword has more than 32 bits.
        """
        text = self._rest + text
        match = _WHOLE.match(text)
        whole = match[0] if match else b""
        self._rest = text[len(whole) :]
        if not _PART.fullmatch(self._rest):
            return None
        digits = np.frombuffer(whole.replace(b"z", b"!!!!!"), np.uint8).astype(np.uint64) - np.uint64(33)
        values = digits.reshape(-1, 5) @ _WEIGHTS
        if values.size and int(values.max()) >> 32:
            return None
        return values.astype("<u4").tobytes()

    def ends(self) -> bool:
        """Whether the text may end here: no dword is begun."""
        return not self._rest


def encode(words: list[int]) -> bytes:
    """Encode dwords, as Linux does.

    >>> encode([0, 0x70E50001])
    b"zE9.'#"
    """
    out = b""
    for word in words:
        digits = bytes(33 + word // 85**power % 85 for power in (4, 3, 2, 1, 0))
        out += digits if word else b"z"
    return out
