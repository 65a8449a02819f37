"""The compiled explorer against the plain one: the same states in words of neither, the same properties."""

from __future__ import annotations

from typing import Any

import pytest

from bench.prove.properties import prove
from smmucore import explore as compiled
from smmucore import hardware, policies
from smmucore.clients import CLIENTS
from smmucore.explore import explore
from smmucore.explored import Explored, Question

from ..reference import explorer as plain
from ..reference.explorer_verdicts import broken, most
from .twin import cell, project, question

#: Policy, client, hardware, whether on one CPU, faults, banks, and perhaps whether the SMMU sleeps.
CELLS: list[tuple[Any, ...]] = [
    ("P8", "none", "mmu500", False, 2, 1, True),
    ("P8", "none", "thunderx-smmuv2", False, 2, 1, True),
    ("P9", "adreno-nodump", "mmu500", True, 1, 1, True),
    ("P11", "none", "thunderx-smmuv2", False, 2, 1, True),
    ("P11", "adreno-nodump", "ideal", True, 1, 1, True),
    ("P4", "adreno-nodump", "mmu500", False, 2, 1, True),
    ("v3-iopf", "none", "gem5-smmuv3", False, 2, 1, True),
    ("P0", "adreno-nodump", "mmu500", False, 2, 1),
    ("P0", "einval", "mmu500", False, 2, 1),
    ("P1", "none", "mmu500", False, 3, 1),
    ("P1", "none", "thunderx-smmuv2", False, 3, 1),
    ("P2", "none", "mmu500", False, 2, 1),
    ("P2b", "none", "ideal", False, 3, 1),
    ("P3", "einval", "qcom-smmu-v2", False, 2, 1),
    ("P3", "adreno-worker", "ideal", True, 2, 1),
    ("P4", "adreno-nodump", "ideal", False, 3, 1),
    ("P4", "adreno-worker", "mmu500", True, 2, 1),
    ("P4", "adreno-worker", "mmu500", False, 1, 1),
    ("P6", "adreno-worker", "mmu500", False, 1, 1),
    ("P6", "adreno-nodump", "held-until-resume", False, 2, 1),
    ("P7", "adreno-worker", "mmu500", False, 2, 1),
    ("P7", "adreno-nodump", "mmu500,shared_line=yes", False, 2, 2),
    ("P7w", "none", "mmu500,fsr_frozen_while_stalled=no", False, 2, 1),
    ("P8", "none", "mmu500", False, 3, 1),
    ("P8", "none", "mmu500,fsr_frozen_while_stalled=no", False, 2, 1),
    ("P8", "none", "mmu500,shared_line=yes", False, 2, 2),
    ("P8", "kgsl", "mmu500", False, 1, 1),
    ("P8", "pager", "mmu500", False, 2, 1),
    ("P9", "adreno-nodump", "mmu500", False, 1, 1),
    ("P9", "adreno-inline", "ideal", True, 1, 1),
    ("P11", "none", "qcom-smmu-v2", False, 2, 1),
    ("P12", "none", "mmu500", False, 2, 1),
    ("P13", "adreno-worker", "mmu500", False, 1, 1),
    ("P14", "none", "mmu500,sync_waits_for_stall=no", False, 2, 1),
    ("P14", "pager", "qcom-smmu-v2,sync_waits_for_stall=no", True, 1, 1),
    ("P15", "none", "mmu500", False, 2, 2),
    ("P16", "pager", "mmu500", False, 1, 1),
    ("P16", "adreno-nodump", "ideal", False, 1, 1),
    ("P17", "einval", "mmu500", False, 2, 1),
    ("jordan-2021-masked", "adreno-worker", "mmu500", False, 1, 1),
    ("jordan-2021-irq", "adreno-worker", "mmu500", False, 1, 1),
    ("rob-2025", "adreno-nodump", "mmu500", False, 2, 1),
    ("clear-all", "none", "thunderx-smmuv2", False, 2, 1),
    ("v3-terminate", "none", "gem5-smmuv3,events=1", False, 3, 1),
    ("v3-iopf", "none", "gem5-smmuv3", False, 2, 1),
    ("v3-iopf", "pager", "gem5-smmuv3,events=1", True, 2, 1),
    ("v3-iopf", "adreno-nodump", "agilex5-mmu600,stall_max=1", False, 2, 1),
]


def unreduced(asked: Question) -> Explored:
    """The exploration with every copy in its states and one effect a move, as the plain one has it."""
    made = EXPLORED(asked)
    made.live[:] = -1
    made.local[:] = 0
    made.bounds.single = True
    return made


EXPLORED = compiled.explored


def compare(asked: Question, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "explored", unreduced)
    ours, theirs = prove(explore(asked)), plain.explore(cell(asked))
    assert {project(ours.graph, s) for s in range(ours.graph.states)} == set(theirs.shown)
    assert set(ours.broken) == broken(theirs)
    assert ours.entries == most(theirs, "entered")
    assert ours.spurious == most(theirs, "spurious")


@pytest.mark.parametrize("named", CELLS, ids=lambda c: "-".join(map(str, c)))
def test_both_explorers_find_the_same(named: tuple[Any, ...],
                                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    compare(question(*named), monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("chip", ["mmu500", "ideal"])
@pytest.mark.parametrize("policy", [p.id for p in policies.POLICIES.values() if p.only_where != "events"])
def test_both_explorers_find_the_same_with_one_fault_everywhere(
    policy: str, chip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not policies.find(policy).is_about(hardware.find(chip)):
        pytest.skip(f"{policy} is not about {chip}")
    for client in ("none", "adreno-nodump", "adreno-worker", "kgsl", "pager"):
        for same in (False, True):
            asked = question(policy, client, chip, same, 1)
            if explore(asked).states < 500:
                compare(asked, monkeypatch)


@pytest.mark.parametrize("chip", ["mmu500", "qcom-smmu-v2", "ideal", "gem5-smmuv3"])
def test_the_reductions_change_no_property_and_no_bound(chip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    preset = hardware.find(chip)
    cells = [
        Question(policy, CLIENTS[client], preset, same, 2)
        for policy in policies.POLICIES.values()
        if policy.is_about(preset)
        for client in ("none", "adreno-nodump", "adreno-worker", "adreno-inline", "kgsl", "pager")
        for same in (False, True)
    ]

    def said(asked: Question) -> object:
        proof = prove(explore(asked))
        return list(proof.broken), proof.entries, proof.spurious, proof.disables, proof.may_disable

    reduced = [said(asked) for asked in cells]
    monkeypatch.setattr(compiled, "explored", unreduced)
    assert [said(asked) for asked in cells] == reduced
