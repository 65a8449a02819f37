"""Takes the text of a drm/msm devcoredump apart."""

from __future__ import annotations

import re
from collections.abc import Iterator

from traces.adreno.ascii85 import Ascii85
from traces.adreno.buffers import pages_of
from traces.adreno.contents import Contents
from traces.adreno.dump import PLACE, Dump, Fault, Part
from traces.adreno.walk import FETCH
from traces.importers.result import table_problem
from traces.importers.source import LONGEST_LOG_LINE, Source

_MOST_PARTS = 1 << 16
_MOST_RING = 1 << 20  # Linux makes them of 32 KiB
_MOST_NAMES = 32
_SECTION = re.compile(r"([a-z][a-z0-9-]{0,40}):(?: (.*))?")
_FIELD = re.compile(r"(?:  - |    )([a-z][a-z0-9-]{0,40}):(?: (.*))?")
_FAULT = re.compile(r"  - ([a-z0-9]{1,8})(?:=|: )(.*)")
_NUMBER = re.compile(r"0x[0-9a-f]{1,16}|[0-9]{1,19}")
_REGISTER = re.compile(r"  - \{ offset: 0x([0-9a-f]{1,8}), value: 0x([0-9a-f]{1,8}) \}")
_REVISION = re.compile(r"([0-9]{1,5}) \(([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\)")
_DATA = "!!ascii85 |"
#: Number fields of a ring and of a buffer; others are passed over.
_NUMBERS = ("id", "iova", "last-fence", "retired-fence", "rptr", "wptr", "size")


def parse(source: Source, contents: Contents) -> Dump:
    """Read a dump.

    Parameters
    ----------
    source : Source
        Told what is broken.
    contents : Contents
        Given the contents of rings and buffers.

    Returns
    -------
    Dump
    """
    return _Parser(source, contents).run()


class _Parser:
    def __init__(self, source: Source, contents: Contents) -> None:
        self.source, self.contents = source, contents
        self.dump = Dump()
        self.section = ""
        self.line = 0
        self.part: Part | None = None
        self.decoder: Ascii85 | None = None
        self.bad_data = self.fault_data = False
        self.size = 0
        self.fault: dict[str, str] = {}
        self.walked: dict[str, str] = {}

    def refuse(self, what: str, expected: str = "", found: str = "", line: int = 0) -> None:
        self.source.dropped.refuse(what, self.source.line(line or self.line), expected, found[:80])

    def run(self) -> Dump:
        for number, piece, begins, ends in _pieces(self.source):
            self.line = number
            if ends and not self.source.ends_with_newline:
                self.refuse("the last line is cut short", "a line end")
                self._drop()
                break
            if self.decoder is not None:
                if not begins or piece.startswith(b"     "):
                    self._data(piece.strip(b" \r"), ends)
                    continue
                self.refuse("no data", "a line of ascii85", piece[:40].decode("utf-8", "replace"))
                self._drop()
                self.decoder = None
            if begins and ends:
                self._line(piece.removesuffix(b"\r").decode("utf-8", "replace"))
            elif begins:
                self._pass()
        self._part_ends()
        self._faults()
        if "registers" not in self.dump.passed:
            last = self.section or "no section"
            self.refuse("the dump ends before its registers", "registers: behind bos:", last)
        return self.dump

    def _pass(self) -> None:
        name = self.section or "no section"
        passed = self.dump.passed
        passed[name if name in passed or len(passed) < _MOST_NAMES else "further sections"] += 1

    def _line(self, line: str) -> None:
        if match := _SECTION.fullmatch(line):
            self._part_ends()
            self.section = match[1]
            if match[2] and len(self.dump.header) < _MOST_NAMES:
                self._header(match[1], match[2].strip())
            return
        if self.section in ("ringbuffer", "bos"):
            self._field(line)
        elif self.section in ("fault-info", "pgtable-fault-info"):
            match = _FAULT.fullmatch(line)
            if match is None:
                self.refuse(f"cannot read {self.section}", "  - NAME=VALUE", line)
                return
            (self.fault if self.section == "fault-info" else self.walked)[match[1]] = match[2].strip()
        else:
            self._pass()
            if self.section == "registers" and (match := _REGISTER.fullmatch(line)):
                number = int(match[1], 16) // 4
                if number in PLACE:
                    self.dump.registers[number] = int(match[2], 16)

    def _header(self, key: str, value: str) -> None:
        self.dump.header[key] = value[:200]
        if key == "revision":
            match = _REVISION.match(value)
            if match is None or max(map(int, match.groups()[1:])) > 255:
                self.refuse("cannot read revision", "such as 630 (6.3.0.2)", value)
                return
            number, *chip = map(int, match.groups())
            self.dump.gpu_id, self.dump.chip_id = number, int.from_bytes(bytes(chip), "big")

    def _field(self, line: str) -> None:
        match = _FIELD.fullmatch(line)
        if match is None:
            self.refuse(f"cannot read {self.section}", "NAME: VALUE", line)
            return
        key, value = match[1], (match[2] or "").strip()
        if line.startswith("  - "):
            self._part_ends()
            self.part = Part(self.section == "ringbuffer", self.line)
        part = self.part
        if part is None:
            self.refuse(f"a line outside {self.section}'s items", "  - first", line)
        elif key == "data" and value == _DATA:
            self._begin(part)
        elif key in _NUMBERS:
            number = int(value, 16 if value.startswith("0x") else 10) if _NUMBER.fullmatch(value) else -1
            if not 0 <= number < 1 << 64:
                self.refuse(f"a bad {key}", "a whole number, decimal or 0x...", value)
            else:
                part.values[key] = number
        else:
            self._pass()

    def _problem(self, part: Part) -> tuple[str, str, str] | None:
        """Say what keeps a part from being used: what, expected and found."""
        name = "ring" if part.ring else "buffer"
        if missing := [key for key in ("iova", "size") if key not in part.values]:
            return f"a {name} without {missing[0]}", missing[0], "none"
        if not part["size"]:
            return f"a {name} of no bytes", "1 or more", "0"
        start, end = pages_of(part["iova"], part["iova"] + part["size"])
        if problem := table_problem(start, end - start):
            return f"a {name} that cannot be mapped", *problem
        if part.ring and (part["size"] % FETCH or part["iova"] % FETCH or part["size"] > _MOST_RING):
            return "a ring of an odd size", f"a multiple of {FETCH}, up to {_MOST_RING}", str(part["size"])
        if part.ring and max(part["rptr"], part["wptr"]) >= part["size"] // 4:
            return (
                "a ring's pointer beyond it",
                f"below {part['size'] // 4}",
                str(max(part["rptr"], part["wptr"])),
            )
        return None

    def _begin(self, part: Part) -> None:
        self.decoder, self.bad_data = Ascii85(), self._problem(part) is not None or part.captured
        if not self.bad_data:
            self.contents.begin(part["iova"])
        self.size = 0

    def _data(self, text: bytes, ends: bool) -> None:
        part, decoder = self.part, self.decoder
        assert part is not None
        assert decoder is not None
        if not self.bad_data:
            data = decoder.feed(text)
            if data is None or (ends and not decoder.ends()):
                self.refuse("no ascii85", "characters ! to u and z, five for a dword", "")
                self._drop()
            elif self.size + len(data) > part["size"]:
                self.refuse("contents beyond their buffer", f"{part['size']} bytes at most", "more")
                self._drop()
            else:
                self.size += len(data)
                self.contents.write(data)
        if ends:
            if not self.bad_data:
                # Zeros at the end are not in the text.
                self.contents.pad(part["size"])
                part.captured = True
                self.dump.decoded += self.size
            self.decoder = None

    def _drop(self) -> None:
        """Leave out the contents that were begun."""
        if self.decoder is not None and not self.bad_data:
            self.contents.drop()
        self.bad_data = True

    def _part_ends(self) -> None:
        if self.decoder is not None:
            self._drop()
            self.decoder = None
        part, self.part = self.part, None
        if part is None:
            return
        parts = self.dump.rings if part.ring else self.dump.bos
        if problem := self._problem(part):
            self.refuse(*problem, line=part.line)
        elif len(parts) >= _MOST_PARTS:
            self.refuse("too many buffers", f"{_MOST_PARTS} at most", "one more", line=part.line)
        else:
            parts.append(part)

    def _faults(self) -> None:
        said, walked = self.fault, self.walked
        if not said and not walked:
            return
        try:
            kind, culprit = said.get("type", "UNKNOWN"), said.get("source", "nobody named")
            iova, ttbr0 = int(said["iova"], 16), int(said.get("ttbr0", "0"), 16)
            fault = Fault(iova, ttbr0, said["dir"], kind[:40], culprit[:40])
            if walked:
                fault.walked_ttbr0, fault.asid = int(walked["ttbr0"], 16), int(walked["asid"])
                fault.ptes = [int(word, 16) for word in walked["ptes"].split()]
            values = (fault.iova, fault.ttbr0, fault.walked_ttbr0, *fault.ptes)
            good = fault.direction in ("READ", "WRITE") and all(0 <= value < 1 << 64 for value in values)
            good = good and len(fault.ptes) <= 4
        except (KeyError, ValueError):
            good = False
        if good:
            self.dump.fault = fault
        else:
            expected = "iova=, dir=READ or WRITE, and ttbr0, asid and ptes of pgtable-fault-info"
            self.refuse("cannot read the fault", expected, str({**said, **walked}))


def _pieces(source: Source) -> Iterator[tuple[int, bytes, bool, bool]]:
    """Yield lines: their number, their bytes, and whether a line begins and ends with them.

    Empty lines are left out. Lines of contents are as long as the contents; they come in pieces.
    """
    number, rest, begins = 1, b"", True
    for chunk in source.chunks():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line or not begins:
                yield number, line, begins, True
            number, begins = number + 1, True
        if len(rest) > LONGEST_LOG_LINE:
            yield number, rest, begins, False
            rest, begins = b"", False
    if rest or not begins:
        source.ends_with_newline = False
        yield number, rest, begins, True
