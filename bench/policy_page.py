"""The catalogue of policies as a page of the documentation: what `policies list` and `show` print."""

from __future__ import annotations

from collections.abc import Sequence

from bench.commands.policies import about, context_words
from smmucore.clients import CLIENTS
from smmucore.policies import POLICIES
from smmucore.policy import Policy
from smmucore.program import listing

#: The client of `policies show`, unless another is asked for.
CLIENT = "adreno-worker"


def policy_page() -> str:
    """Return the page: a table of all, then each with its source and its steps."""
    lines = [
        "# Every policy\n",
        "What `smmubench policies list` and `show` print. The steps are those with the client",
        f"`{CLIENT}`; with another, its own stand in their place (`show NAME --client CLIENT`).",
        "`policies diff A B` puts two beside one another. Your own: [policies.md](policies.md).\n",
        "| policy | name | kernel | runs in the | its point |",
        "| --- | --- | --- | --- | --- |",
    ]
    for policy in POLICIES.values():
        name = f"[{policy.id}](#{policy.id.lower()})"
        lines.append(f"| {name} | {policy.name} | {policy.kernel} | {context_words(policy)} | {policy.why} |")
    for policy in POLICIES.values():
        lines += ["", *_section(policy)]
    return "\n".join([*lines, ""])


def _section(policy: Policy) -> list[str]:
    told = [f"* {what}: {text}" for what, text in about(policy) if what != "policy"]
    parts = listing(policy, CLIENTS[CLIENT])
    return [
        f"## {policy.id}",
        "",
        f"`{policy.name}`",
        "",
        *told,
        *_steps("handler", parts.handler),
        *_steps("worker", parts.worker),
        *_steps("submit", parts.submit),
    ]


def _steps(title: str, steps: Sequence[object]) -> list[str]:
    if not steps:
        return []
    return ["", f"    {title}", *(f"    {number:4}  {step}" for number, step in enumerate(steps, 1))]
