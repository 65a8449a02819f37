"""Cost profiles as users ask for them: a name or a file, then ``--cpi``, ``--clock`` and ``--set``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UsageError, unknown
from bench.units import duration, exact_ns
from smmucore import costs
from smmucore.costs import CONSOLES, CPUS, Profile
from smmucore.wakes import DRAWN, LONGEST_P99, Lognormal

#: What is taken when nothing else is asked for.
COSTS = "mobile-big"
CONSOLE = "ring"

_LOGNORMAL = "lognormal:p50=5us,p99=50us"


@dataclass(frozen=True)
class Asked:
    """What was asked for: a profile's name or a cost file, and what changes it; None leaves it as it is."""

    costs: str = COSTS
    console: str | None = None
    changes: Sequence[str] = ()
    cpi: float | None = None
    clock: float | None = None

    def words(self) -> list[str]:
        """Return the options that ask for the same."""
        words = [] if self.costs == COSTS else ["--costs", self.costs]
        for option, value in (("--console", self.console), ("--cpi", self.cpi), ("--clock", self.clock)):
            words += [] if value is None else [option, f"{value}"]
        for change in self.changes:
            words += ["--set", change]
        return words


def find(asked: Asked) -> Profile:
    """Return the profile that was asked for.

    Raises
    ------
    UsageError
        With the option, or the file and the key in it.
    """
    if asked.console is not None and asked.console not in CONSOLES:
        raise unknown("console", "--console", CONSOLES, asked.console)
    if asked.costs in CPUS:
        made = costs.profile(asked.costs, asked.console or CONSOLE)
    elif asked.costs.endswith(".toml"):
        from bench.costfile import read_costs  # noqa: PLC0415  (pydantic)

        made = read_costs(Path(asked.costs), asked.console)
    else:
        raise unknown("cost profile", "--costs", [*CPUS, "a FILE.toml"], asked.costs)
    try:
        made = made.with_cpu(cpi=asked.cpi).with_cpu(ghz=asked.clock)
    except ValueError as error:
        option, _, rest = str(error).partition(": expected ")
        expected, _, found = rest.partition("; found ")
        raise UsageError("not a CPU's", f"--{option}", expected, found) from None
    return _set(made, asked.changes)


def _set(made: Profile, changes: Sequence[str]) -> Profile:
    for change in changes:
        name, equals, value = change.partition("=")
        if name not in costs.NAMES:
            raise unknown("cost", "--set", costs.NAMES, name)
        if not equals:
            raise UsageError("cost without a value", "--set", f"{name}=NANOSECONDS", repr(change))
        kind, colon, words = value.partition(":")
        if colon or kind == "lognormal":
            made = made.with_drawn({name: _distribution(name, kind, words)})
        else:
            plain = value.isascii() and value.isdigit()
            made = made.with_values({name: duration(f"{value}ns" if plain else value, f"--set {name}")})
    return made


def _distribution(name: str, kind: str, words: str) -> Lognormal:
    where = f"--set {name}"
    if name not in DRAWN:
        raise UsageError("cost that is always the same", where, f"a time (only {' and '.join(DRAWN)} vary)",
                         repr(f"{kind}:{words}"))  # fmt: skip
    if kind != "lognormal":
        raise unknown("distribution", where, ["lognormal"], kind)
    found: dict[str, int] = {}
    for pair in words.split(","):
        key, equals, value = pair.partition("=")
        if key not in ("p50", "p99") or not equals or key in found:
            raise UsageError("not a distribution", where, f"p50 and p99, as in {_LOGNORMAL}", repr(words))
        found[key] = duration(value, f"{where}: {key}")
    if len(found) < 2:
        raise UsageError("not a distribution", where, f"p50 and p99, as in {_LOGNORMAL}", repr(words))
    try:
        return Lognormal(**found)
    except ValueError:
        limits = f"1ns <= p50 <= p99 <= {exact_ns(LONGEST_P99)}"
        raise UsageError("not a distribution", where, limits, repr(words)) from None


def distribution(how: Lognormal) -> str:
    """Write a distribution as ``--set`` reads it.

    >>> distribution(Lognormal(5_000, 50_000))
    'lognormal:p50=5us,p99=50us'
    """
    return f"lognormal:p50={exact_ns(how.p50)},p99={exact_ns(how.p99)}"
