"""What differs between kept rows and rows as they are now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.golden.matrix import KEYS, Key, Row


@dataclass(frozen=True)
class Difference:
    """One value that is not what it was.

    Attributes
    ----------
    block, client, hardware, policy, counter : str
        Where; `counter` is "row" where the whole row is new or gone.
    before, after
        An integer, a verdict, or None where there is none.
    """

    block: str
    client: str
    hardware: str
    policy: str
    counter: str
    before: Any
    after: Any

    @property
    def moves(self) -> bool:
        """Whether something that was kept is no longer so; what is only new moves nothing."""
        return self.before is not None


def differences(block: str, before: dict[Key, Row], after: dict[Key, Row]) -> list[Difference]:
    """Compare the rows of a block for equality.

    Returns
    -------
    list of Difference
        In the order of the rows as they are now; rows that are gone come last.
    """
    found: list[Difference] = []
    for key in [*after, *(key for key in before if key not in after)]:
        old, new = before.get(key), after.get(key)
        if old is None or new is None:
            was, now = ("present" if row is not None else None for row in (old, new))
            found.append(_at(block, key, "row", was, now))
            continue
        for name in dict.fromkeys([*new, *old]):
            if name not in KEYS and old.get(name) != new.get(name):
                found.append(_at(block, key, name, old.get(name), new.get(name)))
    return found


def _at(block: str, key: Key, counter: str, before: Any, after: Any) -> Difference:
    client, hardware, policy = key
    return Difference(block, client, hardware, policy, counter, before, after)
