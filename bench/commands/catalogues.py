"""`smmubench hardware`, `clients`, `costs` and `scenarios`: what there is to choose from."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from bench import ask, options, profiles
from bench.output import print_json, print_pairs, print_table
from bench.scenario import KINDS
from bench.units import show_ns
from smmucore.clients import CLIENTS
from smmucore.costs import CONSOLES, CPUS, Cpu
from smmucore.hardware import PRESETS, rule_fields
from smmucore.shapes import Shape


@click.group()
def hardware() -> None:
    """List and show the hardware presets."""


@hardware.command("list")
@options.as_json
def hardware_list(as_json: bool) -> None:
    """List the presets."""
    if as_json:
        print_json({"hardware": [{"name": p.name, "title": p.title} for p in PRESETS.values()]})
        return
    print_table(("name", "title"), [(p.name, p.title) for p in PRESETS.values()])


@hardware.command("show")
@click.argument("name")
@options.as_json
def hardware_show(name: str, as_json: bool) -> None:
    """Show a preset, field by field, with where each value comes from."""
    preset = ask.preset(name, "hardware show")
    found = [(f, getattr(preset, f), preset.sources[f]) for f in rule_fields()]
    if as_json:
        entries = [
            {"field": f, "value": str(value) if isinstance(value, Shape) else value, "source": source}
            for f, value, source in found
        ]
        print_json({"name": preset.name, "title": preset.title, "fields": entries})
        return
    print_pairs([(preset.name, preset.title)])
    print_table(("field", "value", "source"), [(f, _word(value), source) for f, value, source in found])


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " x ".join(str(v) for v in value)
    return str(value)


@click.group()
def clients() -> None:
    """List what a GPU's driver may do when told of a fault."""


@clients.command("list")
@options.as_json
def clients_list(as_json: bool) -> None:
    """List the clients."""
    if as_json:
        fields = ("name", "title", "source")
        print_json({"clients": [{f: getattr(c, f) for f in fields} for c in CLIENTS.values()]})
        return
    print_table(("name", "what it does", "source"), [(c.name, c.title, c.source) for c in CLIENTS.values()])


@click.group()
def costs() -> None:
    """List and show what things cost in simulated time."""


@costs.command("list")
@options.as_json
def costs_list(as_json: bool) -> None:
    """List the cost profiles and the consoles."""
    if as_json:
        fields = ("name", "title", "ghz", "ghz_range", "cpi", "cpi_range")
        found = [{f: getattr(c, f) for f in fields} for c in CPUS.values()]
        print_json({"costs": found, "consoles": [{"name": n, "title": t} for n, t in CONSOLES.items()]})
        return
    print_table(
        ("name", "clock (assumed)", "cycles an instruction (assumed)", "what it stands for"),
        [(c.name, _clock(c), _cpi(c), c.title) for c in CPUS.values()],
    )
    click.echo()
    print_table(("console", "who pays for a line"), CONSOLES.items())


def _clock(cpu: Cpu) -> str:
    return f"{cpu.ghz:g} GHz, {_between(*cpu.ghz_range)}"


def _cpi(cpu: Cpu) -> str:
    return f"{cpu.cpi:g}, {_between(*cpu.cpi_range)}"


@costs.command("show")
@click.argument("name", default=profiles.COSTS)
@options.changes
@options.as_json
def costs_show(name: str, as_json: bool, **asked: Any) -> None:
    """Show a profile, or a cost file's: value, range, what kind of number it is, and its source."""
    made = profiles.find(profiles.Asked(name, **asked))
    cpu = made.cpu
    if as_json:
        entries = [
            {"name": n, "ns": c.ns, "low": c.low, "high": c.high, "tag": c.tag, "source": c.source}
            for n, c in made.costs.items()
        ]
        print_json({"name": made.name, "console": made.console, "cpu": asdict(cpu), "costs": entries})
        return
    words = [
        ("cpi", f"{cpu.cpi:g}", _between(*cpu.cpi_range), cpu.cpi_is, cpu.title),
        ("clock", f"{cpu.ghz:g} GHz", f"{_between(*cpu.ghz_range)} GHz", cpu.ghz_is, cpu.title),
    ]
    print_pairs([(made.name, f"console {made.console}: {CONSOLES[made.console]}")])
    print_table(
        ("cost", "value", "range", "is", "source"),
        words
        + [
            (n, show_ns(c.ns), f"{show_ns(c.low)} to {show_ns(c.high)}", c.tag, c.source)
            for n, c in made.costs.items()
        ],
        right=("value",),
    )


def _between(low: float, high: float) -> str:
    return f"{low:g} to {high:g}"


@click.group()
def scenarios() -> None:
    """List the ways to turn a trace into faults."""


@scenarios.command("list")
@options.as_json
def scenarios_list(as_json: bool) -> None:
    """List the scenarios with their keys; join several with +."""
    if as_json:
        found = [
            {
                "name": name,
                "title": kind.title,
                "keys": [
                    {"key": key, "default": k.default, "meaning": k.meaning} for key, k in kind.keys.items()
                ],
            }
            for name, kind in KINDS.items()
        ]
        print_json({"scenarios": found})
        return
    rows: list[tuple[str, str, str]] = []
    for name, kind in KINDS.items():
        rows.append((name, "", kind.title))
        rows.extend((f"  {key}", k.default or "-", k.meaning) for key, k in kind.keys.items())
    print_table(("scenario", "default", "what it does"), rows)
