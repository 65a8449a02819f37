"""What a user asked for, in words, made into a case to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bench.errors import UsageError, unknown
from bench.profiles import COSTS, Asked
from bench.profiles import find as find_costs
from bench.units import positive_duration
from smmucore import clients, hardware, policies
from smmucore.hardware import Hardware
from smmucore.policy import Policy

if TYPE_CHECKING:
    from bench.policy_files import UserPolicy
    from bench.run import Case

#: The bundled capture and the scenario that are replayed when nothing else is asked for.
TRACE = "qemu-virtio-gpu"
SCENARIO = "burst:n=40,gap=50us"
CLIENT = "adreno-worker"
CPUS = "irq=0,thread=0,worker=1,submit=1"

#: ns from one access to the next where a capture's clock says nothing about a real device. Not 10: there the
#: bundled virtio-gpu capture, with an invalidation every nine accesses, falls behind even without a fault.
ASSUMED_PACE = 20

_T = TypeVar("_T")


def named(kind: str, where: str, known: Mapping[str, _T], name: str) -> _T:
    """Return the entry of a catalogue called `name`, or raise a UsageError with the known names."""
    if name not in known:
        raise unknown(kind, where, known, name)
    return known[name]


def users(files: Sequence[str | Path]) -> list[UserPolicy]:
    """Return the users' own policies of these files."""
    if not files:
        return []
    from bench.policy_files import read_policies  # noqa: PLC0415  (it imports pydantic)

    return read_policies([Path(file) for file in files])


def policy(name: str, where: str = "--policy", own: Sequence[UserPolicy] = ()) -> Policy:
    """Return the policy with this id or name, of the catalogue or of `own`."""
    every = [*policies.POLICIES.values(), *(user.policy for user in own)]
    for known in every:
        if name in (known.id, known.name):
            return known
    raise unknown("policy", where, [f"{p.id} ({p.name})" for p in every], name)


def chosen(names: Sequence[str], own: Sequence[UserPolicy] = ()) -> list[Policy]:
    """Return the policies called `names`; all of the catalogue and of `own` if none is named."""
    every = [*policies.POLICIES.values(), *(user.policy for user in own)]
    return [policy(name, own=own) for name in names] or every


def presets(names: Sequence[str]) -> list[Hardware]:
    """Return the hardware presets called `names`; all but the speed yardstick's if none is named."""
    return [preset(name) for name in names] or list(hardware.COMPARED)


def preset(text: str, where: str = "--hardware") -> Hardware:
    """Return a hardware preset, with changes (`smmucore.hardware.find`)."""
    try:
        return hardware.find(text)
    except KeyError:
        raise unknown("hardware", where, hardware.PRESETS, text.split(",", maxsplit=1)[0]) from None
    except ValueError as error:
        field, _, rest = str(error).partition("expected ")
        expected, _, found = rest.partition("found ")
        at = f"{where} {field.rstrip(': ')}".rstrip()
        raise UsageError("hardware that cannot be", at, expected.rstrip(" ;,"), found) from None


def placement(text: str) -> dict[str, int]:
    """Read where contexts run: ``irq=0,thread=0,worker=1,submit=1``; what is left out stays.

    Examples
    --------
    >>> placement("worker=0")
    {'irq': 0, 'thread': 0, 'worker': 0, 'submit': 1}
    """
    made = {"irq": 0, "thread": 0, "worker": 1, "submit": 1}
    for pair in text.split(","):
        name, _, cpu = pair.partition("=")
        if name not in made:
            raise unknown("context", "--cpus", made, name)
        if not (cpu.isascii() and cpu.isdigit() and int(cpu) < 1024):
            raise UsageError("not a CPU", f"--cpus {name}", "0 to 1023", repr(cpu))
        made[name] = int(cpu)
    return made


def case(
    trace: str | Path = TRACE,
    *,
    client: str = CLIENT,
    scenario: str = SCENARIO,
    costs: str = COSTS,
    console: str | None = None,
    changes: Sequence[str] = (),
    cpi: float | None = None,
    clock: float | None = None,
    cpus: str = CPUS,
    pace: str | None = None,
    streams: str | Path | None = None,
    tbus: Sequence[str] = (),
    seed: int = 0,
) -> Case:
    """Make a case of what was asked for.

    Raises
    ------
    UsageError, TraceError
        Something that cannot be read, found or played on this trace.
    """
    from bench.blocks import Source  # noqa: PLC0415  (from here on: numba and Parquet)
    from bench.run import Case  # noqa: PLC0415
    from bench.scenario import parse  # noqa: PLC0415
    from traces.catalogue import find  # noqa: PLC0415
    from traces.reader import open_trace  # noqa: PLC0415

    # What is cheap to refuse first.
    played, where = parse(scenario), named("client", "--client", clients.CLIENTS, client)
    made = find_costs(Asked(costs, console, tuple(changes), cpi, clock))
    placed = placement(cpus)
    if pace is not None:
        _interval(pace)
    from bench.tbus import read_tbus  # noqa: PLC0415

    through = read_tbus(tbus)
    source = Source(open_trace(find(trace)))
    paced = interval(pace, source.trace.manifest.clock_is_real)
    table = None
    if streams is not None:
        from bench.streams import read_streams  # noqa: PLC0415

        table = read_streams(Path(streams), len(source.trace.manifest.spaces))
    return Case(source, where, played, made, paced, seed, placed, table, through)


def interval(pace: str | None, clock_is_real: bool) -> int | None:
    """Return ns from one access to the next, or None for the capture's own times.

    Raises
    ------
    UsageError
        A pace that cannot be read.
    """
    if pace is None:
        return None if clock_is_real else ASSUMED_PACE
    return _interval(pace)


def _interval(pace: str | None) -> int | None:
    return None if pace in (None, "captured") else positive_duration(str(pace), "--pace")
