"""What a run is made of: the setup that `smmucore.simulate` takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from smmucore.clients import Client
from smmucore.costs import Profile
from smmucore.hardware import Hardware
from smmucore.policy import Policy
from smmucore.spaces import Space
from smmucore.stages import FEWEST
from smmucore.streams import StreamTable

LIVELOCK_LIMIT = 200_000
RETRY_LIMIT = 1_000


class SimulationError(ValueError):
    """An event of the trace cannot be carried out; `index` is its number in the trace."""

    def __init__(self, index: int, expected: str) -> None:
        super().__init__(f"event {index}: expected {expected}")
        self.index = index
        self.expected = expected


@dataclass(frozen=True)
class Requester:
    """A stream that accesses memory through a context bank and a TBU.

    `bank` is the space whose MAPs, UNMAPs and TLBIs are the requester's too, whatever bank a stream table
    gives its accesses.  One that is `fixed` is not looked up there.
    """

    stream: int
    bank: int
    tbu: int = 0
    fixed: bool = False


@dataclass(frozen=True)
class Lane:
    """An arithmetic sequence of accesses, added to the trace.

    Access k has intended time ``first + k * gap`` and IOVA ``iova + (k % modulo or k) * stride``.
    With a `deadline`, an access that ends later than that after its intended time is a missed
    watchdog (K7).
    """

    requester: int
    count: int
    first: int = 0
    gap: int = 0
    op: int = 0
    iova: int = 0
    stride: int = 4096
    modulo: int = 0
    deadline: int = 0


@dataclass(frozen=True)
class Premapped:
    """A mapping that exists before the run."""

    bank: int
    iova: int
    size: int
    pa: int
    prot: int


@dataclass(frozen=True)
class Setup:
    """What a run is made of, but for the events.

    Attributes
    ----------
    policy, client, hardware, costs
        The axes of a comparison.
    requesters : sequence of Requester
        Indexed by ``Events.requester``.
    spaces : sequence of Space
        The tables of each bank.
    streams : StreamTable, optional
        Which bank each requester's accesses belong to (H1); otherwise its own.
    cpus : mapping
        CPU of the ``irq``, ``thread``, ``worker`` and ``submit`` contexts; without `submit`, the worker's.
    lanes, premapped, demand, sleeps_after
        What the scenario adds: accesses, mappings, whether MAP only feeds the pager, and after how many idle
        ns the SMMU sleeps (0: never).
    livelock_limit : int
        Passes begun without a record seen or a RESUME accepted that end a run.
    retry_limit : int
        Retries of one transaction, each of which faulted again, that end a run.
    orderly : bool
        All accesses of the events go through one channel, and no event is ABRUPT: who knows that spares
        the engine from following each access through its queue.  It changes no result; where there is more
        than one bank it is not used.
    seed : int
        Of the wake-up times that `costs` has drawn.
    calm : int
        As many accesses at least go through in a block where nothing else happens; 0: none do.  It changes
        no result.
    """

    policy: Policy
    client: Client
    hardware: Hardware
    costs: Profile
    requesters: Sequence[Requester]
    spaces: Sequence[Space]
    cpus: Mapping[str, int] = field(default_factory=lambda: {"irq": 0, "thread": 0, "worker": 1})
    lanes: Sequence[Lane] = ()
    premapped: Sequence[Premapped] = ()
    demand: bool = False
    livelock_limit: int = LIVELOCK_LIMIT
    retry_limit: int = RETRY_LIMIT
    orderly: bool = False
    calm: int = FEWEST
    streams: StreamTable | None = None
    seed: int = 0
    sleeps_after: int = 0
