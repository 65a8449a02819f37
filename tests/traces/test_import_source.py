"""Opening what is imported: compression, damage, and the limits on lines and growth."""

import gzip
import lzma

import pyarrow as pa
import pytest

from traces.errors import TraceError
from traces.importers import source as module
from traces.importers.result import Dropped
from traces.importers.source import Source

TEXT = b"".join(b"line %d\n" % n for n in range(30_000))


def zstd(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(data)
    return sink.getvalue().to_pybytes()


COMPRESSORS = {"": bytes, "gz": gzip.compress, "xz": lzma.compress, "zst": zstd}
PACKED = [kind for kind in COMPRESSORS if kind]


def opened(tmp_path, data, salvage=False, name="a.log"):
    path = tmp_path / name
    path.write_bytes(data)
    return Source(path, Dropped(salvage))


def lines(source):
    with source:
        return [line for _, line in source.lines()]


@pytest.mark.parametrize("kind", COMPRESSORS)
def test_every_compression_is_told_by_its_magic_and_gives_the_same_lines(tmp_path, kind):
    source = opened(tmp_path, COMPRESSORS[kind](TEXT))
    assert source.compression == kind
    assert lines(source) == TEXT.decode().splitlines()


@pytest.mark.parametrize("kind", PACKED)
def test_a_stream_of_two_members_is_read_through(tmp_path, kind):
    half = len(TEXT) // 2
    pack = COMPRESSORS[kind]
    assert lines(opened(tmp_path, pack(TEXT[:half]) + pack(TEXT[half:]))) == TEXT.decode().splitlines()


def test_zeros_behind_a_gz_member_are_padding(tmp_path):
    assert len(lines(opened(tmp_path, gzip.compress(TEXT) + bytes(512)))) == 30_000


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("damage", ["cut", "flipped", "followed by garbage"])
def test_a_damaged_stream_is_refused_with_its_offset(tmp_path, kind, damage):
    whole = bytearray(COMPRESSORS[kind](TEXT))
    if damage == "cut":
        del whole[-20:]
    elif damage == "flipped":
        whole[len(whole) // 2] ^= 0xFF
    else:
        whole += b"this is no member"
    with pytest.raises(TraceError, match=r"a\.log: byte \d+ or later \(\d+ decompressed\)"):
        lines(opened(tmp_path, bytes(whole)))


@pytest.mark.parametrize("kind", PACKED)
def test_salvage_keeps_what_came_before_the_damage(tmp_path, kind):
    # Not so regular that a format could hold all of it in one block.
    text = b"".join(b"%d\n" % (n * 2654435761 % (1 << 40)) for n in range(200_000))
    whole = COMPRESSORS[kind](text)
    source = opened(tmp_path, whole[: len(whole) * 3 // 4], salvage=True)
    kept = lines(source)
    assert not source.whole
    assert 50_000 < len(kept) < 200_000
    assert kept[:-1] == text.decode().splitlines()[: len(kept) - 1]
    assert sum(source.dropped.counts.values()) == 1


@pytest.mark.parametrize("kind", PACKED)
def test_a_stream_that_grows_as_no_recording_does_is_stopped_early(tmp_path, kind):
    bomb = COMPRESSORS[kind](b"\n" * (96 << 20))
    source = opened(tmp_path, bomb)
    read = 0
    with source, pytest.raises(TraceError, match="grows as no recording does"):
        for chunk in source.chunks():
            read += len(chunk)
    assert read < 16 << 20


def test_a_line_that_is_too_long_is_refused_and_salvage_leaves_out_only_that(tmp_path):
    text = b"one\n" + b"x" * (module.LONGEST_LINE * 9) + b"\nthree\n"
    with pytest.raises(TraceError, match="line 2: a line that is too long"):
        lines(opened(tmp_path, text))
    source = opened(tmp_path, text, salvage=True)
    with source:
        assert list(source.lines()) == [(1, "one"), (3, "three")]


def test_a_log_that_ends_in_the_middle_of_a_line_is_cut_short(tmp_path):
    with (
        opened(tmp_path, b"one\ntw") as source,
        pytest.raises(TraceError, match="line 2: the last line is cut"),
    ):
        list(source.log_lines())
    with opened(tmp_path, b"one\ntw", salvage=True) as source:
        assert list(source.log_lines()) == [(1, "one")]


def test_the_head_is_not_used_up(tmp_path):
    source = opened(tmp_path, gzip.compress(TEXT), name="A.LOG.GZ")
    assert source.name == "a.log"
    assert source.head() == TEXT[: module.HEAD]
    assert lines(source) == TEXT.decode().splitlines()


@pytest.mark.parametrize("what", ["missing", "directory"])
def test_what_is_no_plain_file_is_refused(tmp_path, what):
    path = tmp_path if what == "directory" else tmp_path / "nothing"
    with pytest.raises(TraceError, match="a directory" if what == "directory" else "no such file"):
        Source(path, Dropped())
