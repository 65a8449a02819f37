"""Reads a binary file's parts from a source's chunks, and knows where it is."""

from __future__ import annotations

from collections.abc import Iterator

from traces.importers.source import Source


class Octets:
    """The decompressed bytes of a source, taken in parts.

    Parameters
    ----------
    source : Source

    Attributes
    ----------
    offset : int
        Bytes taken so far.
    """

    def __init__(self, source: Source) -> None:
        self._chunks = source.chunks()
        self._rest = b""
        self._place = source.path
        self.offset = 0

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes, which must be few; fewer where the file ends."""
        parts = list(self.pieces(size))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def pieces(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes in pieces as they come; fewer where the file ends."""
        while size:
            if not self._rest:
                self._rest = next(self._chunks, b"")
                if not self._rest:
                    return
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            self.offset += len(piece)
            yield piece

    def at(self, offset: int) -> str:
        """Return where a byte is, for errors."""
        return f"{self._place}: byte {offset} of what it holds"
