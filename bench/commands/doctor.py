"""`smmubench doctor` and `smmubench completion`."""

from __future__ import annotations

from dataclasses import asdict

import click

from bench import options
from bench.output import console, print_json

_STYLES = {"ok": ("●", "o", "green"), "note": ("△", "+", "yellow"), "wrong": ("✖", "X", "bold red")}


@click.command()
@options.as_json
def doctor(as_json: bool) -> int:
    """Look at this installation and this machine: versions, caches, and what makes timings unreliable.

    Exit status 1 if something is wrong, 0 otherwise. Simulated results do not depend on any of it.
    """
    from bench.doctor import BAD, NOTE, examine  # noqa: PLC0415

    found = examine()
    status = int(any(each.state == BAD for each in found))
    if as_json:
        print_json({"ok": not status, "findings": [asdict(each) for each in found]})
        return status
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    out = console()
    told = out.encoding.lower().startswith("utf")
    for about in dict.fromkeys(each.about for each in found):
        out.print(Text(about, style="bold"))
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(no_wrap=True, width=1)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for each in found:
            if each.about == about:
                shape, plain, style = _STYLES[each.state]
                text = f"{each.found}: {each.hint}" if each.hint else each.found
                table.add_row(Text(shape if told else plain, style=style), each.name, text)
        out.print(table)
    notes = sum(each.state == NOTE for each in found)
    end = "something is wrong" if status else f"works; {notes} notes" if notes else "works"
    click.echo(f"\n{end}. Notes on timing matter to make perf-... only:")
    click.echo("simulated results are the same on every machine.")
    return status


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes SHELL complete smmubench's commands and options.

    For bash: smmubench completion bash >> ~/.bashrc
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    from bench.cli import cli  # noqa: PLC0415

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(cli, {}, "smmubench", "_SMMUBENCH_COMPLETE").source())
