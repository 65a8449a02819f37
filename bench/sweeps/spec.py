"""A sweep from a TOML file, checked whole before anything runs; `docs/sweeps.md` has every key.

::

    name = "storm-dial"

    [axes]
    trace = ["qemu-virtio-gpu"]
    policy = ["P4", "P8"]
    hardware = ["mmu500", {each = "mmu500,slots={}", from = 16, to = 64, factor = 2}]
    scenario = {each = "burst:n=100,gap={}us", from = 1, to = 64, factor = 2}
    cost = ["mobile-big", "mobile-big,cpi=1.5,mmio_read=300ns"]
    seed = {from = 0, to = 9}
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench import ask
from bench.errors import UsageError
from bench.profiles import COSTS, Asked
from bench.profiles import find as find_costs
from bench.scenario import parse
from bench.sweeps.plan import Cost, Plan, TraceFile, cost_digest
from bench.sweeps.ranges import Axis, spelled
from bench.toml_lines import Lines
from smmucore import clients, hardware
from smmucore.policies import POLICIES

_MOST_BYTES = 1 << 20
MOST_CELLS = 100_000_000
MOST_SEED = (1 << 63) - 1

_T = TypeVar("_T")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Axes(_Strict):
    trace: Axis = ask.TRACE
    policy: Axis = "all"
    hardware: Axis = [preset.name for preset in hardware.COMPARED]
    client: Axis = ask.CLIENT
    scenario: Axis = ask.SCENARIO
    cost: Axis = COSTS
    seed: Axis = 0


class _File(_Strict):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")] | None = None
    pace: str | None = None
    cpus: str = ask.CPUS
    streams: str | None = None
    tbu: list[str] = []
    policy_files: list[str] = []
    axes: _Axes


def read_spec(path: Path) -> Plan:
    """Read a sweep; files that it names are beside it, or where their path says.

    Raises
    ------
    UsageError, TraceError
        With the file and the line.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        text = raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "bytes that are no UTF-8"
        raise UsageError("cannot be read", path, "a sweep", reason) from None
    if len(raw) > _MOST_BYTES:
        raise UsageError("not a sweep", path, "a file of at most 1 MiB", "more")
    return from_text(text, path)


def from_text(text: str, path: Path) -> Plan:
    """Read a sweep from the text of a file at `path`.

    Raises
    ------
    UsageError, TraceError
    """
    lines = Lines(text)
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError("not TOML", path, found=str(error)) from None
    try:
        file = _File.model_validate(found)
    except ValidationError as error:
        raise _refusal(error, path, lines) from None
    plan = _Reader(file, path, lines).plan(text)
    if not 0 < plan.count() <= MOST_CELLS:
        raise UsageError("not a sweep", path, f"1 to {MOST_CELLS:,} cells", f"{plan.count():,}")
    return plan


class _Reader:
    """Resolves the words of a file, and says on which line those stand that cannot be."""

    def __init__(self, file: _File, path: Path, lines: Lines) -> None:
        self.file, self.path, self.lines = file, path, lines
        beside = [path.parent / name for name in file.policy_files]
        self.own = self._at(("policy_files",), lambda: ask.users(beside))

    def plan(self, text: str) -> Plan:
        """Return the plan."""
        file = self.file
        every_policy = [*POLICIES, *(user.policy.id for user in self.own)]
        every_chip = [name for name in hardware.PRESETS if name != "reference-39bit"]
        traces = self._axis("trace", self._trace)
        table = None
        if file.streams is not None:
            table = self._at(("streams",), lambda: self._streams(traces))
        return Plan(
            name=file.name or self.path.stem,
            text=text,
            trace=_once(traces, lambda t: t.sha256),
            scenario=_once(self._axis("scenario", parse), lambda s: s.text),
            seed=_once(self._axis("seed", self._seed), lambda seed: seed),
            cost=_once(self._axis("cost", self._cost), lambda c: cost_digest(c.profile)),
            client=_once(self._axis("client", self._client, [*clients.CLIENTS]), lambda c: c.name),
            hardware=_once(self._axis("hardware", ask.preset, every_chip), lambda h: h.name),
            policy=_once(self._axis("policy", self._policy, every_policy), lambda p: p.id),
            cpus=self._at(("cpus",), lambda: ask.placement(file.cpus)),
            streams=table,
            tbus=self._at(("tbu",), lambda: _tbus(file.tbu)),
        )

    def _axis(self, axis: str, read: Callable[[str], _T], every: list[str] | None = None) -> list[_T]:
        made: list[_T] = []
        for place, word in spelled(getattr(self.file.axes, axis)):
            words = every if word == "all" and every is not None else [word]
            for one in words:
                made.append(self._at(("axes", axis, *place), partial(read, one)))
        if not made:
            raise UsageError("empty axis", self._where(("axes", axis)), "one value or more", "none")
        return made

    def _at(self, loc: tuple[str | int, ...], read: Callable[[], _T]) -> _T:
        try:
            return read()
        except UsageError as error:
            raise UsageError(error.what, self._where(loc), error.expected, error.found) from None

    def _where(self, loc: tuple[str | int, ...]) -> str:
        words = [f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in loc]
        return f"{self.path}{self.lines.at(loc)}: {''.join(words).lstrip('.')}"

    def _trace(self, word: str) -> TraceFile:
        from traces.catalogue import find  # noqa: PLC0415
        from traces.errors import TraceError  # noqa: PLC0415
        from traces.reader import open_trace  # noqa: PLC0415

        beside = self.path.parent / word
        try:
            found = open_trace(beside if beside.is_file() else find(word))
        except TraceError as error:
            raise UsageError(error.what, error.where, error.expected, error.found) from None
        pace = ask.interval(self.file.pace, found.manifest.clock_is_real)
        return TraceFile(found.manifest.name, found.path.resolve(), found.sha256, found.manifest.kind,
                         found.rows, pace)  # fmt: skip

    def _policy(self, word: str) -> Any:
        return ask.policy(word, own=self.own)

    @staticmethod
    def _client(word: str) -> Any:
        return ask.named("client", "--client", clients.CLIENTS, word)

    @staticmethod
    def _seed(word: str) -> int:
        if not (word.isascii() and word.isdigit() and int(word) <= MOST_SEED):
            raise UsageError("not a seed", "seed", "0 to 2^63 - 1", repr(word))
        return int(word)

    def _cost(self, word: str) -> Cost:
        asked = read_cost(word)
        if asked.costs.endswith(".toml") and (self.path.parent / asked.costs).is_file():
            beside = str(self.path.parent / asked.costs)
            asked = Asked(beside, asked.console, asked.changes, asked.cpi, asked.clock)
        return Cost(word, find_costs(asked))

    def _streams(self, traces: list[TraceFile]) -> Any:
        from bench.streams import read_streams  # noqa: PLC0415
        from traces.reader import open_trace  # noqa: PLC0415

        beside = self.path.parent / str(self.file.streams)
        tables = [read_streams(beside, len(open_trace(trace.path).manifest.spaces)) for trace in traces]
        return tables[0]


def read_cost(word: str) -> Asked:
    """Read a cost profile with changes: ``mobile-big,cpi=1.5,console=ring,mmio_read=300ns``.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> read_cost("server,cpi=1.5,thread_wake=lognormal:p50=5us,p99=50us").changes
    ('thread_wake=lognormal:p50=5us,p99=50us',)
    """
    name, *rest = word.split(",")
    changes: list[str] = []
    special: dict[str, str] = {}
    for pair in rest:
        key, equals, value = pair.partition("=")
        if key in ("p50", "p99") and changes:
            changes[-1] += f",{pair}"
        elif key in ("cpi", "clock", "console") and equals:
            special[key] = value
        else:
            changes.append(pair)
    numbers: dict[str, float] = {}
    for key in ("cpi", "clock"):
        if key in special:
            try:
                numbers[key] = float(special[key])
            except ValueError:
                raise UsageError("not a number", key, "such as 1.5", repr(special[key])) from None
    return Asked(name, special.get("console"), tuple(changes), numbers.get("cpi"), numbers.get("clock"))


def _tbus(words: list[str]) -> dict[str, int]:
    from bench.tbus import read_tbus  # noqa: PLC0415

    return read_tbus(words)


def _once(values: list[_T], key: Callable[[_T], Any]) -> tuple[_T, ...]:
    """Drop what says the same as a value before it: a cell is computed once."""
    made: dict[Any, _T] = {}
    for value in values:
        made.setdefault(key(value), value)
    return tuple(made.values())


def _refusal(error: ValidationError, path: Path, lines: Lines) -> UsageError:
    # A misspelt key is also a missing one, and a bad range no word either: the most telling goes first.
    tells = ("extra_forbidden", "value_error", "missing")
    problems = error.errors()
    first = min(problems, key=lambda p: (tells.index(p["type"]) if p["type"] in tells else 9, -len(p["loc"])))
    # pydantic's path through a union names its branches, which no author has written.
    loc = [part for part in first["loc"] if isinstance(part, int) or (part.isidentifier() and part not in
           ("str", "int", "Range"))]  # fmt: skip
    loc = [part for part in loc if not str(part).startswith("list[")]
    kind, found = first["type"], repr(first["input"])[:60]
    expected = str(first["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    if kind == "extra_forbidden":
        known: Any = _Axes if loc[0] == "axes" and len(loc) == 2 else _File
        names = list(known.model_fields) if len(loc) <= 2 else ["from", "to", "step", "factor", "each"]
        expected, found = f"one of {', '.join(names)}", repr(loc[-1])
    elif kind == "missing":
        expected, found = "a value", "nothing"
    elif loc[0] == "axes" and len(loc) > 1 and kind != "value_error":
        expected = expected if len(loc) > 2 and kind not in ("list_type", "model_type") else (
            "a word, a number, a range such as {from = 0, to = 9}, or a list of them")  # fmt: skip
    words = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
    # Inside a range the line of the range is enough.
    upto = next((k for k, part in enumerate(loc) if isinstance(part, int)), len(loc) - 1) + 1
    return UsageError("not a sweep", f"{path}{lines.at(loc[:upto])}: {words}", expected, found)
