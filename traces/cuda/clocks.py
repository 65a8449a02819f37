"""Puts the SMs' notes in one order: each SM's cycle counter, held to the timer that all SMs share.

The shared timer moves in steps (`Clocks.tick_ns`) and many notes fall into one. An SM's cycle counter tells
them apart, but starts anywhere; all SMs run at about one rate. So: one rate for all, by least squares; for
each SM the offset that puts its notes, on average, in the middle of their steps; and no note leaves its step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from traces.cuda.notes import Notes

#: Notes further than this many steps from their step's middle have no say in the fit: between the two clock
#: reads of such a note its warp was set aside.
_FAR = 2
_REFITS = 8


@dataclass(frozen=True)
class Clocks:
    """How well the clocks fit together.

    Attributes
    ----------
    tick_ns : int
        The shared timer's step, as these notes show it.
    ghz : float
        Cycles a nanosecond.
    usual_ns, worst_ns : float
        How far the counters put a note from the middle of its step: 99.9 % of them at most, and the furthest.
    """

    tick_ns: int
    ghz: float
    usual_ns: float
    worst_ns: float

    def __str__(self) -> str:
        return (
            f"steps of {self.tick_ns} ns, which no note leaves; {self.ghz:.4f} cycles a ns; by the counters "
            f"alone 99.9 % of the notes lie within {self.usual_ns:.1f} ns of their step's middle"
        )


def merge(notes: Notes) -> tuple[np.ndarray, np.ndarray, Clocks]:
    """Order notes by time.

    Parameters
    ----------
    notes : Notes
        At least one.

    Returns
    -------
    order : numpy.ndarray of int64
        Indices into the notes, by time; at the same time by SM, then as the ring has them.
    t_ns : numpy.ndarray of int64
        The times of the notes in that order, from the first.
    clocks : Clocks
    """
    steps = np.diff(np.unique(notes.since_ns))
    tick = int(np.gcd.reduce(steps)) if steps.size else 1
    middle = notes.since_ns + tick / 2
    sms, number = np.unique(notes.sm, return_inverse=True)
    # From each SM's own first cycle: cycle counters are large, and their differences are what counts.
    first = np.full(sms.size, np.iinfo(np.int64).max)
    np.minimum.at(first, number, notes.cycles)
    cycles = (notes.cycles - first[number]).astype(np.float64)
    used = np.ones(number.size, bool)
    fitted, rate = _fit(cycles, middle, number, used)
    for _ in range(_REFITS):
        near = np.abs(fitted - middle) <= _FAR * tick
        if np.array_equal(near, used) or not np.bincount(number[near], minlength=sms.size).all():
            break
        used = near
        fitted, rate = _fit(cycles, middle, number, used)
    off = np.abs(fitted - middle)
    # The timer is what all SMs share: a counter whose rate wanders may order a step's notes, not move them.
    held = np.clip(fitted, notes.since_ns, notes.since_ns + tick - 1)
    t_ns = np.rint(held - held.min()).astype(np.int64)
    order = np.lexsort((np.arange(t_ns.size), notes.sm, t_ns))
    clocks = Clocks(tick, 1 / rate if rate > 0 else 0.0, float(np.quantile(off, 0.999)), float(off.max()))
    return order, t_ns[order], clocks


def _fit(
    cycles: np.ndarray, middle: np.ndarray, number: np.ndarray, used: np.ndarray
) -> tuple[np.ndarray, float]:
    """Fit one rate and an offset for each SM; returns every note's time and the rate, ns a cycle."""
    counts = np.bincount(number[used])
    mean_cycles = np.bincount(number[used], cycles[used]) / counts
    mean_time = np.bincount(number[used], middle[used]) / counts
    from_mean = cycles - mean_cycles[number]
    inside = from_mean[used]
    spread = float(inside @ inside)
    rate = float(inside @ (middle - mean_time[number])[used]) / spread if spread else 0.0
    return mean_time[number] + rate * from_mean, rate


def whole(notes: Notes, order: np.ndarray) -> int:
    """Return how many notes, in the order of time, come before the first that found an SM's ring full.

    Parameters
    ----------
    notes : Notes
    order : numpy.ndarray of int64
        From `merge`.

    Returns
    -------
    int
        Up to there nothing is missing.
    """
    full = np.flatnonzero(notes.lost)
    if not full.size:
        return int(order.size)
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    last = np.full(notes.lost.size, -1)
    np.maximum.at(last, notes.sm, place)
    return int(last[full].min()) + 1
