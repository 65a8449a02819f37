"""The catalogue of policies: every row, in the order of the design."""

from __future__ import annotations

from smmucore.drivers import DRIVERS
from smmucore.mainline import MAINLINE
from smmucore.policy import Policy
from smmucore.proposals import PROPOSALS
from smmucore.smmuv3 import SMMUV3
from smmucore.steps import BY_MAPPED, BY_TERMINATE, Step, resume

#: By number, then what was only argued for, then ours, then SMMUv3's.
_ORDER = (
    *("P0", "P1", "P2", "P2b", "P3", "P4", "P4v", "P5", "P6", "P7", "P7w", "P8", "P9", "P10", "P11"),
    *("P12", "P13", "P14", "P15", "P16", "P17"),
    *("will-2021", "jordan-2021", "jordan-2021-masked", "jordan-2021-irq", "robin-rob-2021"),
    *("rob-2025", "reread-clear", "clear-all"),
    *("v3-iopf", "v3-terminate"),
)
_BY_ID = {policy.id: policy for policy in (*MAINLINE, *PROPOSALS, *DRIVERS, *SMMUV3)}
POLICIES = {key: _BY_ID[key] for key in _ORDER}


def find(name: str) -> Policy:
    """Return the policy with this id or name.

    Raises
    ------
    KeyError
        With the known ids and names, when there is none.

    Examples
    --------
    >>> find("threaded-resume").id
    'P8'
    """
    for policy in POLICIES.values():
        if name in (policy.id, policy.name):
            return policy
    known = ", ".join(f"{p.id} ({p.name})" for p in POLICIES.values())
    raise KeyError(f"policy: expected one of {known}; found {name!r}")


def mapped_resume(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return a resume sequence that retries what the pager has mapped instead of terminating."""
    wanted = resume(BY_TERMINATE)
    return tuple(resume(BY_MAPPED, when=step.when) if step.op == wanted.op else step for step in steps)
