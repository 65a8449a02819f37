"""What an answer is: rows, what they rest on, a short table, and how it is drawn."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench import ask, grid
from bench.run import Case, Row, Runner
from bench.scenario import parse
from smmucore import clients
from smmucore.hardware import find
from smmucore.policies import POLICIES
from smmucore.simulate import Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.blocks import Source

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Cell:
    """One run of an answer: what differs from the asking's defaults, and the row's own axes.

    `axes` become columns of the frame, beside those of the run.
    """

    policy: str
    scenario: str
    hardware: str = "mmu500"
    client: str = ask.CLIENT
    console: str | None = None
    changes: tuple[str, ...] = ()
    axes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Asking:
    """What the answers of one report have in common.

    Attributes
    ----------
    trace : str
        A file or a bundled trace's name.
    costs : str
        Cost profile, or a cost file.
    quick : bool
        Fewer points; every one of them is exact all the same.
    seed : int
    against : str, optional
        Saved runs, for question 15.
    threads : int
        Does not change the result.
    progress : callable, optional
        Called with (runs done, runs).
    """

    trace: str = ask.TRACE
    costs: str = "mobile-big"
    quick: bool = False
    seed: int = 0
    against: str | None = None
    threads: int = 1
    progress: Report | None = field(default=None, compare=False)

    @cached_property
    def _source(self) -> Source:
        return self.case(ask.SCENARIO).source

    def case(self, scenario: str, **options: Any) -> Case:
        """Return a case of the trace, the costs and the seed that were asked for."""
        return ask.case(self.trace, scenario=scenario, costs=self.costs, seed=self.seed, **options)

    def runner(self, cell: Cell) -> Runner:
        """Return what runs a cell; the trace is read once for all."""
        made = ask.find_costs(ask.Asked(self.costs, cell.console, cell.changes))
        case = replace(
            self._case,
            scenario=parse(cell.scenario),
            client=ask.named("client", "client", clients.CLIENTS, cell.client),
            costs=made,
        )
        return Runner(case)

    @cached_property
    def _case(self) -> Case:
        return replace(self.case(ask.SCENARIO), source=self._source)

    def outcomes(self, cells: Sequence[Cell]) -> list[tuple[Runner, Row, Outcome]]:
        """Run cells in threads; return each runner, row and outcome in their order."""
        return grid.in_threads([partial(self._one, cell) for cell in cells], self.threads, self.progress)

    def _one(self, cell: Cell) -> tuple[Runner, Row, Outcome]:
        runner, policy, chip = self.runner(cell), POLICIES[cell.policy], find(cell.hardware)
        outcome = runner.outcome(policy, chip)
        return runner, runner.row(policy, chip, outcome), outcome

    def manifest(self, runner: Runner, cells: Sequence[Cell]) -> dict[str, Any]:
        """Describe what cells were made of: the manifest of one, with every axis's values."""
        used = {name: list(dict.fromkeys(getattr(cell, name) for cell in cells))
                for name in ("policy", "hardware", "client", "scenario", "console", "changes")}  # fmt: skip
        made = grid.describe(runner.case, runner, used["policy"], used["hardware"])
        many = {"clients": used["client"], "scenarios": used["scenario"]}
        made |= {name: values for name, values in many.items() if len(values) > 1}
        return made

    def words(self) -> list[str]:
        """Return the options that ask for the same."""
        words = [] if self.trace == ask.TRACE else ["--trace", self.trace]
        words += [] if self.costs == "mobile-big" else ["--costs", self.costs]
        words += ["--seed", str(self.seed)] if self.seed else []
        words += [] if self.against is None else ["--against", self.against]
        return [*words, "--quick"] if self.quick else words


@dataclass(frozen=True)
class Answer:
    """One question's answer.

    Attributes
    ----------
    frame : DataFrame
        The rows that the figure shows, tidy.
    columns : mapping
        Every column's meaning, with its unit.
    headings, table : sequence
        A short table for people, of text.
    manifest : dict
    notes : sequence of str
        How to read it, and what it leaves out.
    extra : mapping
        Further rows, by name.
    """

    question: Question
    asking: Asking
    frame: pd.DataFrame
    columns: Mapping[str, str]
    headings: tuple[str, ...]
    table: Sequence[tuple[str, ...]]
    manifest: dict[str, Any]
    notes: tuple[str, ...] = ()
    extra: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """What prints it again."""
        return shlex.join(["smmubench", "answer", str(self.question.number), *self.asking.words()])

    def figure(self) -> Figure:
        """Draw it."""
        return self.question.draw(self.frame)

    def to_json(self) -> dict[str, Any]:
        """Return plain data: missing values are null."""
        rows = self.frame.astype(object).where(self.frame.notna(), None).to_dict("records")
        return {"question": self.question.text, "number": self.question.number, "command": self.command,
                "columns": dict(self.columns), "notes": list(self.notes), "manifest": self.manifest,
                "rows": [{str(k): _plain(v) for k, v in row.items()} for row in rows]}  # fmt: skip


@dataclass(frozen=True)
class Question:
    """One of the fifteen: its words, who asks it, the module that answers it, the plot that draws it."""

    number: int
    slug: str
    title: str
    text: str
    asked_by: str
    module: str
    plot: str

    def answer(self, asking: Asking) -> Answer:
        """Run what it takes.

        Raises
        ------
        UsageError, TraceError
        """
        made: Answer = import_module(f"bench.answers.{self.module}").answer(self, asking)
        return made

    def draw(self, frame: pd.DataFrame) -> Figure:
        """Draw an answer's rows."""
        from bench import plots  # noqa: PLC0415  (matplotlib)

        figure: Figure = getattr(plots, self.plot)(frame)
        return figure


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def share(row: Row, *names: str) -> float:
    """Return counters' time as a share of the run, in percent of one CPU."""
    return 100 * sum(row.counters[name] for name in names) / row.end_ns if row.end_ns else 0.0
