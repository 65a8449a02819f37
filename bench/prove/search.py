"""The search for handlers that are safe everywhere, what each costs, and which of them nothing beats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.grid import in_threads
from bench.prove.cells import prove_one
from bench.prove.grammar import Order, orders
from smmucore import policies
from smmucore.clients import CLIENTS
from smmucore.costs import Profile, profile
from smmucore.explored import Question
from smmucore.hardware import Hardware
from smmucore.policy import Policy
from smmucore.simulate import Lane, Requester, Setup, simulate
from smmucore.spaces import linux

#: A handler that breaks one of these on any part is not safe.  A lost record is not among them: where
#: followers are terminated no order of steps can keep it.  It is counted instead.
DEFECTS = ("livelock", "retry", "hang", "crash", "stray", "unrepaired", "masked", "unbounded")
#: Of mainline, to stand beside what is found.
BESIDE = ("P1", "P4", "P8", "P9")
#: What is simulated for the cost: a burst that a handler can keep up with, and one that it cannot.
CALM = Lane(0, 40, gap=200_000, iova=1 << 32)
DENSE = Lane(0, 400, gap=1_000, iova=1 << 32)


@dataclass(frozen=True)
class Found:
    """A handler, what it costs and what it loses.

    Attributes
    ----------
    cpu_ns : int
        CPU time a fault, summed over the parts: faults 200 us apart.
    lost : int
        Accesses of a dense burst that nobody can report: faults whose address nobody read, and what HUPCF=0
        ended untranslated; summed over the parts.
    alike : int
        Safe handlers with the same two figures, itself included.
    """

    name: str
    cpu_ns: int
    lost: int
    alike: int = 1
    safe: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return dict(vars(self))


@dataclass(frozen=True)
class Search:
    """What a search gave.

    Attributes
    ----------
    candidates, safe : int
        Handlers of the grammar, and those that break no property of `DEFECTS` on any part.
    ruled_out : dict of str to int
        How many each property ruled out first.
    front : dict of str to tuple of Found
        By context: safe handlers that no other beats in both figures, the cheapest first.  A client may sleep
        in a thread alone.
    beside : tuple of Found
        Policies of mainline in the same terms.
    """

    candidates: int
    safe: int
    ruled_out: dict[str, int]
    front: dict[str, tuple[Found, ...]]
    beside: tuple[Found, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "candidates": self.candidates,
            "safe": self.safe,
            "ruled_out": self.ruled_out,
            "front": {context: [one.to_json() for one in found] for context, found in self.front.items()},
            "beside": [found.to_json() for found in self.beside],
        }


def breach(policy: Policy, hardware: Sequence[Hardware], faults: int) -> str:
    """Return the first defect of a policy on any part and placement, or ""."""
    for count in sorted({min(2, faults), faults}):  # what fails does so early
        for chip in hardware:
            for same in (False, True):
                broken = prove_one(Question(policy, CLIENTS["none"], chip, same, count)).broken
                for name in DEFECTS:
                    if name in broken:
                        return name
    return ""


def price(policy: Policy, hardware: Sequence[Hardware], costs: Profile) -> tuple[int, int]:
    """Return (CPU time a fault when faults are apart, faults lost in a dense burst), over all parts."""
    cpu = lost = 0
    for chip in hardware:
        found = _counters(policy, chip, costs, CALM)
        busy = sum(found[name] for name in ("cpu_irq_ns", "cpu_thread_ns", "cpu_work_ns"))
        cpu += busy // max(found["faults_injected"], 1)
        found = _counters(policy, chip, costs, DENSE)
        lost += sum(found[name] for name in ("faults_lost", "faults_coalesced", "collateral"))
    return cpu, lost


def _counters(policy: Policy, chip: Hardware, costs: Profile, lane: Lane) -> dict[str, int]:
    setup = Setup(policy, CLIENTS["none"], chip, costs, [Requester(1, 0)], linux(39), lanes=[lane])
    return simulate(setup, []).counters


def search(
    hardware: Sequence[Hardware],
    faults: int,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
    candidates: Sequence[Order] | None = None,
) -> Search:
    """Prove every handler of the grammar, price those that are safe, and find the front.

    Parameters
    ----------
    hardware : sequence of Hardware
        Where a handler has to be safe.
    faults : int
        That arrive at most in a proof.
    threads : int
        The result does not depend on it.
    progress : callable, optional
        Called with (done, all).
    candidates : sequence of Order, optional
        Instead of the whole grammar.
    """
    tried = list(orders() if candidates is None else candidates)
    made = [order.policy(k) for k, order in enumerate(tried)]
    broken = in_threads([partial(breach, policy, hardware, faults) for policy in made], threads, progress)
    costs = profile(console="none")
    safe = [policy for policy, name in zip(made, broken, strict=True) if not name]
    prices = in_threads([partial(price, policy, hardware, costs) for policy in safe], threads)
    found: dict[str, list[Found]] = {"hard": [], "threaded": []}
    for policy, both in zip(safe, prices, strict=True):
        found[policy.context].append(Found(policy.why, *both))
    return Search(
        len(tried),
        len(safe),
        {name: broken.count(name) for name in DEFECTS if name in broken},
        {context: front(some) for context, some in found.items()},
        tuple(_beside(policies.find(name), hardware, faults, costs) for name in BESIDE),
    )


def _beside(policy: Policy, hardware: Sequence[Hardware], faults: int, costs: Profile) -> Found:
    name = breach(policy, hardware, faults)
    label = f"{policy.id} {policy.name}" + (f" ({name})" if name else "")
    return Found(label, *price(policy, hardware, costs), safe=not name)


def front(found: Sequence[Found]) -> tuple[Found, ...]:
    """Return those that none beats in both figures, the first of those that are alike, the cheapest first.

    >>> [f.name for f in front([Found("a", 5, 1), Found("b", 5, 1), Found("c", 4, 2), Found("d", 6, 2)])]
    ['c', 'a']
    """
    kinds: dict[tuple[int, int], list[Found]] = {}
    for one in found:
        kinds.setdefault((one.cpu_ns, one.lost), []).append(one)
    made = []
    for (cpu, lost), same in sorted(kinds.items()):
        beaten = any(c <= cpu and less <= lost and (c, less) != (cpu, lost) for c, less in kinds)
        if not beaten:
            made.append(Found(same[0].name, cpu, lost, len(same)))
    return tuple(made)
