"""Pages of the documentation that are printed from the code: commands, columns, the fifteen questions.

``python -m bench.reference`` writes them; a test compares them with the files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import click

from bench.answers import QUESTIONS
from bench.cli import COMMANDS, cli
from bench.policy_page import policy_page

DOCS = Path(__file__).resolve().parents[1] / "docs"
MADE = "<!-- Printed from the code by `python -m bench.reference`: do not edit. -->\n"


def commands() -> str:
    """Return the page of all commands: what `--help` says, at 100 columns."""
    parts = [
        MADE,
        "# Commands\n",
        "What `--help` prints. Exit status: 0 done, 1 a failed check or a closed pipe, "
        "2 bad usage or input, 130 interrupted.\n",
    ]
    context = click.Context(cli, info_name="smmubench", terminal_width=100, max_content_width=100,
                            **cli.context_settings)  # fmt: skip
    parts.append(_help(cli, context))
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        its = click.Context(command, parent=context, info_name=name)
        parts.append(f"## {name}\n\n{_help(command, its)}")
        if isinstance(command, click.Group):
            for inner, sub in command.commands.items():
                parts.append(
                    f"### {name} {inner}\n\n{_help(sub, click.Context(sub, parent=its, info_name=inner))}"
                )
    return "\n".join(parts)


def _help(command: click.Command, context: click.Context) -> str:
    text = command.get_help(context)
    # The number of CPUs is this machine's.
    return "".join(
        f"    {line}\n" if line.strip() else "\n"
        for line in re.sub(r"[ \t]+$", "", text, flags=re.M).splitlines()
    )


def questions() -> str:
    """Return the page of the fifteen questions."""
    lines = [
        MADE,
        "# The fifteen questions\n",
        "Each has rows, a table and a figure. `smmubench answer N` prints the table and what it "
        "rests on; `-o qN.svg`",
        "draws the figure; `smmubench report` puts all into one file. From Python: "
        "`bench.answers.QUESTIONS[N]`.\n",
        "| | question | asked by | command | figure |",
        "| --: | --- | --- | --- | --- |",
    ]
    for q in QUESTIONS.values():
        against = " --against RUN" if q.number == 15 else ""
        lines.append(
            f"| {q.number} | {q.text} | {q.asked_by} | `smmubench answer {q.number}{against}` | "
            f"{q.title}: `bench.plots.{q.plot}` |"
        )
    return "\n".join([*lines, ""])


def pandas() -> str:
    """Return the page of the frames' columns."""
    from bench.frames import FAULT_COLUMNS, LATENCY_COLUMNS  # noqa: PLC0415
    from bench.saved import RUN_COLUMNS  # noqa: PLC0415

    return "\n".join(
        [
            MADE,
            "# From Python\n",
            "    import bench\n",
            '    runs = bench.compare("qemu-virtio-gpu", policies=["P4", "P8"], scenario="burst:n=1k")',
            '    saved = bench.load_runs("runs")        # what compare saved: a file, a folder, or a sweep',
            '    told = bench.faults(policies=["P8"])   # a row a fault',
            '    spread = bench.latency(policies=["P8"])  # whole distributions, a row a bucket\n',
            "They take what the command takes (trace, policies, hardware, client, scenario, costs, seed "
            "...). Times are simulated",
            "ns. `attrs` has the manifest. `bench.plots` draws: every function takes a frame and returns "
            "a Figure.\n",
            _columns("bench.faults", FAULT_COLUMNS),
            _columns("bench.latency", LATENCY_COLUMNS),
            _columns("bench.load_runs", RUN_COLUMNS),
            "`bench.compare` has the same columns but for the first three, and `latency_ns.p50` to "
            "`latency_ns.max`,",
            "`latency_issue_ns.*`, `fault_ns.*` and, with a heartbeat, `heartbeat_ns.*`: percentiles, ns.\n",
        ]
    )


def _columns(name: str, columns: Mapping[str, str]) -> str:
    rows = "\n".join(f"| `{column}` | {meaning} |" for column, meaning in columns.items())
    return f"## {name}\n\n| column | meaning |\n| --- | --- |\n{rows}\n"


def policy_table() -> str:
    """Return the page of all policies."""
    return f"{MADE}\n{policy_page()}"


PAGES = {
    "commands.md": commands,
    "questions.md": questions,
    "pandas.md": pandas,
    "policy-table.md": policy_table,
}


def main() -> None:
    """Write the pages."""
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
