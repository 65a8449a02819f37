"""Read a log: find first lines, put wrapped ones together, and give each part to the fault that it is of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from traces.kernel_log import notes
from traces.kernel_log.forms import ANY_PHRASE, BY_PHRASE, Form
from traces.kernel_log.layouts import LAYOUTS
from traces.kernel_log.opened import Open
from traces.kernel_log.owners import owned
from traces.kernel_log.owners import owner as owner_of
from traces.kernel_log.parts import EVENT_WORD, PARTS, PRELUDE
from traces.kernel_log.prefix import Message, messages
from traces.kernel_log.record import Fault, Log, Malformed, Note, Suppressed
from traces.kernel_log.wrapped import WRAP_LINES, Wrapped, joined

#: A fault takes no more parts after so many messages of others, and at most so many are open at once.
_IDLE, _MOST_OPEN = 64, 32
#: The rest of a wrapped line is looked for in so many messages.
_WRAP_WITHIN = 6
#: How much of a line an error quotes.
_QUOTED = 120

#: How a part begins, so that a torn one is seen.
_PART_BEGINS = re.compile(r"\s*(?:(?:FSR|FSYNR[01]|FAR) {0,12}=|GFSR 0x|GPU PAGE FAULT)", re.ASCII)
_DIGITS = re.compile(r"\s*\d{1,2}\s*", re.ASCII)


def scan(lines: Iterable[tuple[int, str]]) -> Log:
    """Read a kernel log.

    Parameters
    ----------
    lines : iterable of (int, str)
        Line numbers and texts; anything may stand in them.

    Returns
    -------
    Log
        Faults by their first line.  What is of a known layout and cannot be read is in `malformed`.

    Examples
    --------
    >>> log = scan([(7, "[ 1.000002] arm-smmu 5040000.iommu: Unhandled context fault: "
    ...                 "fsr=0x402, iova=0x7ffe3000, fsynr=0x1, cb=1")])
    >>> [(f.lines, f.layout, hex(f.iova), f.time_ns) for f in log.faults]
    [((7,), 'arm-smmu-v4.8', '0x7ffe3000', 1000002000)]
    """
    scanner = Scanner()
    for message in messages(scanner.counted(lines)):
        scanner.take(message)
    return scanner.log()


class Scanner:
    """Finds faults in the messages that it is given."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.suppressed: list[Suppressed] = []
        self.notes: list[Note] = []
        self.malformed: list[Malformed] = []
        self.open: list[Open] = []
        self.wrapped: list[Wrapped] = []
        self.just: Open | None = None
        self.owner: tuple[str, str] | None = None
        self.count = 0
        self.seen = 0

    def counted(self, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
        """Pass lines on, and count them."""
        for line in lines:
            self.count += 1
            yield line

    def log(self) -> Log:
        """Finish what is open, and return everything."""
        for wrapped in self.wrapped:
            self._give_up(wrapped)
        for opened in self.open:
            self._close(opened)
        self.wrapped, self.open = [], []
        return Log(
            tuple(sorted(self.faults, key=lambda fault: fault.lines[0])),
            tuple(self.suppressed),
            tuple(self.notes),
            tuple(sorted(self.malformed, key=lambda bad: bad.line)),
            self.count,
        )

    def kept(self) -> int:
        """Count what is kept."""
        return len(self.faults) + len(self.suppressed) + len(self.notes) + len(self.malformed)

    def settled(self) -> Log:
        """Return and forget what stands before everything that is still open."""
        first = min(
            [
                *(line for opened in self.open for line in opened.lines),
                *(w.message.line for w in self.wrapped),
            ],
            default=self.count + 1,
        )
        out = Log(
            tuple(sorted((f for f in self.faults if f.lines[0] < first), key=lambda fault: fault.lines[0])),
            tuple(s for s in self.suppressed if s.line < first),
            tuple(note for note in self.notes if note.line < first),
            tuple(sorted((bad for bad in self.malformed if bad.line < first), key=lambda bad: bad.line)),
            self.count,
        )
        self.faults = [f for f in self.faults if f.lines[0] >= first]
        self.suppressed = [s for s in self.suppressed if s.line >= first]
        self.notes = [note for note in self.notes if note.line >= first]
        self.malformed = [bad for bad in self.malformed if bad.line >= first]
        return out

    def take(self, message: Message) -> None:
        """Take one message."""
        self.seen += 1
        just, self.just = self.just, None
        owner, self.owner = self.owner, None
        if self.open or self.wrapped:
            self._age()
        text = message.text
        phrase = ANY_PHRASE.search(text)
        if phrase is not None and self._first_line(message, phrase, owner):
            return
        if notes.SUPPRESSED_PHRASE in text or notes.ANY_NOTE.search(text):
            self._note(message)
            return
        driver, device, body = owned(text)
        if (
            not device
            and just is not None
            and message.bare
            and not just.first.bare
            and _DIGITS.fullmatch(text)
        ):
            self._ambiguous(just, message)
            return
        if self.wrapped and not device and self._rest(message):
            return
        if device and not body.strip():
            self.owner = (driver, device)
        if self.open or _PART_BEGINS.match(body):
            self._part(message, driver, device, body)
        elif device and len(body.strip()) > 4 and "smmu" in driver:
            self._broken_phrase(message, driver, device, body.strip())

    # First lines.

    def _first_line(self, message: Message, phrase: re.Match[str], owner: tuple[str, str] | None) -> bool:
        text, forms = message.text, BY_PHRASE[phrase.group()]
        before = text[: phrase.start()]
        driver, device = owner_of(before)
        if not device and not before.strip() and owner is not None:
            driver, device = owner
        body = text[phrase.start() :]
        for form in forms:
            match = form.pattern.fullmatch(body.rstrip())
            if match is not None and (not form.driver or form.driver in driver or not before.strip()):
                self._begin(message, form, match, driver, device, (message.line,))
                return True
        if all(form.driver and form.driver not in driver for form in forms):
            return False
        self.wrapped.append(Wrapped(message, driver, device, body, forms))
        return True

    def _begin(
        self,
        message: Message,
        form: Form,
        match: re.Match[str],
        driver: str,
        device: str,
        lines: tuple[int, ...],
    ) -> Open:
        if form.layout == "smmuv3-event-pretty":
            for opened in reversed(self.open):
                if opened.kind == "event" and opened.device == device and "name" not in opened.values:
                    opened.add(match.groupdict(), lines)
                    opened.touched = self.seen
                    return opened
        kind = _KIND[form.layout]
        opened = Open(form.layout, kind, message, driver, device)
        opened.lines = list(lines)
        opened.add(match.groupdict())
        if len(lines) > 1:
            opened.flags.add("joined")
        if form.layout == "qcom-downstream-dump":
            self._adopt(opened)
        if form.layout in ("mali", "mali-bus"):
            for part in PARTS["mali"]:
                found = part.search(opened.values.get("rest", ""))
                if found is not None:
                    opened.add(found.groupdict())
        opened.touched = self.seen
        self.just = opened
        self.open.append(opened)
        if len(self.open) > _MOST_OPEN:
            self._close(self.open.pop(0))
        return opened

    def _adopt(self, opened: Open) -> None:
        """Take the dump that came before."""
        for before in reversed(self.open):
            if before.layout == "prelude" and before.device == opened.device and opened.agrees(before.values):
                opened.add(before.values)
                opened.parts |= before.parts
                opened.lines = before.lines + opened.lines
                opened.first = before.first
                self.open.remove(before)
                return

    # Parts.

    def _part(self, message: Message, driver: str, device: str, body: str) -> None:
        stripped = body.strip()
        contradicted: Open | None = None
        for opened in reversed(self.open):
            if device and opened.device and device != opened.device:
                continue
            word = (
                EVENT_WORD.fullmatch(stripped) if opened.kind == "event" and len(opened.words) < 4 else None
            )
            if word is not None:
                opened.words.append(int(word["word"], 16))
                opened.add({}, (message.line,))
                opened.touched = self.seen
                return
            for part in PARTS.get(opened.name, ()):
                match = part.fullmatch(stripped)
                if match is None or part in opened.parts:
                    continue
                if opened.agrees(match.groupdict()):
                    opened.add(match.groupdict(), (message.line,))
                    opened.parts.add(part)
                    opened.touched = self.seen
                    return
                contradicted = contradicted or opened
        if contradicted is not None:
            self._bad(
                message,
                "a line that contradicts the fault it follows",
                f"values as in line {contradicted.first.line}",
            )
            return
        self._alone(message, driver, device, stripped)

    def _alone(self, message: Message, driver: str, device: str, body: str) -> None:
        """Settle a part that is no open fault's."""
        whole = next((match for match in (part.fullmatch(body) for part in PARTS["global"]) if match), None)
        if whole is not None:
            opened = Open("smmu-global", "global", message, driver, device)
            opened.add(whole.groupdict())
            opened.flags.add("alone")
            opened.parts.update(PARTS["global"])
            opened.touched = self.seen
            self.open.append(opened)
            return
        if "smmu" not in driver and driver != "xen":
            return
        for part in PRELUDE:
            match = part.fullmatch(body)
            if match is not None:
                opened = Open("prelude", "context", message, driver, device)
                opened.add(match.groupdict())
                opened.parts.add(part)
                opened.touched = self.seen
                self.open.append(opened)
                return
        if _PART_BEGINS.match(body):
            if any(part.fullmatch(body) for part in PARTS["context"]):
                self._bad(
                    message,
                    "part of a fault without its first line",
                    "Unhandled context fault: ... before it",
                )
            else:
                self.wrapped.append(Wrapped(message, driver, device, body, ()))

    # Wrapped lines.

    def _broken_phrase(self, message: Message, driver: str, device: str, body: str) -> None:
        """Open a first line whose very phrase is broken at a space."""
        for phrase, forms in BY_PHRASE.items():
            if phrase.startswith(body + " ") and forms[0].layout != "smmuv3-event-pretty":
                self.wrapped.append(Wrapped(message, driver, device, body, forms))
                return

    def _rest(self, message: Message) -> bool:
        """Try this line as the rest of a wrapped one."""
        for wrapped in reversed(self.wrapped):
            if not message.bare and not wrapped.message.bare:
                continue
            if len(wrapped.rest) > WRAP_LINES:
                continue
            found = joined(wrapped, message)
            if len(found) > 1:
                self.wrapped.remove(wrapped)
                self._bad(wrapped.message, "a wrapped line that can be read in two ways", "one reading")
                return True
            if found:
                self.wrapped.remove(wrapped)
                ((text, form, lines),) = found.values()
                self._whole(wrapped, text, form, lines)
                return True
            wrapped.rest.append(message)
        return False

    def _whole(self, wrapped: Wrapped, text: str, form: Form | None, lines: tuple[int, ...]) -> None:
        if form is None:
            self._part(wrapped.message, wrapped.driver, wrapped.device, text)
            return
        match = form.pattern.fullmatch(text)
        assert match is not None
        self._begin(wrapped.message, form, match, wrapped.driver, wrapped.device, lines)

    def _give_up(self, wrapped: Wrapped) -> None:
        if wrapped.forms:
            expected = " | ".join(dict.fromkeys(_FORM[form.layout] for form in wrapped.forms))
            if not wrapped.body.startswith(wrapped.forms[0].phrase):
                return  # a line of the driver that only began like one
        else:
            expected = "the whole line"
        self._bad(wrapped.message, "a torn line", expected, wrapped.body)

    def _ambiguous(self, opened: Open, message: Message) -> None:
        self.open.remove(opened)
        found = f"{opened.values.get('cb', '')} and {message.text.strip()} on the next line"
        self._bad(opened.first, "a number that may go on in the next line", "a whole line", found)

    # The rest.

    def _note(self, message: Message) -> None:
        text, when = message.text, (message.time_ns, message.boot, message.stamp)
        match = notes.SUPPRESSED.search(text)
        if match is not None:
            if notes.is_ours(match["function"]):
                self.suppressed.append(
                    Suppressed(message.line, match["function"], int(match["count"]), *when)
                )
            return
        kind = notes.kind_of(text)
        if kind:
            _, device, body = owned(text)
            self.notes.append(Note(message.line, kind, device, (body or text).strip()[:_QUOTED], *when))
        elif notes.SUPPRESSED_PHRASE in text:
            self._bad(message, "a torn line", "FUNCTION: N callbacks suppressed")

    def _age(self) -> None:
        for opened in [o for o in self.open if self.seen - o.touched > _IDLE]:
            self.open.remove(opened)
            self._close(opened)
        for wrapped in list(self.wrapped):
            wrapped.age += 1
            if wrapped.age > _WRAP_WITHIN:
                self.wrapped.remove(wrapped)
                self._give_up(wrapped)

    def _close(self, opened: Open) -> None:
        made = opened.finish()
        if isinstance(made, Fault):
            self.faults.append(made)
        else:
            self.malformed.append(made)

    def _bad(self, message: Message, what: str, expected: str, found: str = "") -> None:
        quoted = " ".join((found or message.text).split())
        if len(quoted) > _QUOTED:
            quoted = quoted[: _QUOTED - 3] + "..."
        self.malformed.append(Malformed(message.line, what, expected, repr(quoted)))


_KIND = {name: layout.kind for name, layout in LAYOUTS.items()}
_FORM = {name: layout.form for name, layout in LAYOUTS.items()}
