"""The errors that a user can mend: one line each, exit status 2."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


class UsageError(ValueError):
    """Something asked for that cannot be done.

    Parameters
    ----------
    what : str
        What is wrong, as a short clause ("unknown policy").
    where : str or pathlib.Path
        The option, the scenario or the file.
    expected, found : str
        What should have been there, and what was.  Either may be empty.

    Examples
    --------
    >>> str(UsageError("unknown policy", "--policy", "P0 or P1", "'P9'"))
    "unknown policy: --policy: expected P0 or P1, found 'P9'"
    """

    def __init__(self, what: str, where: str | Path, expected: str = "", found: str = "") -> None:
        super().__init__(what, where, expected, found)
        self.what, self.where, self.expected, self.found = what, str(where), expected, found

    def __str__(self) -> str:
        return sentence(self.what, self.where, self.expected, self.found)


class ScenarioError(UsageError):
    """A scenario that cannot be read, or cannot be played on this trace."""


def sentence(what: str, where: str, expected: str = "", found: str = "") -> str:
    """Put an error on one line: what, where, expected, found."""
    text = f"{what}: {where}" if where else what
    if expected:
        text += f": expected {expected}"
    if found:
        text += f"{', ' if expected else ': '}found {found}"
    return " ".join(text.split())


def unknown(kind: str, where: str, known: Iterable[str], found: str) -> UsageError:
    """Return the error for a name that is not in a catalogue."""
    return UsageError(f"unknown {kind}", where, f"one of {', '.join(known)}", repr(found))
