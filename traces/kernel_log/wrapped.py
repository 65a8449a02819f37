"""A line that a mail or a terminal has wrapped, put together again where there is one reading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations, product

from traces.kernel_log.forms import Form
from traces.kernel_log.parts import PARTS
from traces.kernel_log.prefix import Message

#: The rest of a wrapped line is at most three lines.
WRAP_LINES = 3

#: A reading: the whole text, its form (None of a part), and the lines it is from.
Reading = tuple[str, Form | None, tuple[int, ...]]


@dataclass
class Wrapped:
    """A first line or a part that is not whole yet."""

    message: Message
    driver: str
    device: str
    body: str
    forms: tuple[Form, ...]
    rest: list[Message] = field(default_factory=list)
    age: int = 0


def joined(wrapped: Wrapped, last: Message) -> dict[tuple[str, ...], Reading]:
    """Return every reading of the wrapped line that ends in `last`, by what it says."""
    found: dict[tuple[str, ...], Reading] = {}
    for taken in range(min(len(wrapped.rest), WRAP_LINES - 1) + 1):
        for some in combinations(wrapped.rest, taken):
            pieces = (*some, last)
            lines = (wrapped.message.line, *(piece.line for piece in pieces))
            for gaps in product(("", " "), repeat=len(pieces)):
                tail = "".join(gap + piece.text.strip() for gap, piece in zip(gaps, pieces, strict=True))
                text = wrapped.body.rstrip() + tail
                for says, form in readings(wrapped, text):
                    found.setdefault(says, (text, form, lines))
    return found


def readings(wrapped: Wrapped, text: str) -> Iterator[tuple[tuple[str, ...], Form | None]]:
    """Yield what `text` says under each form, or as a part, that it fits whole."""
    if not wrapped.forms:
        for kind in ("context", "global"):
            for part in PARTS[kind]:
                match = part.fullmatch(text)
                if match is not None:
                    yield tuple(str(group) for group in match.groups()), None
        return
    for form in wrapped.forms:
        match = form.pattern.fullmatch(text)
        if match is not None:
            yield (form.layout, *(str(group) for group in match.groups())), form
