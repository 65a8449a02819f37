"""The values of an axis: a word, a list of words, or ranges of them.

::

    seed = {from = 0, to = 9}
    scenario = ["as-captured", {each = "burst:n=40,gap={}us", from = 1, to = 64, factor = 2}]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: More values of one axis than anybody means.
MOST = 1_000_000

_Int = Annotated[int, Field(ge=0, le=1 << 62)]


class Range(BaseModel):
    """Integers from `first` to `last`, both included, each put where `each` has ``{}``."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    first: _Int = Field(alias="from")
    last: _Int = Field(alias="to")
    step: Annotated[int, Field(ge=1)] | None = None
    factor: Annotated[int, Field(ge=2)] | None = None
    each: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Range:
        if self.last < self.first:
            raise ValueError("from <= to")
        if self.step is not None and self.factor is not None:
            raise ValueError("step or factor, not both")
        if self.factor is not None and self.first == 0:
            raise ValueError("from = 1 or more beside a factor")
        if self.each is not None and "{}" not in self.each:
            raise ValueError("{} in each, where the number goes")
        if self.factor is None and (self.last - self.first) // (self.step or 1) >= MOST:
            raise ValueError(f"at most {MOST:,} values")
        return self

    def numbers(self) -> Iterator[int]:
        """Yield the integers.

        Examples
        --------
        >>> list(Range(**{"from": 0, "to": 7, "step": 3}).numbers())
        [0, 3, 6]
        >>> list(Range(**{"from": 3, "to": 24, "factor": 2}).numbers())
        [3, 6, 12, 24]
        """
        at = self.first
        while at <= self.last:
            yield at
            at = at * self.factor if self.factor else at + (self.step or 1)

    def words(self) -> Iterator[str]:
        """Yield the values in words."""
        each = "{}" if self.each is None else self.each
        for number in self.numbers():
            yield each.replace("{}", str(number))


#: What an axis may be in a file.
Item = str | int | Range
Axis = Item | list[Item]


def spelled(axis: Any) -> Iterator[tuple[tuple[int, ...], str]]:
    """Yield every value of an axis as a word, with its place: (index,) in a list, () otherwise.

    Examples
    --------
    >>> list(spelled(["P4", Range(**{"from": 1, "to": 2})]))
    [((0,), 'P4'), ((1,), '1'), ((1,), '2')]
    """
    if isinstance(axis, list):
        for index, item in enumerate(axis):
            for _, word in spelled(item):
                yield (index,), word
    elif isinstance(axis, Range):
        for word in axis.words():
            yield (), word
    else:
        yield (), str(axis)
