"""Opens what is to be imported: any compression, a bounded amount in memory."""

from __future__ import annotations

import hashlib
import lzma
import zlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from traces.errors import TraceError
from traces.importers.result import Dropped

#: Bytes read from the file at once; an error's offset is exact to this.
CHUNK = 1 << 14
#: Most bytes that one step of decompression gives.
STEP = 1 << 18
#: Bytes of the stream's head that readers are told apart by.
HEAD = 1 << 16
#: Most bytes of a line, and of a log's line.
LONGEST_LINE = 1 << 16
LONGEST_LOG_LINE = 1 << 12
#: A stream that grows by more than this, beyond the first bytes, is no recording but a bomb.
MOST_GROWTH, GROWTH_FREE = 200, 1 << 22
#: Bytes that an xz stream may ask the decompressor for (``xz -9`` needs 65 MiB).
_XZ_MEMORY = 128 << 20

_MAGICS = {b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst", b"\xfd7zXZ\0": "xz"}
_ENDINGS = (".gz", ".zst", ".xz")


class _Members:
    """Decompresses gz or xz: one member after another, at most `STEP` bytes at a time."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._begin()
        self.between = True  # no member is open
        self.first = True

    def _begin(self) -> None:
        self._gz = zlib.decompressobj(wbits=31) if self.kind == "gz" else None
        self._xz = None if self._gz else lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

    def step(self, data: bytes) -> tuple[bytes, bytes]:
        """Decompress some of `data`; return what came out and what of `data` is to be given again."""
        if self.between and not self.first:
            # Padding after a member: tar and dd leave zeros.
            data = data.lstrip(b"\0")
            if not data:
                return b"", b""
            self._begin()
        self.between = self.first = False
        if self._gz is not None:
            out = self._gz.decompress(data, STEP)
            left, ended = self._gz.unconsumed_tail or self._gz.unused_data, self._gz.eof
        else:
            assert self._xz is not None
            out = self._xz.decompress(data, STEP)
            ended = self._xz.eof
            # What it has not used it keeps for itself, unless the member has ended.
            left = self._xz.unused_data if ended else b""
        self.between = ended
        return out, left

    def more(self) -> bool:
        """Whether output waits that needs no more input."""
        return self._xz is not None and not self._xz.eof and not self._xz.needs_input


class Source:
    """A file to import, decompressed as it is read.  Use it in ``with``.

    Parameters
    ----------
    path : str or pathlib.Path
    dropped : Dropped
        Told of a stream that ends early, and of lines that are too long.
    scratch : pathlib.Path, optional
        Where a reader may put nameless files; the system's folder for them if not given.
    progress : callable, optional
        Told (bytes read, bytes of the file) now and then.

    Attributes
    ----------
    path : pathlib.Path
    dropped : Dropped
    scratch : pathlib.Path or None
    progress : callable or None
    name : str
        The file's name in lower case, without the ending of its compression.
    compression : str
        ``gz``, ``zst``, ``xz`` or nothing.
    sha256 : str
        Of the file as it lies there, in lower-case hex.
    whole : bool
        False once the stream has ended early (and that is salvaged).
    ends_with_newline : bool
        Whether the last line that `lines` gave had a line end.

    Raises
    ------
    TraceError
        No such file, no plain file, or one that cannot be read.
    """

    def __init__(
        self,
        path: str | Path,
        dropped: Dropped,
        scratch: Path | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.path = Path(path)
        self.dropped = dropped
        self.scratch = scratch
        self.progress = progress
        self.whole = True
        self.ends_with_newline = True
        if self.path.exists() and not self.path.is_file():
            found = "a directory" if self.path.is_dir() else "a device or a pipe"
            raise TraceError("cannot be imported", path, "a plain file", found)
        try:
            self._file: BinaryIO = self.path.open("rb")
        except FileNotFoundError:
            raise TraceError("no such file", path) from None
        except (OSError, ValueError) as error:
            raise TraceError("cannot be read", path, found=str(error)) from None
        try:
            self.sha256 = hashlib.file_digest(self._file, "sha256").hexdigest()
            self._size = self._file.tell()
            self._file.seek(0)
            magic = self._file.read(6)
            self._file.seek(0)
        except OSError as error:
            self._file.close()
            raise TraceError("cannot be read", path, found=str(error)) from None
        self.compression = next((kind for start, kind in _MAGICS.items() if magic.startswith(start)), "")
        lower = self.path.name.lower()
        self.name = lower
        for ending in _ENDINGS:
            if self.compression and lower.endswith(ending):
                self.name = lower[: -len(ending)]
        self._in = 0
        self._out = 0
        self._chunks = self._decompress()
        self._head: bytes | None = None

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._chunks.close()
        self._file.close()

    def head(self) -> bytes:
        """Return the first bytes of the stream (`HEAD` of them, if it is that long); they are not used up."""
        if self._head is None:
            parts: list[bytes] = []
            while sum(map(len, parts)) < HEAD and (chunk := next(self._chunks, b"")):
                parts.append(chunk)
            self._head = b"".join(parts)
        return self._head[:HEAD]

    def chunks(self) -> Iterator[bytes]:
        """Stream the decompressed bytes, from the start; only once."""
        self.head()
        first, self._head = self._head, b""
        if first:
            yield first
        yield from self._chunks

    def lines(self) -> Iterator[tuple[int, str]]:
        """Stream the lines with their numbers, from 1; only once.

        Line ends are taken off, and empty lines left out; bytes that are no UTF-8 become U+FFFD.  A line of
        more than `LONGEST_LINE` bytes is refused, and left out where things are salvaged.
        """
        for first, block in self.line_blocks():
            yield from self.lines_of(first, block)

    def line_blocks(self) -> Iterator[tuple[int, bytes]]:
        """Stream whole lines, many at once: the number of the first, and the bytes with their line ends.

        Of a line that is too long `LONGEST_LINE` + 1 bytes are given, so that `lines_of` refuses it.
        """
        number, rest = 1, b""
        for chunk in self.chunks():
            data = rest + chunk
            cut = data.rfind(b"\n") + 1
            rest = data[cut : cut + LONGEST_LINE + 1]
            if cut:
                yield number, data[:cut]
                number += data.count(b"\n", 0, cut)
        if rest:
            self.ends_with_newline = False
            yield number, rest

    def lines_of(self, number: int, block: bytes) -> Iterator[tuple[int, str]]:
        """Split a block of `line_blocks`, as `lines` says."""
        for at, part in enumerate(block.removesuffix(b"\n").split(b"\n"), number):
            if len(part) > LONGEST_LINE:
                self._too_long(at)
            elif part:
                yield at, part.removesuffix(b"\r").decode("utf-8", "replace")

    def log_lines(self) -> Iterator[tuple[int, str]]:
        """Stream the lines of a log, which ends with a line end: a number that is cut short looks whole."""
        for number, line in self.lines():
            if not self.ends_with_newline:
                self.dropped.refuse("the last line is cut short", self.line(number), "a line end")
                return
            if len(line) > LONGEST_LOG_LINE:
                self._too_long(number, LONGEST_LOG_LINE)
                continue
            yield number, line

    def cut_lines(self) -> Iterator[tuple[int, str]]:
        """Stream all lines with their numbers, empty ones too, cut after `LONGEST_LINE` bytes; only once."""
        number, rest = 0, b""
        for chunk in self.chunks():
            parts = (rest + chunk).split(b"\n")
            rest = parts.pop()[:LONGEST_LINE]
            for part in parts:
                number += 1
                yield number, part[:LONGEST_LINE].decode("utf-8", "replace")
        if rest:
            yield number + 1, rest.decode("utf-8", "replace")

    def line(self, number: int) -> str:
        """Return where a line is, for errors."""
        return f"{self.path}: line {number}"

    def _too_long(self, number: int, most: int = LONGEST_LINE) -> None:
        self.dropped.refuse("a line that is too long", self.line(number), f"{most} bytes at most")

    def _decompress(self) -> Generator[bytes, None, None]:
        stream = {"": self._plain, "zst": self._zstd}.get(self.compression, self._members)()
        try:
            for chunk in stream:
                self._out += len(chunk)
                if self.compression and self._out > GROWTH_FREE + MOST_GROWTH * self._in:
                    found = f"{self._out} bytes from {self._in}"
                    expected = f"{MOST_GROWTH}-fold at most (if it is one, decompress it first)"
                    self._ends("the stream grows as no recording does", expected, found)
                    return
                if self.progress is not None:
                    self.progress(self._in, self._size)
                yield chunk
        except (zlib.error, lzma.LZMAError, EOFError, OSError) as error:
            expected = f"a whole {self.compression or 'file'}"
            self._ends("the compressed stream is damaged", expected, str(error))

    def _ends(self, what: str, expected: str, found: str) -> None:
        self.whole = False
        where = f"{self.path}: byte {max(0, self._in - CHUNK)} or later ({self._out} decompressed)"
        self.dropped.refuse(what, where, expected, found)

    def _plain(self) -> Iterator[bytes]:
        while chunk := self._file.read(STEP):
            self._in += len(chunk)
            yield chunk

    def _members(self) -> Iterator[bytes]:
        members = _Members(self.compression)
        while chunk := self._file.read(CHUNK):
            self._in += len(chunk)
            while chunk or members.more():
                out, chunk = members.step(chunk)
                if out:
                    yield out
        if not members.between:
            raise EOFError("it ends in the middle")

    def _zstd(self) -> Iterator[bytes]:
        import pyarrow as pa  # noqa: PLC0415

        stream = pa.CompressedInputStream(pa.PythonFile(_Counting(self), mode="r"), "zstd")
        try:
            # Its limit on a frame's window is the library's own, 128 MiB.
            while chunk := stream.read(STEP):
                yield chunk
        except pa.ArrowException as error:
            raise OSError(str(error)) from None


class _Counting:
    """The file as Arrow reads it, counted."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        # Never all of it: Arrow asks for 64 KiB.
        data = self._source._file.read(min(size, CHUNK) if size >= 0 else CHUNK)
        self._source._in += len(data)
        return data

    def close(self) -> None:
        self.closed = True
