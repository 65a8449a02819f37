"""The handlers that `policies search` looks at: every order of a few steps, in a stated grammar.

::

    handler  = reads CHECK body RETURN               in the hard interrupt, or in a ONESHOT thread
    reads    = FSR FAR | FAR FSR                     (and FSYNR0, CBFRSYNRA)
    CHECK    = fault bits and SS | fault bits alone
    body     = every order of REPORT, CLEAR, RESUME, or with MASK before UNMASK of CFIE besides
             | with WAKE: the worker has RESUME and UNMASK, and perhaps REPORT or CLEAR, in every order
    CLEAR    = the bits read | all ones | FSR read again, then the bits read

RESUME does what the client has returned, so REPORT comes before it: in the same part, or in the handler
before WAKE.  RESUME, MASK and UNMASK are taken if the copy of FSR has SS.  What never stalls has REPORT and
CLEAR alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product

from smmucore.policy import FAULT_ONLY, FAULT_OR_SS, REPORT_AND_LOG, Policy
from smmucore.steps import BY_RETURN, EAGAIN, IF_SS, Step, cfie, done, read, reads, resume, wake, write_fsr

CLEARS = ("read", "all", "reread")
_MASKING = ("MASK", "UNMASK")


@dataclass(frozen=True)
class Order:
    """One handler of the grammar: what is in it, in which order."""

    context: str
    first: str
    ss_in_mask: bool
    clear: str
    handler: tuple[str, ...]
    worker: tuple[str, ...]
    stalls: bool

    def __str__(self) -> str:
        """Spell it, for a table.

        >>> str(Order("hard", "FSR", True, "read", ("REPORT", "CLEAR", "RESUME"), (), True))
        'hard, FSR first, SS in mask: REPORT CLEAR RESUME'
        """
        clear = {"read": "CLEAR", "all": "CLEAR all", "reread": "REREAD CLEAR"}[self.clear]
        body = " ".join(self.handler).replace("CLEAR", clear)
        mask = "SS in mask" if self.ss_in_mask else "SS not in mask"
        text = f"{self.context}, {self.first} first, {mask}: {body}"
        if self.worker:
            text += f"; worker: {' '.join(self.worker).replace('CLEAR', clear)}"
        return text if self.stalls else f"{text} (never stalls)"

    def policy(self, number: int) -> Policy:
        """Return it as a policy."""
        looks = ("FSR", "FAR") if self.first == "FSR" else ("FAR", "FSR")
        return Policy(
            id=f"order-{number}",
            name=f"order-{number}",
            kernel="none",
            source="smmubench policies search",
            why=str(self),
            context=self.context,
            cfcfg=self.stalls,
            hupcf=True,
            handler=(
                *reads(*looks, "FSYNR0", "CBFRSYNRA"),
                FAULT_OR_SS if self.ss_in_mask else FAULT_ONLY,
                *self._steps(self.handler),
                done(),
            ),
            work=self._steps(self.worker),
            retry_code=EAGAIN,
            saved_info=True,
        )

    def _steps(self, words: tuple[str, ...]) -> tuple[Step, ...]:
        made: dict[str, tuple[Step, ...]] = {
            "REPORT": REPORT_AND_LOG,
            "CLEAR": (
                *((read("FSR"),) if self.clear == "reread" else ()),
                write_fsr("all" if self.clear == "all" else "read"),
            ),
            "RESUME": (resume(BY_RETURN, EAGAIN, IF_SS),),
            "MASK": tuple(step.when_also(IF_SS) for step in cfie(on=False)),
            "UNMASK": tuple(step.when_also(IF_SS) for step in cfie(on=True)),
            "WAKE": (wake(),),
        }
        return tuple(step for word in words for step in made[word])


def _told(handler: tuple[str, ...], worker: tuple[str, ...]) -> bool:
    """Tell whether REPORT is before RESUME, whoever runs first."""
    if "RESUME" in handler:
        return handler.index("REPORT") < handler.index("RESUME")
    if "REPORT" in worker:
        return worker.index("REPORT") < worker.index("RESUME")
    return handler.index("REPORT") < handler.index("WAKE")


def bodies() -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Yield every (handler, worker) of the grammar that resumes a stall."""
    for masks in (False, True):
        inline = ("REPORT", "CLEAR", "RESUME", *(_MASKING if masks else ()))
        for order in permutations(inline):
            if not masks or order.index("MASK") < order.index("UNMASK"):
                yield order, ()
        behind = ("RESUME", "UNMASK") if masks else ("RESUME",)
        before = ("WAKE", "MASK") if masks else ("WAKE",)
        for moved in ((), ("REPORT",), ("CLEAR",)):
            stays = tuple(word for word in ("REPORT", "CLEAR") if word not in moved)
            yield from product(permutations((*stays, *before)), permutations((*moved, *behind)))


def orders() -> list[Order]:
    """Return every handler of the grammar, each once."""
    made = []
    for context, first, ss, clear in product(("hard", "threaded"), ("FSR", "FAR"), (True, False), CLEARS):
        made += [Order(context, first, ss, clear, *body, True) for body in bodies() if _told(*body)]
        made += [
            Order(context, first, ss, clear, order, (), False) for order in permutations(("REPORT", "CLEAR"))
        ]
    return made
