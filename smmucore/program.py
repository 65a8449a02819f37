"""A policy and a client, joined into the flat records that the dispatcher interprets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from smmucore.clients import Client
from smmucore.policy import STALL_AT_SUBMIT, Policy
from smmucore.records import STEP, rows
from smmucore.registers import SCTLR_AFE, SCTLR_CFCFG, SCTLR_CFIE, SCTLR_CFRE, SCTLR_HUPCF, SCTLR_M, SCTLR_TRE
from smmucore.steps import IF_NOT_DUMPED, READ_OTHER, REPORT, REPORT_DUMPS, REPORT_NEEDS_SS, Step, done

NOWHERE = -1


class Program(NamedTuple):
    """Steps as the kernels see them: STEP records, and where each part begins, or NOWHERE."""

    steps: Any
    handler: int
    worker: int
    submit: int


@dataclass(frozen=True)
class Listing:
    """The same steps for people: the handler's (client included), the worker's and the submit's."""

    handler: tuple[Step, ...]
    worker: tuple[Step, ...]
    submit: tuple[Step, ...] = ()


def listing(policy: Policy, client: Client) -> Listing:
    """Put the client's inline steps behind REPORT, and end both parts with a RETURN."""
    inline, worker = client.build(policy)
    handler = _with_client(policy.handler, inline)
    if policy.work:
        worker = _with_client(policy.work, inline)
    elif not any(step.op == REPORT for step in policy.handler):
        worker = ()  # nobody is told
    submit = policy.submit or (STALL_AT_SUBMIT if client.cools else ())
    return Listing(handler, (*worker, done()) if worker else (), (*submit, done()) if submit else ())


def _with_client(steps: tuple[Step, ...], inline: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return `steps` with the client's behind REPORT."""
    made: list[Step] = []
    for step in steps:
        made.append(step)
        if step.op == REPORT:
            made.extend(inline)
    return tuple(made)


def report_argument(policy: Policy, client: Client) -> int:
    """Return REPORT's argument: the code returned, the code when it dumps, whether it may dump.

    A client that leaves the resume to its worker returns what the policy wants for that.
    """
    deferred = policy.defers_with if policy.defers else client.returns
    _, worker = client.build(policy)
    plain = deferred if worker and client.pages else client.returns
    dumping = deferred if worker else client.returns
    if client.never_else:
        plain = dumping = client.returns
    flags = REPORT_DUMPS if client.dumps else 0
    flags |= REPORT_NEEDS_SS if policy.dump_needs_ss or client.cools else 0
    return flags | dumping << 8 | plain


@lru_cache(maxsize=256)
def program(policy: Policy, client: Client) -> Program:
    """Flatten `policy` with `client` into records, which are read-only."""
    parts = listing(policy, client)
    steps = (*parts.handler, *parts.worker, *parts.submit)
    flat = rows(STEP, len(steps))
    for row, step in zip(flat, steps, strict=True):
        row.op = step.op
        row.arg = report_argument(policy, client) if step.op == REPORT else step.arg
        row.when = step.when
    for k in range(len(steps) - 2, -1, -1):
        # A dump may come to exist between two reads.
        if steps[k].op == READ_OTHER and steps[k].when & IF_NOT_DUMPED == 0:
            if steps[k + 1].op == READ_OTHER and steps[k + 1].when == steps[k].when:
                flat[k].more = flat[k + 1].more + 1
    flat.flags.writeable = False
    return Program(
        flat,
        0,
        len(parts.handler) if parts.worker else NOWHERE,
        len(parts.handler) + len(parts.worker) if parts.submit else NOWHERE,
    )


def sctlr(policy: Policy, second_fault: str = "terminate") -> int:
    """Return the SCTLR value the policy's driver programs, on a part with this `second_fault`."""
    value = SCTLR_M | SCTLR_TRE | SCTLR_AFE | SCTLR_CFRE | SCTLR_CFIE
    if policy.cfcfg and policy.stalls_where in ("", second_fault):
        value |= SCTLR_CFCFG
    if policy.hupcf:
        value |= SCTLR_HUPCF
    return value
