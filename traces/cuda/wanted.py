"""What is to be recorded: plain data, which needs neither a GPU nor numba."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Wanted:
    """What is to be recorded.

    Attributes
    ----------
    window : int
        Accesses to keep, at most; fewer where one SM's ring is full before.
    at : float
        Where in the run the window begins, as a fraction of its time.
    sample : int
        One thread block in how many takes notes.
    seed : int
        Of the workload's data.
    sizes : dict of str to int
        Replaces some of the workload's sizes.
    """

    window: int = 1_000_000
    at: float = 0.5
    sample: int = 1
    seed: int = 1
    sizes: dict[str, int] = field(default_factory=dict)
