"""The one error that traces raise."""

from __future__ import annotations

from pathlib import Path


class TraceError(ValueError):
    """A trace, a log or a manifest that cannot be used as it is.

    Parameters
    ----------
    what : str
        What is wrong, as a short clause ("time runs backwards").
    where : str or pathlib.Path
        The file, and where in it: ``x.parquet: row 12``, ``qemu.log: line 40``.
    expected, found : str
        What should have been there, and what was.  Either may be empty.

    Attributes
    ----------
    what, where, expected, found : str

    Examples
    --------
    >>> str(TraceError("not a trace", "a.txt", expected="a Parquet file", found="text"))
    'a.txt: not a trace: expected a Parquet file, found text'
    """

    def __init__(self, what: str, where: str | Path, expected: str = "", found: str = "") -> None:
        # A library's message may hold line breaks; an error of ours is one line.
        self.what, self.where, self.expected, self.found = (
            " ".join(str(part).split()) for part in (what, where, expected, found)
        )
        super().__init__(what, where, expected, found)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}"
        if self.expected:
            text += f": expected {self.expected}"
        if self.found:
            text += f"{', ' if self.expected else ': '}found {self.found}"
        return text
