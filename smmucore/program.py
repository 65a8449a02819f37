"""A policy and a client, joined into the flat records that the dispatcher interprets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from smmucore.clients import Client
from smmucore.policy import Policy
from smmucore.records import STEP, rows
from smmucore.registers import SCTLR_AFE, SCTLR_CFCFG, SCTLR_CFIE, SCTLR_CFRE, SCTLR_HUPCF, SCTLR_M, SCTLR_TRE
from smmucore.steps import REPORT, Step, done

NOWHERE = -1


class Program(NamedTuple):
    """Steps as the kernels see them: STEP records, and where the handler and the worker begin."""

    steps: Any
    handler: int
    worker: int


@dataclass(frozen=True)
class Listing:
    """The same steps for people: the handler's (client included) and the worker's."""

    handler: tuple[Step, ...]
    worker: tuple[Step, ...]


def listing(policy: Policy, client: Client) -> Listing:
    """Put the client's inline steps behind REPORT, and end both parts with a RETURN."""
    inline, worker = client.build(policy)
    handler = _with_client(policy.handler, inline)
    if policy.work:
        worker = _with_client(policy.work, inline)
    elif not any(step.op == REPORT for step in policy.handler):
        worker = ()  # nobody is told
    return Listing(handler, (*worker, done()) if worker else ())


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
    return int(client.dumps) << 16 | dumping << 8 | plain


def program(policy: Policy, client: Client) -> Program:
    """Flatten `policy` with `client` into records."""
    parts = listing(policy, client)
    steps = (*parts.handler, *parts.worker)
    flat = rows(STEP, len(steps))
    for row, step in zip(flat, steps, strict=True):
        row.op = step.op
        row.arg = report_argument(policy, client) if step.op == REPORT else step.arg
        row.when = step.when
    return Program(flat, 0, len(parts.handler) if parts.worker else NOWHERE)


def sctlr(policy: Policy, second_fault: str = "terminate") -> int:
    """Return the SCTLR value the policy's driver programs, on a part with this `second_fault`."""
    value = SCTLR_M | SCTLR_TRE | SCTLR_AFE | SCTLR_CFRE | SCTLR_CFIE
    if policy.cfcfg and policy.stalls_where in ("", second_fault):
        value |= SCTLR_CFCFG
    if policy.hupcf:
        value |= SCTLR_HUPCF
    return value
