"""A fault while its lines are still being read, and how it is made whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from traces.kernel_log import event
from traces.kernel_log.layouts import LAYOUTS
from traces.kernel_log.prefix import Message
from traces.kernel_log.record import Fault, Malformed

#: Values that are fields of a `Fault`.
_FIELDS = ("iova", "fsr", "fsynr0", "fsynr1", "cb", "sid", "ttbr0")
#: AFF, TLBMCF, TLBLKF and ASF, one of which the line of v3.11 is about; and the bits that FSR has not got.
_UNEXPECTED, _RESERVED = 0x0E4, 0x3FFF_F801
_MOST_BANKS = 128


class Torn(Exception):  # noqa: N818  (it never leaves this package)
    """A fault that contradicts itself or lacks what cannot be missing."""

    def __init__(self, what: str, expected: str, found: str) -> None:
        super().__init__(what)
        self.what, self.expected, self.found = what, expected, found


class Open:
    """One fault, of which some lines have been read."""

    def __init__(self, layout: str, kind: str, message: Message, driver: str, device: str) -> None:
        self.layout, self.kind, self.first = layout, kind, message
        self.driver, self.device = driver, device
        self.lines = [message.line]
        self.values: dict[str, str] = {}
        self.words: list[int] = []
        self.flags: set[str] = set()
        self.parts: set[re.Pattern[str]] = set()
        self.touched = 0

    @property
    def name(self) -> str:
        """Whose parts it takes."""
        return self.layout.removesuffix("-bus") if self.kind == "gpu" else self.kind

    def agrees(self, values: Mapping[str, str | None]) -> bool:
        """Tell whether none of these values contradicts one that is known."""
        return all(
            value is None or key not in self.values or _same(key, self.values[key], value)
            for key, value in values.items()
        )

    def add(self, values: Mapping[str, str | None], lines: tuple[int, ...] = ()) -> None:
        """Take values, and the lines that they are from."""
        for key, value in values.items():
            if value is not None:
                self.values.setdefault(key, value.strip())
        self.lines += [line for line in lines if line not in self.lines]

    def finish(self) -> Fault | Malformed:
        """Return the fault, or why there is none."""
        try:
            return self._fault()
        except Torn as torn:
            return Malformed(self.first.line, torn.what, torn.expected, torn.found)

    def _fault(self) -> Fault:
        if self.layout == "prelude":
            raise Torn(
                "part of a fault without its first line", "Unhandled context fault: ...", self.first.text
            )
        numbers = self._numbers()
        if self.kind == "event":
            self._event(numbers)
        if self.kind == "global":
            self._global(numbers)
        if self.layout == "arm-smmu-v3.11":
            self._either_base(numbers)
        if self.layout == "msm-fault-info" and "iova" not in numbers:
            raise Torn("fault-info without its address", "- iova=...", "the end of the list")
        if self.layout == "qcom-downstream-5.10" and not {"iova", "fsr"} <= numbers.keys():
            self.flags.add("cut")
        said = {key: value for key, value in self.values.items() if key not in (*_FIELDS, "rest")}
        first = self.first
        return Fault(
            lines=tuple(self.lines), layout=self._settled(), kind=self.kind, driver=self.driver,
            device=self.device, time_ns=first.time_ns, clock=first.clock, boot=first.boot, stamp=first.stamp,
            write=self._write(), words=tuple(self.words), said=said, flags=tuple(sorted(self.flags)),
            **numbers,
        )  # fmt: skip

    def _numbers(self) -> dict[str, Any]:
        numbers = {key: number(key, self.values[key]) for key in _FIELDS if key in self.values}
        if "ttbr0_text" in self.values and re.fullmatch(r"(?:0x)?[0-9a-f]+", self.values["ttbr0_text"]):
            numbers["ttbr0"] = int(self.values["ttbr0_text"], 16)
        if numbers.get("cb", 0) >= _MOST_BANKS:
            raise Torn("a context bank that no SMMU has", f"0 to {_MOST_BANKS - 1}", str(numbers["cb"]))
        return numbers

    def _event(self, numbers: dict[str, Any]) -> None:
        if len(self.words) < 4:
            if "id" in self.values or self.words:
                self.flags.add("cut")
            return
        found = event.decode(tuple(self.words))
        said = self.values
        for key, of_words in (("id", f"{found.id:02x}"), ("name", found.name)):
            if key in said and said[key] not in (of_words, "UNKNOWN"):
                raise Torn("an event that contradicts itself", f"{key} {said[key]}, as printed", of_words)
        for key, value in (("sid", found.sid), ("iova", found.iova)):
            if value is not None and numbers.setdefault(key, value) != value:
                raise Torn(
                    "an event that contradicts itself", f"{key} {numbers[key]:#x}, as printed", f"{value:#x}"
                )

    def _global(self, numbers: dict[str, Any]) -> None:
        if "fsr" not in numbers:
            self.flags.add("cut")
            return
        stream = numbers["fsynr1"] & 0xFFFF
        if numbers.setdefault("sid", stream) != stream:
            raise Torn(
                "a global fault that contradicts itself", f"stream {numbers['sid']:#x}", f"{stream:#x}"
            )

    def _either_base(self, numbers: dict[str, Any]) -> None:
        """Settle what early kernels left open: they print FSR in decimal behind 0x."""
        text = self.values["fsr_text"]
        bases = (16, 10) if text.isdigit() else (16,)
        could = {
            value
            for value in (int(text, base) for base in bases)
            if value < 1 << 32 and value & _UNEXPECTED and not value & _RESERVED
        }
        if not could:
            raise Torn("an FSR that this line cannot be about", "AFF, TLBMCF, TLBLKF or ASF", f"0x{text}")
        if len(could) == 1:
            numbers["fsr"] = could.pop()
        else:
            self.flags.add("base")

    def _settled(self) -> str:
        """Return the layout, now that all lines are known."""
        said = self.values
        if self.driver == "xen":
            return "xen-smmu-global" if self.kind == "global" else "xen-smmu"
        if self.layout == "arm-smmu-v4.8":
            # %016llx pads with zeros and %08lx does not.
            padded = len(said["iova"]) == 18 and said["iova"][2] == "0"
            return "qcom-iommu" if self.driver.startswith("qcom-iommu") or padded else self.layout
        if self.layout == "arm-smmu-v5.2" and "fsr_words" in said:
            if "Format=" not in said["fsr_words"] and "fsynr0_words" not in said:
                return "qcom-debug-v6.10"
            return "qcom-debug-v6.11" if "soft" in said else "arm-smmu-v6.11"
        if self.layout == "smmuv3-event" and "name" in said:
            return "smmuv3-event-pretty"
        assert self.layout in LAYOUTS
        return self.layout

    def _write(self) -> bool | None:
        said = self.values
        for key in ("dir", "type"):
            if said.get(key, "").lower() in ("read", "write"):
                return said[key].lower() == "write"
        return bool(int(said["flags"]) & 1) if "flags" in said else None


def number(key: str, text: str) -> int:
    """Return the number that a field's text means: context banks are decimal but for 0x, others hex."""
    return int(text, 10 if key == "cb" and not text.startswith("0x") else 16)


def _same(key: str, one: str, other: str) -> bool:
    return number(key, one) == number(key, other) if key in _FIELDS else one == other
