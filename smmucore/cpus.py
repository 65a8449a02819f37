"""The CPUs that run the handler, and what instructions cost on them (K8): instructions x CPI / clock."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

Tag = Literal["measured", "cited", "derived", "assumed"]

ASSUMED = "assumed"
#: What a user may ask for: beyond these a slip is likelier than a CPU.
CPI_LIMITS = (0.1, 100.0)
GHZ_LIMITS = (0.01, 20.0)


@dataclass(frozen=True)
class Cost:
    """One cost in ns: default, the range a sweep should cover, and where it comes from."""

    ns: int
    low: int
    high: int
    tag: Tag
    source: str


@dataclass(frozen=True)
class Cpu:
    """A CPU: clock and cycles per instruction, both assumptions unless a user set them.

    `cpi_is` and `ghz_is` say which.
    """

    name: str
    ghz: float
    ghz_range: tuple[float, float]
    cpi: float
    cpi_range: tuple[float, float]
    title: str = ""
    cpi_is: str = ASSUMED
    ghz_is: str = ASSUMED

    def time(self, instructions: int) -> int:
        """Return ns for `instructions`, rounded to the nearest.

        >>> CPUS["mobile-big"].time(351)
        319
        """
        return _ns(instructions, self.cpi, self.ghz)

    def cost(self, instructions: int, what: str) -> Cost:
        """Return the cost of `instructions`, with the range that CPI and clock span."""
        return Cost(
            self.time(instructions),
            _ns(instructions, self.cpi_range[0], self.ghz_range[1]),
            _ns(instructions, self.cpi_range[1], self.ghz_range[0]),
            "measured",
            f"{instructions} instructions ({what}), arm64 Linux 6.1.192; {self.basis}",
        )

    @property
    def basis(self) -> str:
        """CPI and clock in words, with where they come from."""
        if self.cpi_is == self.ghz_is == ASSUMED:
            return f"CPI {self.cpi:g} and {self.ghz:g} GHz are assumed"
        return f"CPI {self.cpi:g} ({self.cpi_is}) and {self.ghz:g} GHz ({self.ghz_is})"

    def with_values(self, cpi: float | None, ghz: float | None, origin: str) -> Cpu:
        """Return this CPU with another CPI or clock, which then has no range.

        Raises
        ------
        ValueError
            A value that no CPU has, with the limits.
        """
        made = self
        if cpi is not None:
            _check("cpi", cpi, CPI_LIMITS)
            made = replace(made, cpi=cpi, cpi_range=(cpi, cpi), cpi_is=origin)
        if ghz is not None:
            _check("clock", ghz, GHZ_LIMITS)
            made = replace(made, ghz=ghz, ghz_range=(ghz, ghz), ghz_is=origin)
        return made


def _check(what: str, value: float, limits: tuple[float, float]) -> None:
    if not (math.isfinite(value) and limits[0] <= value <= limits[1]):
        raise ValueError(f"{what}: expected {limits[0]:g} to {limits[1]:g}; found {value:g}")


def _ns(instructions: int, cpi: float, ghz: float) -> int:
    return int(instructions * cpi / ghz + 0.5)


#: No clock or CPI below was measured for this: they are what such cores are sold with, and a guess.
CPUS = {
    cpu.name: cpu
    for cpu in (
        Cpu("mobile-big", 2.2, (1.5, 3.2), 2.0, (1.0, 3.0), "a phone's big core, A76 to X class"),
        Cpu("mobile-little", 1.8, (1.0, 2.2), 2.5, (1.5, 4.0), "a phone's little core, in order, A55 class"),
        Cpu("server", 2.6, (2.0, 3.4), 1.5, (0.8, 2.5), "a server's core, Neoverse class"),
    )
}
