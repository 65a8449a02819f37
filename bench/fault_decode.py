"""What a fault of a kernel log says, decoded: cause, level, direction, and whether it agrees with the kernel.

The registers' bits come from `smmucore.registers`; words come from the log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from smmucore.registers import FSR, FSR_MULTI, FSR_SS, FSR_SYNDROME, FSYNR0, SGFSR, SGFSYNR0, Register
from traces.kernel_log import Fault
from traces.kernel_log.event import decode as decode_event

#: What other hardware's words for a cause are in FSR's.
CAUSES = {
    "TRANSLATION": "TF",
    "PERMISSION": "PF",
    "EXTERNAL": "EF",
    "F_TRANSLATION": "TF",
    "F_PERMISSION": "PF",
    "F_ADDR_SIZE": "ASF",
    "F_ACCESS": "AFF",
    "TRANSLATION_FAULT": "TF",
    "PERMISSION_FAULT": "PF",
    "ACCESS_FLAG": "AFF",
    "ADDRESS_SIZE_FAULT": "ASF",
}
#: Qualcomm's older trees call ASF so.
_RENAMED = {"MHF": "ASF"}
_LEVEL = re.compile(r"^(?P<name>[A-Za-z_]+?)_?(?:LEVEL_?| at level |_)?(?P<level>\d)$")


@dataclass(frozen=True)
class Decoded:
    """One fault in the words of the registers; None is what the log does not tell.

    Attributes
    ----------
    cause : str
        FSR's fault bits, joined with ``+``; another name where the hardware has another; or empty.
    level : int or None
        Of the walk that faulted.
    write, stall, multi : bool or None
    fsr, fsynr0 : str
        Every field that is set.
    disagrees : tuple of str
        Where the kernel's own decode, printed beside the number, says something else.
    """

    cause: str
    level: int | None
    write: bool | None
    stall: bool | None
    multi: bool | None
    fsr: str
    fsynr0: str
    disagrees: tuple[str, ...]


def decode(fault: Fault) -> Decoded:
    """Decode one fault."""
    if fault.kind == "event":
        return _event(fault)
    if fault.kind == "global":
        return _registers(fault, SGFSR, SGFSYNR0)
    if fault.fsr is not None or fault.fsynr0 is not None:
        return _registers(fault, FSR, FSYNR0)
    cause, level = _named(fault.said.get("type", ""))
    return Decoded(cause, level, fault.write, None, None, "", "", ())


def _registers(fault: Fault, status: Register, syndrome: Register) -> Decoded:
    fsr, fsynr0 = fault.fsr, fault.fsynr0
    cause, stall, multi, shown = "", None, None, ""
    if fsr is not None:
        bits = fsr & (FSR_SYNDROME if status is FSR else status.mask("W1C") & ~SGFSR["MULTI"].mask)
        cause = "+".join(status.decode(bits).split())
        stall = bool(fsr & FSR_SS) if status is FSR else None
        multi, shown = bool(fsr & FSR_MULTI), status.decode(fsr)
    level, write = None, fault.write
    if fsynr0 is not None:
        write = bool(fsynr0 & syndrome["WNR"].mask)
        if status is FSR:
            level = fsynr0 & FSYNR0["PLVL"].mask
    said = _disagreements(fault)
    if write is not None and fault.write is not None and write != fault.write:
        said += (f"WNR={int(write)}, printed {'write' if fault.write else 'read'}",)
    return Decoded(cause, level, write, stall, multi, shown,
                   syndrome.decode(fsynr0) if fsynr0 is not None else "", said)  # fmt: skip


def _event(fault: Fault) -> Decoded:
    said = fault.said
    if len(fault.words) == 4:
        found = decode_event(fault.words)
        cause = CAUSES.get(found.name, found.name)
        write = None if found.read is None else not found.read
        wrong = []
        if "dir" in said and write is not None:
            printed = {"dir": said["dir"] == "write", "stall": "stall" in said,
                       "privilege": said["privilege"] == "priv", "access": said["access"] == "inst",
                       "stage": said["stage"] == "s2"}  # fmt: skip
            decoded = {"dir": write, "stall": found.stall, "privilege": found.privileged,
                       "access": found.instruction, "stage": found.stage2}  # fmt: skip
            wrong = [
                f"{key} of the words is {value}" for key, value in decoded.items() if value != printed[key]
            ]
        return Decoded(cause, None, write, found.stall, None, "", "", tuple(wrong))
    from traces.kernel_log.event import NAMES  # noqa: PLC0415

    name = said.get("name") or NAMES.get(int(said.get("id", "0"), 16), "")
    stall = ("stall" in said) if "dir" in said else None
    return Decoded(CAUSES.get(name, name), None, fault.write, stall, None, "", "", ())


def _named(words: str) -> tuple[str, int | None]:
    """Return cause and level of words such as TRANSLATION_FAULT_LEVEL1.

    >>> _named("TRANSLATION_FAULT_LEVEL1"), _named("PERMISSION_FAULT at level 3"), _named("translation")
    (('TF', 1), ('PF', 3), ('TF', None))
    """
    match = _LEVEL.match(words)
    name, level = (match["name"], int(match["level"])) if match is not None else (words, None)
    if name in ("read", "write"):
        return "", None
    return CAUSES.get(name.upper(), name), level


def _disagreements(fault: Fault) -> tuple[str, ...]:
    """Compare the decode that the kernel printed with ours, word by word."""
    out: list[str] = []
    if "fsr_words" in fault.said and fault.fsr is not None:
        words = [_RENAMED.get(word, word) for word in fault.said["fsr_words"].split()]
        directions = [word for word in words if word in ("R", "W")]
        printed = {word for word in words if word not in ("R", "W")}
        out += _differ("FSR", printed, _set(FSR, fault.fsr, "Format", printed))
        if fault.fsynr0 is not None and any((word == "W") != bool(fault.fsynr0 & FSYNR0["WNR"].mask)
                                            for word in directions):  # fmt: skip
            out.append(f"FSR: printed {directions[0]}, WNR says otherwise")
    if "fsynr0_words" in fault.said and fault.fsynr0 is not None:
        printed = set(fault.said["fsynr0_words"].split())
        ours = _set(FSYNR0, fault.fsynr0, "S1CBNDX", printed) | _set(FSYNR0, fault.fsynr0, "PLVL", printed)
        out += _differ("FSYNR0", printed, ours)
    return tuple(out)


def _set(register: Register, value: int, optional: str, printed: set[str]) -> set[str]:
    """Return the words of a value; one of several bits is printed though it is 0, or not at all."""
    ours = set(register.decode(value).split())
    field = register[optional]
    if f"{optional}=0" in printed and not value & field.mask:
        ours.add(f"{optional}=0")
    if not any(word.startswith(f"{optional}=") for word in printed):
        ours = {word for word in ours if not word.startswith(f"{optional}=")}
    return ours


def _differ(name: str, printed: set[str], ours: set[str]) -> list[str]:
    if printed == ours:
        return []
    texts = [" ".join(sorted(words)) or "nothing" for words in (printed, ours)]
    return [f"{name}: printed {texts[0]}, decoded {texts[1]}"]
