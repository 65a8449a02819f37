"""The wordings of first lines: each a phrase to look for, and the whole message as a pattern.

A `Form` is tried where its phrase stands in a message.  Where the phrase is there and the pattern does not
fit, the line is wrapped or torn.  Named groups are fields of `Fault`, or else are kept as said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: A number of at most 32 and of at most 64 bits.  %#x writes 0 without its 0x.
H32 = r"0x0{0,8}[0-9a-fA-F]{1,8}"
H64 = r"0x[0-9a-fA-F]{1,16}"
_CB = r"\d{1,3}"
_GAP = r",\s*"


@dataclass(frozen=True)
class Form:
    """One wording of a first line.

    `driver` is set where others use the phrase too: a line that does not fit is then torn only if its
    driver's name holds this, and is somebody else's otherwise.
    """

    layout: str
    phrase: str
    pattern: re.Pattern[str]
    driver: str = ""


def _form(layout: str, phrase: str, rest: str, driver: str = "") -> Form:
    return Form(layout, phrase, re.compile(re.escape(phrase) + rest, re.ASCII), driver)


_CONTEXT = "Unhandled context fault:"
_IOVA, _FSR, _SYN = rf"iova=(?P<iova>{H64})", rf"fsr=(?P<fsr>{H32})", rf"fsynr=(?P<fsynr0>{H32})"
_BANK, _CBF = rf"cb=(?P<cb>{_CB})", rf"cbfrsynra=(?P<sid>{H32})"


def _fields(*parts: str) -> str:
    return r"\s*" + _GAP.join(parts)


_SCRATCH = r"\((?P<scratch>\d{1,10},\s*\d{1,10},\s*\d{1,10},\s*\d{1,10})\)"
_ADDR = r"(?P<iova>[0-9a-fA-F]{1,16})"
_POINTER = r"(?:(?P<iova>0x[0-9a-fA-F]{1,16})|(?P<hashed>[0-9a-fA-F]{8,16}))"
_PRETTY = rf"sid: (?P<sid>0|{H32}) ssid: (?P<ssid>0|{H32})"

#: In the order in which they are tried; the scanner settles what one wording leaves open.
FORMS = (
    _form("arm-smmu-v3.13", _CONTEXT, _fields(_IOVA, _SYN, _BANK)),
    _form("arm-smmu-v4.8", _CONTEXT, _fields(_FSR, _IOVA, _SYN, _BANK)),
    _form("arm-smmu-v5.2", _CONTEXT, _fields(_FSR, _IOVA, _SYN, _CBF, _BANK)),
    _form("qcom-downstream-4.19", _CONTEXT, _fields(_IOVA, _FSR, _SYN, _BANK)),
    _form("qcom-downstream-dump", _CONTEXT,
          _fields(_IOVA, _BANK, _FSR, rf"fsynr0=(?P<fsynr0>{H32})", rf"fsynr1=(?P<fsynr1>{H32})")),
    _form("tegra-downstream", _CONTEXT,
          _fields(r"smmu(?P<instance>\d{1,2})", _IOVA, _SYN, _BANK,
                  r"sid=\d{1,5}\((?P<sid>0x[0-9a-f]{1,4}) - (?P<client>[\w -]{1,40})\)",
                  *(rf"{name}=(?P<{name}>[0-9a-f]{{1,16}})" for name in ("pgd", "pud", "pmd", "pte")))),
    _form("arm-smmu-v3.11", "Unexpected context fault", r" \(fsr 0x(?P<fsr_text>[0-9a-f]{1,10})\)"),
    _form("qcom-downstream-5.10", "Unhandled arm-smmu context fault from",
          r" (?P<client>[\w.:@/+,-]{1,80})!"),
    _form("smmu-global", "Unexpected global fault, this could be serious", ""),
    _form("smmu-global", "Blocked unknown Stream ID",
          r' (?P<sid>0x[0-9a-f]{1,4}); boot with "arm-smmu(?:-mod)?\.disable_bypass=0" to allow,'
          r" but this may have security implications"),
    _form("smmuv3-event", "event 0x", r"(?P<id>[0-9a-f]{2}) received:", "arm-smmu-v3"),
    _form("smmuv3-event-pretty", "event: ",
          rf"(?P<name>[A-Z_]{{4,24}}) client: (?P<client>[\w.:@/+() -]{{1,80}}?) {_PRETTY}"
          rf"(?: iova: (?P<iova>0|{H64}) ipa: (?P<ipa>0|{H64})| fetch_addr: (?P<fetch_addr>0|{H64}))?",
          "arm-smmu-v3"),
    _form("msm-gpu-fault", "*** gpu fault:",
          r" ttbr0=(?P<ttbr0>[0-9a-f]{16}) iova=(?P<iova>[0-9a-f]{16}) dir=(?P<dir>READ|WRITE)"
          r" type=(?P<type>TRANSLATION|PERMISSION|EXTERNAL|UNKNOWN)"
          rf" source=(?P<source>[^()=]{{1,60}}?) {_SCRATCH}"),
    _form("msm-gpu-fault-flags", "*** gpu fault:",
          rf" iova=(?P<iova>[0-9a-f]{{16}}) flags=(?P<flags>\d{{1,10}}) {_SCRATCH}"),
    _form("msm-gpu-fault-old", "*** gpu fault:",
          rf" iova=(?P<iova>[0-9a-f]{{8,16}}), flags=(?P<flags>\d{{1,10}}) {_SCRATCH}"),
    _form("msm-fault", "*** fault:", rf" iova= {{0,15}}{_ADDR}, flags=(?P<flags>\d{{1,10}})"),
    _form("msm-fault-info", "fault-info:",
          r"(?: ttbr0=(?P<ttbr0>[0-9a-f]{16}) iova=(?P<iova>[0-9a-f]{16}) dir=(?P<dir>READ|WRITE)"
          r" type=(?P<type>[A-Z]{1,20}) source=(?P<source>[^()=]{1,60}))?", "no driver prints it"),
    _form("kgsl", "GPU PAGE FAULT:",
          rf" addr = {_ADDR} (?:group id|pid) ?= ?(?P<pid>-?\d{{1,10}})"
          r"(?: name=(?P<name>[^=]{0,40}?) drawctxt=(?P<drawctxt>-?\d{1,10})"
          r" context pid = (?P<context_pid>-?\d{1,10})(?: ctx_type=(?P<ctx_type>\w{1,20}))?)?"),
    _form("mali", "Unhandled Page fault in AS",
          rf"(?P<as>\d{{1,2}}) at VA {_POINTER}(?P<rest>(?:\s.*)?)"),
    _form("mali-bus", "GPU bus fault in AS",
          rf"(?P<as>\d{{1,2}}) at (?P<of>[VP]A) {_POINTER}(?P<rest>(?:\s.*)?)"),
    _form("lima", "mmu page fault at",
          r" (?P<iova>0x[0-9a-f]{1,8}) from bus id (?P<bus>\d{1,3}) of type (?P<type>read|write)"
          r" on (?P<ip>\w{1,16})", "lima"),
    _form("lima", " page fault at",
          r" (?P<iova>0x[0-9a-f]{1,8}) from bus id (?P<bus>\d{1,3}) of type (?P<type>read|write)", "lima"),
)  # fmt: skip

#: Phrase -> the forms that it may begin; longer phrases are looked for first.
BY_PHRASE: dict[str, tuple[Form, ...]] = {
    phrase: tuple(form for form in FORMS if form.phrase == phrase)
    for phrase in sorted({form.phrase for form in FORMS}, key=len, reverse=True)
}
ANY_PHRASE = re.compile("|".join(re.escape(phrase) for phrase in BY_PHRASE))
