"""The words of a step: one line of a policy file for each constructor of `smmucore.steps`.

::

    READ FAR                                  LOG 3 if returned -ENOSYS
    CHECK fault|SS                            WRITE FSR read if returned 0 or -ENOSYS
    REPORT                                    WRITE RESUME return:-EAGAIN if SS and not dumping

A line is a verb, what it takes, and perhaps `if` with conditions joined by `and`.  `WORDS` and
`CONDITIONS` are all there is to know: a new constructor is one more line there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from bench.errors import UsageError
from smmucore import steps
from smmucore.registers import FSR, FSR_FAULT, FSR_FORMAT, REGISTERS, RESUME
from smmucore.steps import CODE_NAMES, Step

CODES = {name: code for code, name in enumerate(CODE_NAMES)}


class WordError(ValueError):
    """A line that cannot be read: what is wrong, what was expected, and what was found."""

    def __init__(self, what: str, expected: str, found: str) -> None:
        super().__init__(what, expected, found)
        self.what, self.expected, self.found = what, expected, found

    def at(self, where: str) -> UsageError:
        """Return the error for people, with its place."""
        return UsageError(self.what, where, self.expected, self.found)


@dataclass(frozen=True)
class Word:
    """One verb: how what follows it is read, and how a step is spelled.

    `read` takes the rest of the line; `spell` returns the whole line, or None for another verb's step.
    `form` is the verb with what it takes, for people.
    """

    verb: str
    form: str
    read: Callable[[str], Step]
    spell: Callable[[Step], str | None]


def _choice(verb: str, of: str, made: Mapping[str, Step], hint: str = "") -> Word:
    """Return the word of a verb that takes one of a few words (with `made` of one "": none)."""
    bare = {replace(step, when=0): text for text, step in made.items()}
    expected = hint or ", ".join(made)

    def read(rest: str) -> Step:
        if rest not in made:
            if "" in made:
                raise WordError("unknown step", f"{verb} alone", repr(f"{verb} {rest}"))
            raise WordError(f"unknown {of}", f"{verb} with {_one_of(expected)}", repr(rest))
        return made[rest]

    def spell(step: Step) -> str | None:
        text = bare.get(replace(step, when=0))
        return None if text is None else f"{verb} {text}".rstrip()

    return Word(verb, f"{verb} {of.upper()}" if "" not in made else verb, read, spell)


def _one_of(expected: str) -> str:
    return f"one of {expected}" if ", " in expected else expected


def _alone(verb: str, step: Step) -> Word:
    return _choice(verb, "", {"": step})


# --- what verbs take ---------------------------------------------------------------------
#: Registers by the names that Linux gives them: FAR has two halves in kernels before v3.19.
_REGISTERS = (*(register.name for register in REGISTERS if register is not RESUME), "FAR_LO", "FAR_HI")
_SCRATCH = tuple(f"CP_SCRATCH{n}" for n in range(8))
_BITS = {f.name: f.mask for f in sorted(FSR.fields, key=lambda f: f.bit) if not f.mask & FSR_FORMAT}


def _read_check(rest: str) -> Step:
    names = rest.split("|")
    mask = 0
    for name in names:
        if name != "fault" and name not in _BITS:
            raise WordError("unknown bit of FSR", f"CHECK with one of fault, {', '.join(_BITS)}", repr(name))
        mask |= FSR_FAULT if name == "fault" else _BITS[name]
    return steps.check(mask, " | ".join("fault bits" if n == "fault" else n for n in _bits_of(mask)))


def _bits_of(mask: int) -> list[str]:
    """Name the bits of a mask, all fault bits together as `fault`."""
    rest = mask & ~FSR_FAULT if mask & FSR_FAULT == FSR_FAULT else mask
    return [*(["fault"] if rest != mask else []), *(name for name, bit in _BITS.items() if rest & bit)]


def _spell_check(step: Step) -> str | None:
    return f"CHECK {'|'.join(_bits_of(step.arg))}" if step.op == steps.CHECK else None


_RESUMES = {
    "terminate": steps.resume(steps.BY_TERMINATE),
    "retry": steps.resume(steps.BY_RETRY),
    "mapped": steps.resume(steps.BY_MAPPED),
    **{f"return:{name}": steps.resume(steps.BY_RETURN, code) for name, code in CODES.items()},
}
_MAPS = {
    f"{good} else {bad}": steps.map_page(CODES[good], CODES[bad])
    for good in CODES for bad in CODES if good != bad
}  # fmt: skip
_LOGS = {
    f"{lines}{' by the client' * site}": steps.log(lines, site=site)
    for lines in range(1, 256)
    for site in (0, 1)
}

_SCTLR = ("CFCFG", "HUPCF", "CFIE")
_SOME_OF_SCTLR = [names for n in range(1, len(_SCTLR) + 1) for names in combinations(_SCTLR, n)]

#: Every step that can be written, one entry a constructor of `smmucore.steps`.
WORDS = (
    _choice("READ", "register", {
        **{name: steps.read(name) for name in _REGISTERS},
        **{f"{name} (client)": steps.client_reads(name)[0] for name in (*_REGISTERS, *_SCRATCH)},
    }, f"{', '.join(_REGISTERS)} (or, for copies of the client's own, one with (client) behind it)"),
    Word("CHECK", "CHECK BITS", _read_check, _spell_check),
    _alone("REPORT", steps.report()),
    _choice("LOG", "lines", _LOGS, "1 to 255 lines, perhaps with `by the client`"),
    _choice("WRITE FSR", "value", {"read": steps.write_fsr(), "all": steps.write_fsr("all")}),
    _choice("WRITE RESUME", "value", _RESUMES),
    _choice("CMD_RESUME", "value", {
        **{text: steps.cmd_resume(step.arg & 0xFF, step.arg >> 8) for text, step in _RESUMES.items()},
    }),
    _choice("WRITE SCTLR", "change", {
        **{f"clear {'|'.join(names)}": steps.sctlr_clear(*names)[-1] for names in _SOME_OF_SCTLR},
        **{f"set {'|'.join(names)}": steps.sctlr_set(*names) for names in _SOME_OF_SCTLR},
        "clear CFIE": steps.cfie(False)[-1],
        "set CFIE": steps.cfie(True)[-1],
    }),
    _alone("DISABLE_IRQ", steps.irq_off()),
    _alone("ENABLE_IRQ", steps.irq_on()),
    _alone("LOCK", steps.lock()),
    _alone("UNLOCK", steps.unlock()),
    _alone("WAKE", steps.wake()),
    _alone("CAPTURE", steps.capture()),
    _choice("MAP_PAGE", "codes", _MAPS, f"CODE else CODE, of {', '.join(CODES)}"),
    _alone("NEXT_EVENT", steps.next_event()),
    _alone("QUEUE_EVENT", steps.queue_event()),
    _alone("TLBIASID", steps.tlbi_asid()),
    _alone("TLBSYNC", steps.tlbsync()),
    _alone("NOTE_FAR", steps.note_far()),
    _alone("COOL_DOWN", steps.cool_down()),
    _alone("MAY_STALL", steps.may_stall()),
    _choice("PM_GET", "how", {"always": steps.pm_get(), "if-active": steps.pm_get(if_active=True)}),
    _alone("PM_PUT", steps.pm_put()),
    _choice("SPEND", "what", {what: steps.spend(what) for what in steps.SPENT}),
    _choice("RETURN", "answer", {"HANDLED": steps.done(), "NONE": steps.done(steps.IRQ_NONE)}),
)  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """One condition: its words, its bit, and which fact it asks for.

    `fact` is true or false; the step of number `told_by` in a pass is what makes it known, or nothing
    does: then it may change between two steps.
    """

    text: str
    bit: int
    fact: str
    wanted: bool
    told_by: tuple[int, ...] = ()


#: Every condition but that on the client's return code.
CONDITIONS = (
    Condition("SS", steps.IF_SS, "SS", True, (steps.READ_FSR, steps.NEXT_EVENT)),
    Condition("not SS", steps.IF_NO_SS, "SS", False, (steps.READ_FSR, steps.NEXT_EVENT)),
    Condition("dumping", steps.IF_DUMP, "dumping", True, (steps.REPORT,)),
    Condition("not dumping", steps.IF_NO_DUMP, "dumping", False, (steps.REPORT,)),
    Condition("no dump exists", steps.IF_NOT_DUMPED, "dump exists", False),
    Condition("stall is on", steps.IF_STALL_ON, "stall is on", True),
    Condition("it may stall", steps.IF_MAY_STALL, "may stall", True, (steps.MAY_STALL,)),
    Condition("FAR is new", steps.IF_NEW, "FAR is known", False, (steps.NOTE_FAR,)),
    Condition("FAR is known", steps.IF_KNOWN, "FAR is known", True, (steps.NOTE_FAR,)),
)
_BY_TEXT = {condition.text: condition for condition in CONDITIONS}
_RETURNED = "returned"
_BUT = "anything but "


def read_step(line: str) -> Step:
    """Read one line.

    Raises
    ------
    WordError
        An unknown verb, register, value, condition or code.

    Examples
    --------
    >>> str(read_step("WRITE RESUME terminate if SS"))
    'WRITE RESUME = terminate  [if SS]'
    """
    text = " ".join(line.split())
    what, has_condition, when = (text + " ").partition(" if ")
    what = what.strip()
    for word in sorted(WORDS, key=lambda w: -len(w.verb)):
        if what == word.verb or what.startswith(f"{word.verb} "):
            step = word.read(what[len(word.verb) :].strip())
            return step.when_also(_read_when(when.strip())) if has_condition else step
    raise WordError("unknown step", f"one of {', '.join(w.form for w in WORDS)}", repr(line))


def _read_when(text: str) -> int:
    when = 0
    for part in text.split(" and "):
        if part.startswith(f"{_RETURNED} "):
            if when & steps.RET_MASK:
                raise WordError("two return codes", "`returned` once, its codes joined by or", repr(text))
            when |= _read_codes(part[len(_RETURNED) :].strip())
        elif part in _BY_TEXT:
            when |= _BY_TEXT[part].bit
        else:
            known = ", ".join((*_BY_TEXT, "returned CODE or CODE", "returned anything but CODE"))
            raise WordError("unknown condition", f"one of {known}, joined by and", repr(part))
    return when


def _read_codes(text: str) -> int:
    names = text.removeprefix(_BUT).split(" or ")
    for name in names:
        if name not in CODES:
            raise WordError("unknown code", f"one of {', '.join(CODES)}", repr(name))
    codes = [CODES[name] for name in names]
    made = steps.anything_but(*codes) if text.startswith(_BUT) else steps.returned(*set(codes))
    if not made:
        raise WordError("a condition that never holds", "a code that is left", repr(text))
    return made


def spell_step(step: Step) -> str:
    """Write a step as the line that `read_step` reads.

    Raises
    ------
    KeyError
        No word makes this step.

    Examples
    --------
    >>> spell_step(steps.log(3, steps.returned(steps.ENOSYS)))
    'LOG 3 if returned -ENOSYS'
    """
    for word in WORDS:
        line = word.spell(step)
        if line is not None:
            always = word.read(line[len(word.verb) :].strip()).when
            return line + _spell_when(step.when & ~always)
    raise KeyError(str(step))


def _spell_when(when: int) -> str:
    parts = [condition.text for condition in CONDITIONS if when & condition.bit]
    codes = when & steps.RET_MASK
    if codes:
        inside = [name for name, code in CODES.items() if codes >> code & 1]
        outside = [name for name, code in CODES.items() if not codes >> code & 1]
        few = 0 < len(outside) < len(inside)
        parts.append(f"{_RETURNED} {_BUT if few else ''}{' or '.join(outside if few else inside)}")
    return f" if {' and '.join(parts)}" if parts else ""


def spell(sequence: Iterable[Step]) -> list[str]:
    """Write steps as lines."""
    return [spell_step(step) for step in sequence]
