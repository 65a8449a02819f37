"""The options that commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench import ask, profiles

Command = Callable[..., Any]

_AXES = (
    click.option("--policy", "policy", multiple=True, metavar="P", help="Id or name; may be repeated."),
    click.option("--hardware", multiple=True, metavar="H",
                 help="Preset, perhaps changed: mmu500,tlb=256x8:random; may be repeated."),
)  # fmt: skip

_COSTS = (
    click.option("--costs", default=profiles.COSTS, show_default=True, metavar="F",
                 help="Cost profile, or a cost file of your own: FILE.toml (docs/costs.md)."),
    click.option("--console", show_default=f"the cost file's, or {profiles.CONSOLE}", metavar="K",
                 help="Where kernel messages go: none, ring, serial-115200, threaded-115200 ..."),
    click.option("--cpi", type=float, metavar="N", help="Cycles an instruction, instead of the profile's."),
    click.option("--clock", type=float, metavar="GHZ", help="The CPU's clock, instead of the profile's."),
    click.option("--set", "changes", multiple=True, metavar="COST=NS",
                 help="Change a cost, or draw it: thread_wake=lognormal:p50=5us,p99=50us; may be repeated."),
)  # fmt: skip

_CLIENT = click.option("--client", default=ask.CLIENT, show_default=True, metavar="C",
                       help="What the GPU's driver does.")  # fmt: skip
_SCENARIO = click.option(
    "--scenario", metavar="S", help="Such as burst:n=1k,gap=100us+heartbeat; see `smmubench scenarios list`."
)

_HOW = (
    *_COSTS,
    click.option("--cpus", default=ask.CPUS, show_default=True, metavar="MAP", help="Which CPU runs what."),
    click.option("--pace", metavar="P",
                 help="captured, or the time from one access to the next, such as 10ns."),
    click.option("--streams", type=click.Path(path_type=Path), metavar="FILE",
                 help="Stream table, TOML (docs/traces.md); otherwise every stream has its space's bank."),
    click.option("--tbu", "tbus", multiple=True, metavar="STREAM=TBU",
                 help="Which TBU a stream (or `heartbeat`) goes through; otherwise TBU 0; may be repeated."),
    click.option("--seed", type=click.IntRange(0, (1 << 63) - 1), default=0, show_default=True),
)  # fmt: skip

_OUTPUT = (
    click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout."),
    click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE",
                 help="Parquet file for the rows (default: a name from the axes, in runs/)."),
)  # fmt: skip


def _all(options: tuple[Any, ...]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


axes = _all(_AXES)
case = _all((_CLIENT, _SCENARIO, *_HOW))
case_but_scenario = _all((_CLIENT, *_HOW))
changes = _all(_COSTS[1:])
output = _all(_OUTPUT)

threads = click.option(
    "--threads", type=click.IntRange(1, 1024), default=lambda: len(os.sched_getaffinity(0)),
    show_default="CPUs", metavar="N", help="Does not change the result.",
)  # fmt: skip

policy_files = click.option(
    "--policy-file", "policy_files", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
    help="A policy of your own, TOML (docs/policies.md); may be repeated.",
)  # fmt: skip

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
