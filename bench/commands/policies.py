"""`smmubench policies`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bench import ask, options
from bench.commands.prove import prove, search
from bench.output import console, print_json, print_pairs, print_table
from bench.policy_diff import Pair, align, lay_out
from smmucore.clients import CLIENTS, Client
from smmucore.policy import Policy
from smmucore.program import listing, sctlr
from smmucore.steps import Step


@click.group()
def policies() -> None:
    """List, show and compare the ways of handling a context fault."""


policies.add_command(prove)
policies.add_command(search)

_CLIENT = click.option(
    "--client", default=ask.CLIENT, show_default=True, metavar="C", help="Whose steps to put in."
)


@policies.command("list")
@options.policy_files
@options.as_json
def list_them(policy_files: tuple[Path, ...], as_json: bool) -> None:
    """List every policy: where it ran, in which context, what it sets in SCTLR, and its point."""
    every = ask.chosen((), ask.users(policy_files))
    if as_json:
        fields = ("id", "name", "kernel", "source", "why", "context", "cfcfg", "hupcf")
        print_json({"policies": [{f: getattr(p, f) for f in fields} for p in every]})
        return
    policy, profile = "policy, and where it ran", "CFCFG HUPCF"
    print_table(
        (policy, "runs", profile, "why"),
        [(f"{p.id} {p.name}\n  {p.kernel}", p.context, f"{p.cfcfg:d}     {p.hupcf:d}", p.why) for p in every],
        whole=0,
        widest={policy: 33},
    )


@policies.command()
@click.argument("name")
@_CLIENT
@options.policy_files
@options.as_json
def show(name: str, client: str, policy_files: tuple[Path, ...], as_json: bool) -> None:
    """Show a policy's steps as compiled for a client."""
    policy = ask.policy(name, "policies show", ask.users(policy_files))
    caller = ask.named("client", "--client", CLIENTS, client)
    if as_json:
        print_json(_as_data(policy, caller))
        return
    print_pairs([*about(policy), _client(caller)])
    parts = listing(policy, caller)
    _steps(f"handler, in the {context_words(policy)}", parts.handler)
    if parts.worker:
        _steps(_WORKER, parts.worker)
    if parts.submit:
        _steps(_SUBMIT, parts.submit)


@policies.command()
@click.argument("first")
@click.argument("second")
@_CLIENT
@options.policy_files
@options.as_json
def diff(first: str, second: str, client: str, policy_files: tuple[Path, ...], as_json: bool) -> None:
    """Show two policies side by side: - only FIRST's, + only SECOND's, | changed; the rest is common."""
    own = ask.users(policy_files)
    one, other = (ask.policy(name, "policies diff", own) for name in (first, second))
    caller = ask.named("client", "--client", CLIENTS, client)
    parts = listing(one, caller), listing(other, caller)
    handler = align(parts[0].handler, parts[1].handler)
    worker = align(parts[0].worker, parts[1].worker)
    submit = align(parts[0].submit, parts[1].submit)
    if as_json:
        print_json(
            {
                "client": caller.name,
                "first": _as_data(one, caller),
                "second": _as_data(other, caller),
                "handler": [pair.to_json() for pair in handler],
                "worker": [pair.to_json() for pair in worker],
                "submit": [pair.to_json() for pair in submit],
            }
        )
        return
    _heads(one, other, caller)
    _side_by_side("handler", handler, (one, other))
    if worker:
        _side_by_side(_WORKER, worker, (one, other))
    if submit:
        _side_by_side(_SUBMIT, submit, (one, other))


_WORKER = "worker, when the handler has woken it"
_SUBMIT = "submit, at the first frame at which stall may come back"


def _heads(one: Policy, other: Policy, caller: Client) -> None:
    """Print what stands above the steps; what both have, once."""
    rows: list[tuple[str, str]] = []
    for (what, left), (_, right) in zip(about(one), about(other), strict=True):
        if left == right:
            rows.append((f"  {what}", left))
            continue
        rows += [(f"- {what}", left), (f"+ {what}", right)]
    title, text = _client(caller)
    print_pairs([*rows, (f"  {title}", text)])


def about(policy: Policy) -> list[tuple[str, str]]:
    """Return what stands above a policy's steps."""
    return [
        ("policy", f"{policy.id} {policy.name}"),
        ("why", policy.why),
        ("kernel", policy.kernel),
        ("source", policy.source),
        ("SCTLR", f"{sctlr(policy):#06x}: {_sctlr_words(policy)}"),
        (
            "stalls",
            f"on {_where(policy.stalls_where or policy.only_where)}" if policy.cfcfg else "on no hardware",
        ),
        ("is about", _where(policy.only_where)),
        ("runs in the", context_words(policy)),
    ]


def _client(caller: Client) -> tuple[str, str]:
    return "client", f"{caller.name}: {caller.title}"


def _side_by_side(title: str, pairs: Sequence[Pair], both: tuple[Policy, Policy]) -> None:
    click.echo(f"\n{title}:")
    for line in lay_out(pairs, console().width, (both[0].id, both[1].id)):
        click.echo(line)


def _where(second_fault: str) -> str:
    if second_fault == "events":
        return "hardware with an event queue (SMMUv3)"
    return f"hardware of second_fault={second_fault} alone" if second_fault else "any hardware but SMMUv3"


def context_words(policy: Policy) -> str:
    """Return where a policy's handler runs."""
    return "hard interrupt" if policy.context == "hard" else "ONESHOT thread"


def _steps(title: str, steps: tuple[Step, ...]) -> None:
    click.echo(f"\n{title}:")
    for number, step in enumerate(steps, 1):
        click.echo(f"{number:4}  {step}")


def _sctlr_words(policy: Policy) -> str:
    stall = "faults stall (CFCFG=1)" if policy.cfcfg else "faults terminate (CFCFG=0)"
    others = "others go on (HUPCF=1)" if policy.hupcf else "others wait for the fault (HUPCF=0)"
    return f"{stall}, {others}, CFIE and CFRE set"


def _as_data(policy: Policy, client: Client) -> dict[str, object]:
    parts = listing(policy, client)
    return {
        "id": policy.id,
        "name": policy.name,
        "kernel": policy.kernel,
        "source": policy.source,
        "why": policy.why,
        "context": policy.context,
        "client": client.name,
        "sctlr": sctlr(policy),
        "cfcfg": policy.cfcfg,
        "hupcf": policy.hupcf,
        "stalls_where": policy.stalls_where,
        "only_where": policy.only_where,
        "handler": [str(step) for step in parts.handler],
        "worker": [str(step) for step in parts.worker],
        "submit": [str(step) for step in parts.submit],
    }
