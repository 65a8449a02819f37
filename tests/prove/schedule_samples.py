"""Schedules to show, and the command that shows them run in this process."""

import json
from functools import cache

import pytest

from bench.cli import run
from bench.prove import cells, schedules
from smmucore import clients, hardware, policies
from smmucore.explored import Question

#: policy, client, hardware, same CPU, faults, banks, sleeps, property
P4_LIVELOCK = ("P4", "adreno-worker", "mmu500", True, 2, 1, False, "livelock")
P4_STRAY = ("P4", "adreno-worker", "mmu500", False, 2, 1, False, "stray")
P3_STRAY = ("P3", "adreno-worker", "mmu500", False, 3, 1, False, "stray")
ROB_LOST = ("rob-2025", "adreno-worker", "mmu500", False, 3, 1, False, "lost")
P14_RETRY = ("P14", "none", "mmu500", False, 2, 1, False, "retry")
P6_UNREPAIRED = ("P6", "adreno-worker", "mmu500", False, 2, 1, False, "unrepaired")
P5_FOLDED = ("P5", "adreno-nodump", "ideal", False, 2, 1, False, "folded")
P2B_HANG = ("P2b", "none", "ideal", False, 3, 1, False, "hang")
P11_SLEEPS = ("P11", "adreno-cooldown", "mmu500", False, 3, 1, True, "lost")
P7_SHARED = ("P7", "pager", "mmu500,shared_line=yes", False, 2, 2, False, "lost")
V3_LOST = ("v3-iopf", "pager", "gem5-smmuv3,events=1,stall_max=1", False, 3, 1, False, "lost")
P7_CRASH = ("P7", "adreno-worker", "mmu500", False, 2, 1, True, "crash")
P9_STALE = ("P9", "adreno-cooldown", "mmu500", True, 3, 1, False, "stale")
QCOM_LOST = ("P8", "adreno-inline", "qcom-smmu-v2", False, 2, 1, False, "lost")
CELLS = [
    P4_LIVELOCK, P4_STRAY, P3_STRAY, ROB_LOST, P14_RETRY, P6_UNREPAIRED, P5_FOLDED, P2B_HANG, P11_SLEEPS,
    P7_SHARED, V3_LOST, P7_CRASH, P9_STALE, QCOM_LOST,
]  # fmt: skip
each_cell = pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell[0]}-{cell[7]}")


@cache
def schedule_of(cell):
    policy, client, chip, same, faults, banks, sleeps, name = cell
    asked = Question(
        policies.find(policy), clients.find(client), hardware.find(chip), same, faults, banks, sleeps
    )
    return schedules.schedule_of(cells.prove_one(asked), name)


def as_json(capsys, *arguments):
    status = run([*arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


def shown(capsys, *arguments):
    status = run(list(arguments))
    held = capsys.readouterr()
    return status, held.out, held.err
