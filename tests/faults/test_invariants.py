"""Whatever the order of steps, no fault and no transaction is lost from the count."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smmucore import clients, costs, hardware, policies
from smmucore.counters import NAMES
from smmucore.histogram import FROM_ISSUE
from smmucore.invariants import InvariantError, check
from smmucore.policy import FAULT_OR_SS, Policy
from smmucore.simulate import Lane, Premapped, Requester, Setup, simulate
from smmucore.spaces import linux
from smmucore.steps import (
    BY_RETRY,
    BY_TERMINATE,
    IF_SS,
    Step,
    capture,
    cfie,
    done,
    log,
    read,
    report,
    resume,
    wake,
    write_fsr,
)

MENU: tuple[Step, ...] = (
    read("FSR"),
    read("FAR"),
    read("FSYNR0"),
    report(),
    log(1),
    write_fsr(),
    write_fsr("all"),
    resume(BY_TERMINATE, when=IF_SS),
    resume(BY_TERMINATE),
    resume(BY_RETRY, when=IF_SS),
    wake(),
    capture(),
    *cfie(on=False),
    *cfie(on=True),
)

orders = st.lists(st.sampled_from(MENU), max_size=8)


@st.composite
def made_up(draw: st.DrawFn) -> Policy:
    """A handler of any steps in any order."""
    template = policies.find(draw(st.sampled_from(sorted(policies.POLICIES))))
    return replace(
        template,
        id="X",
        context=draw(st.sampled_from(["hard", "threaded"])),
        cfcfg=draw(st.booleans()),
        hupcf=draw(st.booleans()),
        handler=(read("FSR"), FAULT_OR_SS, report(), *draw(orders), done()),
        client_resume=tuple(draw(orders)),
    )


@settings(max_examples=300, deadline=None)
@given(
    policy=made_up(),
    client=st.sampled_from(sorted(clients.CLIENTS)),
    preset=st.sampled_from(sorted(hardware.PRESETS)),
    frozen=st.booleans(),
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=3),
    gap=st.sampled_from([0, 10, 500, 5_000, 100_000]),
    shared=st.booleans(),
)
def test_every_fault_and_every_transaction_is_accounted_for(
    policy: Policy, client: str, preset: str, frozen: bool, counts: list[int], gap: int, shared: bool
) -> None:
    banks = len(counts)
    setup = Setup(
        policy,
        replace(clients.find(client), build=clients.find(client).build),
        replace(hardware.find(preset), fsr_frozen_while_stalled=frozen),
        costs.profile().with_values({"capture": 10_000}),
        [Requester(b, b) for b in range(banks)],
        linux(48) * banks,
        {"irq": 0, "thread": 0, "worker": 0 if shared else 1},
        [Lane(requester=b, count=n, gap=gap, iova=1 << 40) for b, n in enumerate(counts)]
        + [Lane(requester=0, count=50, gap=300, iova=0, modulo=4)],
        [Premapped(0, 0, 16384, 1 << 30, 1)],
        livelock_limit=200,
        retry_limit=20,
    )
    outcome = simulate(setup, [])  # checks the invariants of the counters itself
    c = outcome.counters
    records = [int((outcome.faults.record == k).sum()) for k in range(4)]
    assert records == [c["faults_" + name] for name in ("pending", "recorded", "coalesced", "lost")]
    ended = int(outcome.histogram[:, FROM_ISSUE].sum())
    assert ended == c["completed"] + c["terminated"]
    assert c["accesses"] == ended + c["transactions_pending"]
    assert c["resume_ignored"] + c["retried"] <= c["resume_written"]


def test_a_count_that_does_not_add_up_is_a_defect_and_stops_the_run() -> None:
    good = dict.fromkeys(NAMES, 0)
    check(good)
    for name in ("walks", "faults_recorded", "completed"):
        with pytest.raises(InvariantError, match=name):
            check({**good, name: 1})
