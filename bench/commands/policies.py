"""`smmubench policies`."""

from __future__ import annotations

import click

from bench import ask, options
from bench.output import print_json, print_pairs, print_table
from smmucore.clients import CLIENTS, Client
from smmucore.policies import POLICIES
from smmucore.policy import Policy
from smmucore.program import listing, sctlr
from smmucore.steps import Step


@click.group()
def policies() -> None:
    """List and show the ways of handling a context fault."""


@policies.command("list")
@options.as_json
def list_them(as_json: bool) -> None:
    """List every policy: where it ran, and its point."""
    if as_json:
        fields = ("id", "name", "kernel", "source", "why", "context")
        print_json({"policies": [{f: getattr(p, f) for f in fields} for p in POLICIES.values()]})
        return
    print_table(("id", "name", "kernel", "why"), [(p.id, p.name, p.kernel, p.why) for p in POLICIES.values()])


@policies.command()
@click.argument("name")
@click.option("--client", default=ask.CLIENT, show_default=True, metavar="C", help="Whose steps to put in.")
@options.as_json
def show(name: str, client: str, as_json: bool) -> None:
    """Show a policy's steps as compiled for a client."""
    policy, caller = ask.policy(name, "policies show"), ask.named("client", "--client", CLIENTS, client)
    if as_json:
        print_json(_as_data(policy, caller))
        return
    print_pairs(
        [
            ("policy", f"{policy.id} {policy.name}"),
            ("why", policy.why),
            ("kernel", policy.kernel),
            ("source", policy.source),
            ("client", f"{caller.name}: {caller.title}"),
            ("SCTLR", f"{sctlr(policy):#06x}: {_sctlr_words(policy)}"),
        ]
    )
    parts = listing(policy, caller)
    where = "hard interrupt" if policy.context == "hard" else "ONESHOT thread"
    _steps(f"handler, in the {where}", parts.handler)
    if parts.worker:
        _steps("worker, when the handler has woken it", parts.worker)


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
        "handler": [str(step) for step in parts.handler],
        "worker": [str(step) for step in parts.worker],
    }
