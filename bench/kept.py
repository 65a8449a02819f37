"""Things that are dear to make, kept for whoever asks next: each is made once, whoever asks first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Kept(Generic[_T]):
    """The things asked for last, from any thread, as long as they weigh no more than `most` together.

    Parameters
    ----------
    most : int
    weigh : callable, optional
        What a thing weighs; 1 each unless told otherwise.  One that alone weighs more is not kept.
    """

    def __init__(self, most: int, weigh: Callable[[_T], int] = lambda _: 1) -> None:
        self.most = most
        self._weigh = weigh
        self._made: OrderedDict[Hashable, tuple[_T, int]] = OrderedDict()
        self._locks: dict[Hashable, Lock] = {}
        self._lock = Lock()
        self._weight = 0

    def get(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """Return what is kept under `key`, made by `make` if nothing is."""
        with self._lock:
            lock = self._locks.setdefault(key, Lock())
        with lock:
            found = self._made.get(key)
            if found is None:
                made = make()
                found = made, self._weigh(made)
            if found[1] > self.most:
                return found[0]
            with self._lock:
                if key not in self._made:
                    self._made[key] = found
                    self._weight += found[1]
                self._made.move_to_end(key)
                while self._weight > self.most:
                    oldest, (_, weight) = self._made.popitem(last=False)
                    self._locks.pop(oldest, None)
                    self._weight -= weight
        return found[0]
