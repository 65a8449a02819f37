"""Steps and contexts of the plain-Python fault model: what runs on a CPU (docs/model.md, section 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

HARD, THREAD, WORKER, SUBMIT = 0, 1, 2, 3  #: in order of priority
CPU_COUNTER = ("cpu_irq_ns", "cpu_thread_ns", "cpu_work_ns", "cpu_work_ns")


@dataclass
class Step:
    """Something that takes a CPU for `cost`, and has its effect at the end of that."""

    cost: int
    effect: Callable[[], None] = lambda: None
    waits_for: Callable[[], bool] = lambda: True  #: spins, on the CPU, until this holds


@dataclass(eq=False)
class Context:
    """A hard IRQ (of a line), or an IRQ thread, a worker or a submit (of a bank), on one CPU."""

    kind: int
    number: int  #: of its line or bank
    cpu: int
    script: Iterator[Step] | None = None
    step: Step | None = None
    remaining: int = 0
    irqs_off: bool = False
    pass_began: int | None = None
    last_ran: int = 0

    @property
    def runnable(self) -> bool:
        return self.script is not None

    def start(self, script: Iterator[Step]) -> None:
        assert not self.runnable
        self.script = script
        self.fetch()

    def fetch(self) -> None:
        assert self.script is not None
        self.step = next(self.script, None)
        if self.step is None:
            self.script = None
        else:
            self.remaining = self.step.cost

    def end_step(self) -> None:
        """Have the effect, and go on to the next step whose condition holds."""
        assert self.step is not None
        self.step.effect()
        self.fetch()
