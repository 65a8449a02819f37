"""A block of events by column, as a replay that is faster than the reading of rows wants them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from traces.events import EVENT, EXEC


@dataclass(frozen=True)
class Columns:
    """Some fields of a block of events.

    Attributes
    ----------
    rows : int
    arrays : mapping of str to numpy.ndarray
        Fields that differ from event to event: 1-D, of `traces.events.EVENT`'s types, contiguous.
    same : mapping of str to int
        Fields that are the same throughout.
    last_op : int
        No operation of the block has a higher number.
    """

    rows: int
    arrays: Mapping[str, np.ndarray]
    same: Mapping[str, int] = field(default_factory=dict)
    last_op: int = 255

    @property
    def only_accesses(self) -> bool:
        """Whether nothing but accesses is in the block, as far as is known without looking."""
        return self.last_op <= EXEC

    def array(self, name: str) -> np.ndarray:
        """Return a field as an array, whether or not it is the same throughout."""
        found = self.arrays.get(name)
        return np.full(self.rows, self.same[name], EVENT[name]) if found is None else found

    def events(self) -> np.ndarray:
        """Return the block as an array of `traces.events.EVENT`; fields that were not read are 0."""
        out = np.zeros(self.rows, EVENT)
        for name, values in (*self.arrays.items(), *self.same.items()):
            out[name] = values
        return out
