"""Several kinds at once: which, and with which numbers."""

from __future__ import annotations

from collections import Counter

from traces.errors import TraceError
from traces.synthetic.parts import ACCESSES, PAGE
from traces.synthetic.registry import KINDS, MIX, MOST_PARTS, PARTS, Values, number, read, split

#: What a mix as a whole has, and its parts do not.
WHOLE = (ACCESSES, PAGE)
SPACES = ("own", "shared")


def names(parts: str) -> list[tuple[str, str]]:
    """Return (name, kind) of each part of ``copy+copy+scanout``: a kind's second has a 2 behind it.

    Examples
    --------
    >>> names("copy+scanout+copy")
    [('copy', 'copy'), ('scanout', 'scanout'), ('copy2', 'copy')]
    """
    seen: Counter[str] = Counter()
    made = []
    for kind in parts.split("+"):
        if kind not in KINDS:
            expected = f"kinds joined by +, of {', '.join(KINDS)}"
            raise TraceError("bad parameter parts", "traces make mix", expected, repr(kind))
        seen[kind] += 1
        made.append((kind if seen[kind] == 1 else f"{kind}{seen[kind]}", kind))
    if len(made) > MOST_PARTS:
        raise TraceError("bad parameter parts", "traces make mix", f"at most {MOST_PARTS}", str(len(made)))
    return made


def settings(texts: tuple[str, ...]) -> tuple[Values, list[tuple[str, str, dict[str, int]]]]:
    """Read a mix's settings: ``parts``, ``spaces``, ``accesses``, ``page``, and ``PART.key`` for its parts.

    Returns
    -------
    whole : dict
        What the mix as a whole is made by.
    parts : list of (name, kind, numbers)

    Raises
    ------
    TraceError
    """
    given = split(texts)
    whole: Values = {
        "parts": given.pop("parts", PARTS),
        "spaces": given.pop("spaces", SPACES[0]),
    }
    if whole["spaces"] not in SPACES:
        expected = " or ".join(SPACES)
        raise TraceError("bad parameter spaces", "traces make mix", expected, repr(whole["spaces"]))
    for p in WHOLE:
        whole[p.name] = number(p, given.pop(p.name), MIX) if p.name in given else p.default
    listed = names(str(whole["parts"]))
    of_parts: dict[str, dict[str, str]] = {name: {} for name, _ in listed}
    for key, value in given.items():
        part, dot, inner = key.partition(".")
        if not dot or part not in of_parts:
            expected = f"parts, spaces, accesses, page, or PART.key with PART of {', '.join(of_parts)}"
            raise TraceError("unknown parameter", "traces make mix", expected, repr(key))
        of_parts[part][inner] = value
    made = [(name, kind, read(kind, of_parts[name], tuple(p.name for p in WHOLE))) for name, kind in listed]
    return whole, made
