"""Two policies side by side: their steps aligned, what both have once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from textwrap import wrap
from typing import Any

from smmucore.steps import READ_OTHER, Step

#: What a line says without colour: both, changed, of the first alone, of the second alone.
SAME, CHANGED, FIRST, SECOND = " ", "|", "-", "+"
_NUMBER = 4  # columns of a step's number, with the space behind it


@dataclass(frozen=True)
class Pair:
    """One line: a step of the first policy, of the second, or of both; its number in each, from 1."""

    mark: str
    first: tuple[int, str] | None
    second: tuple[int, str] | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        sides = {"first": self.first, "second": self.second}
        return {
            "mark": self.mark,
            **{
                name: None if side is None else {"number": side[0], "step": side[1]}
                for name, side in sides.items()
            },
        }


def align(first: Sequence[Step], second: Sequence[Step]) -> list[Pair]:
    """Align two lists of steps by their words.

    Steps that do the same thing in another way (a LOG of three lines, a RESUME on a code) are paired as
    changed; any other is of one policy alone.

    Examples
    --------
    >>> from smmucore.steps import log, read
    >>> [pair.mark for pair in align((read("FSR"), log(1)), (read("FAR"), read("FSR"), log(3)))]
    ['+', ' ', '|']
    """
    left, right = [str(step) for step in first], [str(step) for step in second]
    made: list[Pair] = []
    for tag, a, b, c, d in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if tag == "equal":
            made += [
                Pair(SAME, (i + 1, left[i]), (j + 1, right[j]))
                for i, j in zip(range(a, b), range(c, d), strict=True)
            ]
            continue
        kinds = [_kind(step) for step in first[a:b]], [_kind(step) for step in second[c:d]]
        for _, e, f, g, h in SequenceMatcher(None, *kinds, autojunk=False).get_opcodes():
            ours = [(a + i + 1, left[a + i]) for i in range(e, f)]
            theirs = [(c + j + 1, right[c + j]) for j in range(g, h)]
            if kinds[0][e:f] == kinds[1][g:h]:
                made += [Pair(CHANGED, one, other) for one, other in zip(ours, theirs, strict=True)]
            else:
                made += [Pair(FIRST, one, None) for one in ours]
                made += [Pair(SECOND, None, other) for other in theirs]
    return made


def _kind(step: Step) -> tuple[int, str]:
    """Return what a step does: reads of two registers are two things."""
    return step.op, step.text if step.op <= READ_OTHER else ""


def lay_out(pairs: Sequence[Pair], width: int, names: tuple[str, str]) -> Iterator[str]:
    """Write lines of at most `width` columns: common steps across, the others in a half of their own.

    Parameters
    ----------
    pairs : sequence of Pair
    width : int
    names : (str, str)
        What heads the halves.
    """
    half = max((width - 5) // 2, 16)
    yield f"   {names[0]:<{half}}  {names[1]}".rstrip()
    for pair in pairs:
        if pair.mark == SAME and pair.first is not None and pair.second is not None:
            (number, text), (other, _) = pair.first, pair.second
            # A common step has the second's number too, where it differs.
            also = "" if number == other else f"  (step {other})"
            for line in _cell((number, text + also), 2 * half + 2):
                yield f"   {line}".rstrip()
            continue
        left, right = _cell(pair.first, half), _cell(pair.second, half)
        for k in range(max(len(left), len(right))):
            one = left[k] if k < len(left) else ""
            other_half = right[k] if k < len(right) else ""
            yield f" {pair.mark} {one:<{half}}  {other_half}".rstrip()


def _cell(side: tuple[int, str] | None, width: int) -> list[str]:
    if side is None:
        return []
    number, text = side
    lines = wrap(text, max(width - _NUMBER, 12), break_on_hyphens=False)
    return [f"{number:>{_NUMBER - 1}} {lines[0]}", *(" " * _NUMBER + line for line in lines[1:])]
