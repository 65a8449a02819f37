"""One cell through the compiled explorer and through the plain one, in the same words."""

from __future__ import annotations

from typing import Any

from smmucore import clients, costs, hardware, policies
from smmucore.contexts import DELIVERY, PENDED, SPIN
from smmucore.explore import UNPACK, Graph, serve
from smmucore.explored import Question
from smmucore.liveness import needs_far
from smmucore.program import program
from smmucore.registers import FSR_FAULT, FSR_SS, SCTLR_CFCFG, SCTLR_CFIE

from ..reference import explorer as plain

NAMES = [
    "stalls",
    "second_fault",
    "resume_needs_fsr_clear",
    "ss_asserts_irq",
    "irq_held_until_resume",
    "fsr_frozen_while_stalled",
    "sync_waits_for_stall",
    "shared_line",
    "events",
    "stall_max",
]


def question(
    policy: str, client: str, preset: str, same_cpu: bool, faults: int, banks: int = 1, sleeps: bool = False
) -> Question:
    return Question(
        policies.find(policy), clients.find(client), hardware.find(preset), same_cpu, faults, banks, sleeps
    )


def cell(asked: Question) -> plain.Cell:
    hw = asked.hardware
    slots = asked.faults + 1
    return plain.Cell(
        asked.policy.id,
        asked.client.name,
        {
            **{name: getattr(hw, name) for name in NAMES},
            **{"tbus": 1, "slots": slots, "walk_slots": slots, "fifo_depth": 1, "accept": 1},
            **dict.fromkeys(("utlb", "tlb", "walk_cache"), (1, 1)),
        },
        asked.same_cpu,
        asked.faults,
        dict.fromkeys(costs.NAMES, 0),
        pages=asked.client.pages,
        by_address=needs_far(program(asked.policy, asked.client).steps),
        banks=asked.banks,
        sleeps=asked.sleeps,
    )


def project(graph: Graph, state: int) -> Any:
    """Say of a state what `Walk.project` says."""
    ex = graph.machine
    serve(ex, UNPACK, state)
    host, clock = ex.sim.host, ex.sim.clock
    banks = tuple(
        (
            int(bank.fsr) & (FSR_FAULT | FSR_SS),
            bool(bank.sctlr & SCTLR_CFIE),
            bool(bank.sctlr & SCTLR_CFCFG) and bool(host.hw.stalls),
            tuple(
                ex.sim.slots[fifo[(bank.fifo_at + k) % len(fifo)]].fault != 0 for k in range(bank.fifo_len)
            ),
            bool(bank.record != 0 and bank.seen == bank.record),
        )
        for bank, fifo in zip(host.banks, ex.sim.fifos, strict=True)
    )
    lines = 1 if host.hw.shared_line else len(host.lines)
    hard = range(lines)
    contexts = [c for c in range(len(host.contexts)) if c >= len(host.banks) or c in hard]
    return (
        int(ex.progress.left),
        banks,
        int(clock.arrivals),
        tuple((bool(host.lines[n].masked), host.contexts[n].state == DELIVERY) for n in hard),
        tuple(bool(host.contexts[c].runnable) for c in contexts),
        tuple(bool(host.contexts[c].irqs_off) for c in contexts),
        frozenset((int(ctx.kind), c % len(host.banks)) for c, ctx in enumerate(host.contexts) if ctx.on_cpu),
        bool(host.client.dumped),
        int(host.client.capturing),
        bool(clock.last_end < 0 and clock.last_put < 0),
        tuple(int(host.queue[name]) for name in ("length", "held", "stalled", "jobs"))
        if host.hw.events
        else None,
    )


__all__ = ["PENDED", "SPIN", "cell", "project", "question"]
