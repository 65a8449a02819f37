"""A sweep, worked out: every value of every axis, and the cells of their product.

A plan is plain data: it goes to other processes and machines whole, and cells go as six numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from bench.run import hash_of
from bench.scenario import Scenario
from bench.sources import model_hash
from smmucore.clients import Client
from smmucore.costs import Profile
from smmucore.hardware import Hardware
from smmucore.policy import Policy
from smmucore.streams import StreamTable

#: The axes, slowest first: what is dear to prepare changes seldom.
AXES = ("trace", "scenario", "seed", "cost", "client", "hardware", "policy")

#: A cell: the index of its value on each axis.
Cell = tuple[int, ...]


@dataclass(frozen=True)
class TraceFile:
    """A trace of a sweep: where it was, and what it must be wherever it is read."""

    name: str
    path: Path
    sha256: str
    kind: str
    rows: int
    pace: int | None


@dataclass(frozen=True)
class Cost:
    """A cost profile, and the word that asked for it."""

    word: str
    profile: Profile


@dataclass(frozen=True)
class Plan:
    """Every value of every axis, and what all cells have in common.

    Attributes
    ----------
    name : str
        The sweep's name.
    text : str
        The file it is from, verbatim.
    """

    name: str
    text: str
    trace: tuple[TraceFile, ...]
    scenario: tuple[Scenario, ...]
    seed: tuple[int, ...]
    cost: tuple[Cost, ...]
    client: tuple[Client, ...]
    hardware: tuple[Hardware, ...]
    policy: tuple[Policy, ...]
    cpus: Mapping[str, int]
    streams: StreamTable | None = None
    tbus: Mapping[str, int] = field(default_factory=dict)
    model: str = field(default_factory=model_hash)

    def cells(self) -> Iterator[Cell]:
        """Yield the cells in order; there is none of a policy that is not about its hardware."""
        about = [
            (h, p)
            for h, chip in enumerate(self.hardware)
            for p, policy in enumerate(self.policy)
            if policy.is_about(chip)
        ]
        for outer in product(*(range(len(getattr(self, axis))) for axis in AXES[:-2])):
            for inner in about:
                yield (*outer, *inner)

    def count(self) -> int:
        """Return how many cells there are."""
        about = sum(policy.is_about(chip) for chip in self.hardware for policy in self.policy)
        total = about
        for axis in AXES[:-2]:
            total *= len(getattr(self, axis))
        return total

    def words(self, cell: Cell) -> dict[str, Any]:
        """Return a cell's axes as a row has them."""
        return {axis: self._words[axis][index] for axis, index in zip(AXES, cell, strict=True)}

    def spelled(self, axis: str) -> list[Any]:
        """Return the values of an axis, as rows have them."""
        return list(self._words[axis])

    def key(self, cell: Cell) -> str:
        """Return the cell's name for ever: a hash of everything that may change its row.

        The trace's bytes, the sources of model and kernels, the policy's steps, every field of the
        hardware and every cost; not where files are, nor how the sweep is written or ordered.
        """
        parts = [self._digests[axis][index] for axis, index in zip(AXES, cell, strict=True)]
        return hashlib.sha256("\n".join([self._common, *parts]).encode()).hexdigest()[:32]

    @cached_property
    def digest(self) -> str:
        """A hash of the whole plan, for processes that hold several."""
        return hash_of(self._common, self._digests, [str(trace.path) for trace in self.trace])

    @cached_property
    def _words(self) -> dict[str, list[Any]]:
        return {
            "trace": [trace.name for trace in self.trace],
            "scenario": [scenario.text for scenario in self.scenario],
            "seed": list(self.seed),
            "cost": [cost.word for cost in self.cost],
            "client": [client.name for client in self.client],
            "hardware": [hardware.name for hardware in self.hardware],
            "policy": [policy.id for policy in self.policy],
        }

    @cached_property
    def _common(self) -> str:
        return hash_of(self.model, sorted(self.cpus.items()), self.streams, sorted(self.tbus.items()))

    @cached_property
    def _digests(self) -> dict[str, list[str]]:
        return {
            "trace": [hash_of(trace.sha256, trace.pace) for trace in self.trace],
            "scenario": [scenario.text for scenario in self.scenario],
            "seed": [str(seed) for seed in self.seed],
            "cost": [cost_digest(cost.profile) for cost in self.cost],
            "client": [client.name for client in self.client],
            "hardware": [hash_of(hardware) for hardware in self.hardware],
            "policy": [policy_digest(policy) for policy in self.policy],
        }


def policy_digest(policy: Policy) -> str:
    """Return a hash of all that a policy says."""
    from bench.policy_files import as_words  # noqa: PLC0415

    return hash_of(as_words(policy))


def cost_digest(profile: Profile) -> str:
    """Return a hash of what things cost, and not of who says so."""
    values = [(name, profile.costs[name].ns) for name in sorted(profile.costs)]
    drawn = [(name, profile.drawn[name]) for name in sorted(profile.drawn)]
    return hash_of(values, drawn, profile.console)
