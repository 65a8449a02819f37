"""Printing on stdout: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console


def console() -> Console:
    """Return stdout as a console: NO_COLOR and COLUMNS are honoured."""
    from rich.console import Console  # noqa: PLC0415

    return Console(highlight=False, markup=False, emoji=False)


def print_json(data: Any) -> None:
    """Print data as JSON, in the order it has."""
    click.echo(json.dumps(data, indent=1, ensure_ascii=False))


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Sequence[str] = (),
    whole: int = 1,
    widest: Mapping[str, int] | None = None,
    kept: Sequence[str] = (),
) -> None:
    """Print a plain table; what does not fit is folded, but in the first `whole` columns and in `kept`.

    `widest` bounds columns by heading: what is longer is folded even where there is room.
    """
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for k, heading in enumerate(headings):
        justify: Any = "right" if heading in right else "left"
        most = None if widest is None else widest.get(heading)
        table.add_column(
            heading, justify=justify, overflow="fold", no_wrap=k < whole or heading in kept, max_width=most
        )
    for row in rows:
        table.add_row(*row)
    console().print(table)


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names with their values, the values folded beside them."""
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, value)
    console().print(table)
