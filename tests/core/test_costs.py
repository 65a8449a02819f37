"""Costs, hardware, policies and clients: every figure has a range and a source, every pair a program."""

from __future__ import annotations

import itertools

import pytest

from smmucore.clients import CLIENTS
from smmucore.consoles import LINE_CHARACTERS, RING_EXTRA, SERIAL_EXTRA
from smmucore.costs import CONSOLES, CPUS, INSTRUCTIONS, NAMES, profile
from smmucore.hardware import PRESETS, rule_fields
from smmucore.policies import POLICIES
from smmucore.program import NOWHERE, listing, program, sctlr
from smmucore.registers import SCTLR_CFCFG, SCTLR_HUPCF
from smmucore.steps import QUEUE_EVENT, REPORT, RETURN, WAKE

# Medians, typed from the table of instruction counts (QEMU plugin, arm64 Linux 6.1.192).
COUNTED = {
    "hardirq: vector to handler, interrupted kernel task": 351,
    "hardirq: vector to handler, just woken idle": 541,
    "hardirq: handler return to eret, kernel task": 327,
    "hardirq: handler return to eret, idle": 479,
    "ONESHOT primary, vector to handler, kernel task": 461,
    "threaded: whole hard part incl. __irq_wake_thread, idle": 2260,
    "threaded: vector to thread_fn, idle": 3731,
    "threaded: wake call to thread_fn, idle": 3062,
    "threaded: hard eret to thread_fn, idle": 1471,
    "threaded: after thread_fn, unmask": 169,
    "workqueue: queue_work call, from hardirq, idle": 1753,
    "workqueue: queue_work to work fn, bound highpri, idle": 4034,
    "workqueue: queue_work to work fn, unbound, idle": 4046,
    "context fault: no fault bit, IRQ_NONE": 29,
    "context fault: handler returns 0": 114,
    "context fault: print suppressed": 162,
    "context fault: 1 line, ring buffer": 9670,
    "context fault: 1 line, pl011": 17426,
    "dev_err one line, ring buffer": 9588,
    "dev_err one line, pl011": 17438,
    "dev_err one line, no console": 8529,
    "dev_err_ratelimited, suppressed": 73,
    "printk short line, no console": 2197,
}


def instructions(*names: str) -> int:
    return sum(INSTRUCTIONS[name][0] for name in names)


@pytest.mark.parametrize(
    ("names", "counted"),
    [
        (["irq_entry_task"], "hardirq: vector to handler, interrupted kernel task"),
        (["irq_entry_idle"], "hardirq: vector to handler, just woken idle"),
        (["irq_exit_task"], "hardirq: handler return to eret, kernel task"),
        (["irq_exit_idle"], "hardirq: handler return to eret, idle"),
        (["oneshot_entry"], "ONESHOT primary, vector to handler, kernel task"),
        (["oneshot_entry", "oneshot_exit"], "threaded: whole hard part incl. __irq_wake_thread, idle"),
        (["oneshot_entry", "oneshot_exit", "thread_wake"], "threaded: vector to thread_fn, idle"),
        (["thread_wake"], "threaded: hard eret to thread_fn, idle"),
        (["oneshot_unmask"], "threaded: after thread_fn, unmask"),
        (["queue_work"], "workqueue: queue_work call, from hardirq, idle"),
        (["check"], "context fault: no fault bit, IRQ_NONE"),
        (["check", "report"], "context fault: handler returns 0"),
        (["check", "report", "log_suppressed"], "context fault: print suppressed"),
        (["log_summary"], "printk short line, no console"),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
def test_instructions_add_up_to_what_was_counted(names: list[str], counted: str) -> None:
    assert instructions(*names) == COUNTED[counted]


def test_from_the_queueing_of_work_to_its_function_are_the_instructions_of_the_kind_it_names() -> None:
    total, what = instructions("queue_work", "work_wake"), INSTRUCTIONS["work_wake"][1]
    kind = "unbound" if "unbound" in what else "bound highpri"
    assert total == COUNTED[f"workqueue: queue_work to work fn, {kind}, idle"]


def test_a_printed_line_adds_up_for_every_console() -> None:
    around = instructions("check", "report", "log_line")
    ring, serial = RING_EXTRA[0], SERIAL_EXTRA[0]
    assert around + ring == COUNTED["context fault: 1 line, ring buffer"]
    assert ring == COUNTED["dev_err one line, ring buffer"] - COUNTED["dev_err one line, no console"]
    assert serial == COUNTED["dev_err one line, pl011"] - COUNTED["dev_err one line, no console"]
    # Not what it was made from: the whole handler was counted with the serial console as well.
    assert around + serial == pytest.approx(COUNTED["context fault: 1 line, pl011"], rel=0.01)


def test_the_wake_call_comes_behind_the_entry_of_the_hard_part() -> None:
    from_the_call = COUNTED["threaded: wake call to thread_fn, idle"]
    assert COUNTED["threaded: vector to thread_fn, idle"] - from_the_call >= instructions("oneshot_entry")
    assert from_the_call > instructions("thread_wake")


def test_a_suppressed_print_is_less_than_its_call_site_with_its_arguments() -> None:
    assert instructions("log_suppressed") < COUNTED["dev_err_ratelimited, suppressed"]


def test_every_counted_cost_is_checked_here() -> None:
    checked = (
        "irq_entry_task irq_entry_idle irq_exit_task irq_exit_idle oneshot_entry oneshot_exit oneshot_unmask"
    )
    checked += " thread_wake queue_work work_wake check report log_suppressed log_line log_summary"
    assert set(INSTRUCTIONS) == set(checked.split())


def test_a_cost_in_time_is_instructions_by_cpi_over_clock() -> None:
    made = profile("mobile-big").costs
    # 351 instructions, CPI 2 (1 to 3), 2.2 GHz (1.5 to 3.2): 319.09, 109.7 and 702 ns
    entry = made["irq_entry_task"]
    assert (entry.ns, entry.low, entry.high) == (319, 110, 702)
    # 9,588 instructions for a line are 8.7 us, as in a public SM7150 log with 7 to 8 us between lines.
    line = made["log_line"].ns + made["console_first"].ns
    assert line == pytest.approx(8_700, rel=0.01)


def test_a_serial_console_of_115200_baud_takes_milliseconds_a_line() -> None:
    made = profile(console="serial-115200").costs
    assert made["console_first"].ns == pytest.approx(11.63e6, rel=0.002)
    three = sum(made[f"console_{which}"].ns for which in ("first", "second", "third"))
    assert three == pytest.approx(25.9e6, rel=0.002)
    assert sum(LINE_CHARACTERS[which] for which in ("first", "second", "third")) == 298
    assert profile(console="serial-921600").costs["console_first"].ns == pytest.approx(1.45e6, rel=0.01)


def test_netconsole_takes_fifteen_microseconds_a_line_an_assumption() -> None:
    for which in LINE_CHARACTERS:
        cost = profile(console="netconsole").costs[f"console_{which}"]
        assert (cost.ns, cost.low, cost.high, cost.tag) == (15_000, 5_000, 50_000, "assumed")


@pytest.mark.parametrize(
    ("cpu", "ns"),
    # 351 instructions: x 2 / 2.2, x 2.5 / 1.8, x 1.5 / 2.6
    [("mobile-big", 319), ("mobile-little", 488), ("server", 203)],
)
def test_each_cpu_has_its_own_time_for_the_same_instructions(cpu: str, ns: int) -> None:
    assert profile(cpu).costs["irq_entry_task"].ns == ns
    assert CPUS[cpu].title


def test_a_phones_memory_latency_is_an_assumption_for_a_server() -> None:
    phone, server = profile("mobile-big").costs["walk_mem"], profile("server").costs["walk_mem"]
    assert (phone.tag, server.tag) == ("cited", "assumed")
    assert "phone" in server.source


def test_another_cpi_or_clock_moves_the_counted_costs_only_and_leaves_no_range() -> None:
    usual = profile(console="serial-115200")
    made = usual.with_values({"report": 5}).with_cpu(cpi=1.0, ghz=1.0)
    entry = made.costs["irq_entry_task"]
    assert (entry.ns, entry.low, entry.high) == (351, 351, 351)
    assert "CPI 1 (set on the command line)" in entry.source
    assert made.costs["report"].ns == 5
    assert made.costs["mmio_read"] == usual.costs["mmio_read"]
    # 134 characters x 10 bits at 115,200 baud are 11,631,944 ns; 8,909 instructions at one a ns.
    assert made.costs["console_first"].ns == 11_631_944 + 8_909
    for wrong in (0.0, -1.0, float("nan"), float("inf"), 1e9):
        with pytest.raises(ValueError, match="cpi: expected"):
            usual.with_cpu(cpi=wrong)
        with pytest.raises(ValueError, match="clock: expected"):
            usual.with_cpu(ghz=wrong)


@pytest.mark.parametrize(("cpu", "console"), list(itertools.product(CPUS, CONSOLES)))
def test_every_cost_has_a_range_that_holds_its_default_a_tag_and_a_source(cpu: str, console: str) -> None:
    made = profile(cpu, console)
    assert set(made.costs) == set(NAMES)
    for name, cost in made.costs.items():
        assert 0 <= cost.low <= cost.ns <= cost.high, name
        assert cost.tag in ("measured", "cited", "derived", "assumed"), name
        assert cost.source.strip(), name
        assert cost.tag != "assumed" or cost.low < cost.high, f"{name}: an assumption has a range"
        assert all(type(value) is int for value in (cost.ns, cost.low, cost.high)), name
    record = made.record()[0]
    assert {name: int(record[name]) for name in NAMES} == {name: made.costs[name].ns for name in NAMES}


def test_a_cost_that_is_set_says_so_and_bad_ones_are_refused() -> None:
    made = profile().with_values({"mmio_read": 77})
    assert (made.costs["mmio_read"].ns, made.record()[0]["mmio_read"]) == (77, 77)
    assert "command line" in made.costs["mmio_read"].source
    with pytest.raises(KeyError, match="mmio_raed"):
        profile().with_values({"mmio_raed": 1})
    with pytest.raises(ValueError, match="mmio_read"):
        profile().with_values({"mmio_read": -1})
    with pytest.raises(KeyError, match="mobile-big"):
        profile("desktop")
    with pytest.raises(KeyError, match="serial-115200"):
        profile(console="serial-9600")


@pytest.mark.parametrize("name", PRESETS)
def test_every_field_of_a_hardware_preset_has_a_source(name: str) -> None:
    preset = PRESETS[name]
    assert set(preset.sources) == set(rule_fields())
    assert all(source.strip() for source in preset.sources.values())
    assert preset.title.strip()


def test_names_are_keys() -> None:
    for table, name in ((PRESETS, "name"), (POLICIES, "id"), (CLIENTS, "name")):
        assert all(key == getattr(value, name) for key, value in table.items())
    assert len({policy.name for policy in POLICIES.values()}) == len(POLICIES)


def test_every_policy_and_every_client_says_where_it_comes_from() -> None:
    for policy in POLICIES.values():
        assert policy.why.strip() and policy.source.strip() and policy.kernel.strip(), policy.id
        assert policy.context in ("hard", "threaded"), policy.id
    for client in CLIENTS.values():
        assert client.title.strip() and client.source.strip(), client.name


PAIRS = list(itertools.product(POLICIES, CLIENTS))


@pytest.mark.parametrize(("policy_id", "client_name"), PAIRS)
def test_every_policy_with_every_client_is_a_program_that_ends_in_a_return(
    policy_id: str, client_name: str
) -> None:
    policy, client = POLICIES[policy_id], CLIENTS[client_name]
    parts, made = listing(policy, client), program(policy, client)
    assert parts.handler[-1].op == RETURN and parts.handler[-1].when == 0
    assert made.handler == 0
    every = (*parts.handler, *parts.worker, *parts.submit)
    assert made.steps.op.tolist() == [step.op for step in every]
    assert made.steps.when.tolist() == [step.when for step in every]
    assert int(made.steps[-1].op) == RETURN
    if parts.worker:
        assert parts.worker[-1].op == RETURN and parts.worker[-1].when == 0
        assert made.worker == len(parts.handler)
    else:
        assert made.worker == NOWHERE
    if parts.submit:
        assert parts.submit[-1].op == RETURN and parts.submit[-1].when == 0
        assert made.submit == len(parts.handler) + len(parts.worker)
    else:
        assert made.submit == NOWHERE
    wakes = any(step.op in (WAKE, QUEUE_EVENT) for step in (*parts.handler, *parts.worker))
    assert wakes == bool(parts.worker), "a worker is there to be woken"
    assert sum(step.op == REPORT for step in parts.handler) <= 1
    assert all(str(step).strip() for step in every)


def test_sctlr_is_what_each_kernel_programs() -> None:
    # M, TRE, AFE, CFRE, CFIE always; CFCFG and HUPCF as the kernel's history has them, typed by hand.
    programmed = {key: sctlr(policy) for key, policy in POLICIES.items()}
    stall, stall_and_go_on = 0x0E7, 0x1E7
    assert [programmed[key] for key in ("P0", "P1", "P2", "P2b")] == [stall, 0x067, stall, stall]
    assert [programmed[key] for key in ("P3", "P4", "P7", "P8")] == [stall_and_go_on] * 4
    assert SCTLR_CFCFG | SCTLR_HUPCF == 0x180
