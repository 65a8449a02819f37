"""Runtime PM of the plain-Python fault model: when the SMMU sleeps, and what wakes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .fault_model_policies import ALL_ONES, Pass

if TYPE_CHECKING:
    from .fault_model import Machine


class BusError(Exception):
    """A register was touched while the SMMU slept: the machine is down."""


class Power:
    """Sleeps `after` the last transaction has ended and the last user has gone."""

    def __init__(self, machine: Machine, after: int) -> None:
        self.machine = machine
        self.after = after
        self.users = 0
        self.open = 0  #: accesses that wait in a queue, and transactions whose end is not known
        self.used_until = 0  #: the last end of a transaction, or the last time a user went

    @property
    def asleep(self) -> bool:
        if not self.after or self.users or self.open:
            return False
        return self.machine.now >= self.used_until + self.after

    def access_arrives(self) -> None:
        self._wake()
        self.open += 1

    def access_ends(self, end: int) -> None:
        self.open -= 1
        self.used_until = max(self.used_until, end)

    def get(self, p: Pass) -> None:
        self._wake()
        if not p.user:
            self.users += 1
        p.user = True

    def put(self, p: Pass) -> None:
        if p.user:
            self.users -= 1
            self.used_until = max(self.used_until, self.machine.now)
        p.user = False

    def _wake(self) -> None:
        """Resume resets the banks and the event queue: what nobody has read is lost."""
        if self.asleep:
            for bank in self.machine.banks:
                bank.write_fsr(ALL_ONES)
            if self.machine.queue is not None:
                self.machine.queue.clear()
