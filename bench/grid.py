"""A comparison: the cells of policy x hardware, run in threads, and what it is all made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from bench.errors import UsageError
from bench.profiles import distribution
from bench.run import Case, Row, Runner
from bench.units import exact_ns
from smmucore.hardware import PRESETS, Hardware
from smmucore.policies import POLICIES
from smmucore.policy import Policy

if TYPE_CHECKING:
    from bench.policy_files import UserPolicy

T = TypeVar("T")

#: What `--pace` means where the clock of the trace is not real.
PACE_RANGE = "assumption, range 1ns to 100ns"


@dataclass(frozen=True)
class Result:
    """The rows of a comparison, and the manifest that says what they are."""

    manifest: dict[str, Any]
    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"manifest": self.manifest, "rows": [row.to_json() for row in self.rows]}


def compare(
    case: Case,
    policies: Sequence[Policy],
    hardware: Sequence[Hardware],
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
    own: Sequence[UserPolicy] = (),
) -> Result:
    """Run every policy on every hardware.

    Parameters
    ----------
    case : Case
    policies, hardware : sequence
        Each once; the rows come in the catalogues' order, hardware first, users' policies last.
        There is none of a policy that is not about that hardware (P4v, an SMMUv3's).
    threads : int
        The rows do not depend on it.
    progress : callable, optional
        Called with (cells done, cells) from this thread.
    own : sequence of UserPolicy
        Where users' own policies among `policies` are from.
    """
    runner = Runner(case)
    chips = sorted(dict.fromkeys(hardware_names(hardware)), key=_place)
    by_id = {policy.id: policy for policy in policies}
    ids = sorted(by_id, key=_rank)
    by_name = {preset.name: preset for preset in hardware}
    cells = [(by_id[p], by_name[h]) for h in chips for p in ids if by_id[p].is_about(by_name[h])]
    if not cells:
        expected = "hardware that they are about (`policies show` says which)"
        raise UsageError("nothing to run", f"policy {', '.join(ids)}", expected, ", ".join(chips))
    rows = in_threads([partial(runner.run, *cell) for cell in cells], threads, progress)
    users = [user for user in own if user.policy.id in by_id]
    return Result(describe(case, runner, ids, chips, users), tuple(rows))


def in_threads(
    tasks: Sequence[Callable[[], T]], threads: int, progress: Callable[[int, int], None] | None = None
) -> list[T]:
    """Run tasks in threads and return what they return, in order; `progress` gets (done, all)."""
    # Not in this thread: a signal then finds it waiting, and not in a kernel.
    pool = ThreadPoolExecutor(max_workers=threads)
    made: dict[int, T] = {}
    try:
        futures = {pool.submit(task): k for k, task in enumerate(tasks)}
        for future in as_completed(futures):
            made[futures[future]] = future.result()
            if progress is not None:
                progress(len(made), len(tasks))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return [made[k] for k in range(len(tasks))]


def _rank(policy: str) -> tuple[int, str]:
    """Order policies as the catalogue has them; users' own follow, by id."""
    known = list(POLICIES)
    return (known.index(policy) if policy in POLICIES else len(known), policy)


def _place(name: str) -> int:
    """Order hardware as the catalogue has its presets; changed ones stay in the order given."""
    return list(PRESETS).index(name.split(",", maxsplit=1)[0])


def hardware_names(hardware: Sequence[Hardware]) -> list[str]:
    """Return the presets' names."""
    return [preset.name for preset in hardware]


def describe(
    case: Case,
    runner: Runner,
    policies: Sequence[str],
    hardware: Sequence[str],
    own: Sequence[UserPolicy] = (),
) -> dict[str, Any]:
    """Return the manifest of a result: the trace's own, how it was replayed, and users' policies whole.

    It holds no path, time of day or machine, so that equal runs give equal bytes.
    """
    from importlib.metadata import version  # noqa: PLC0415  (slow, and rarely needed)

    from smmucore.kernel import source_hash  # noqa: PLC0415  (it imports numba)

    trace = case.source.trace
    profile = case.costs
    drawn = {name: distribution(how) for name, how in profile.drawn.items()}
    return {
        "trace": trace.manifest.name,
        "kind": trace.manifest.kind,
        "sha256": trace.sha256,
        "policies": list(policies),
        **_own(own),
        "hardware": list(hardware),
        "client": case.client.name,
        "scenario": case.scenario.text,
        "scenario_notes": list(runner.injection.notes),
        "costs": profile.name,
        "cost_ns": {name: cost.ns for name, cost in profile.costs.items()},
        "cost_is": {name: cost.tag for name, cost in profile.costs.items()},
        "costs_set": {name: cost.ns for name, cost in profile.changed.items()},
        **({"cost_sources": {n: c.source for n, c in profile.changed.items()}} if profile.changed else {}),
        **({"costs_drawn": drawn} if drawn else {}),
        "cpu": {name: getattr(profile.cpu, name) for name in ("name", "ghz", "cpi", "ghz_is", "cpi_is")},
        "console": profile.console,
        "cpus": dict(case.cpus),
        "pace": "captured" if case.pace is None else exact_ns(case.pace),
        "pace_is": "times of the capture" if case.pace is None else PACE_RANGE,
        "seed": case.seed,
        **({} if case.streams is None else {"streams": asdict(case.streams)}),
        **({"tbus": dict(case.tbus)} if case.tbus else {}),
        "smmubench": version("smmubench"),
        "kernels": source_hash(),
        "trace_manifest": trace.manifest.model_dump(exclude_none=True),
    }


def _own(users: Sequence[UserPolicy]) -> dict[str, Any]:
    if not users:
        return {}
    from bench.policy_files import as_manifest  # noqa: PLC0415

    return {"own_policies": as_manifest(users)}
