"""Puts answers into one page that needs nothing else: Jinja2, with the styles and the script inside."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench.answers.base import Answer
from bench.errors import UsageError
from bench.plots.maps import percentiles
from bench.report import provenance
from bench.report.headline import cells, headings
from bench.report.svg import inline
from bench.table import SHAPES
from bench.units import show_ns
from smmucore.verdict import VERDICTS

_HERE = Path(__file__).parent

#: So many rows of an answer are shown; the file to download has all.
MOST_ROWS = 60


@dataclass(frozen=True)
class Section:
    """One answer in the page.

    Attributes
    ----------
    name : str
        For ids and file names.
    svg : str
        The figure, or nothing.
    headings, rows : sequence
        A short table.
    files : sequence of (name, href)
        Rows to download.
    columns : mapping
        Of the first file.
    pairs : sequence of (name, value)
        Provenance.
    """

    name: str
    title: str
    question: str
    asked_by: str
    command: str
    svg: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    files: Sequence[tuple[str, str]]
    columns: Mapping[str, str]
    pairs: Sequence[tuple[str, str]]
    notes: Sequence[str] = ()
    hardware: Sequence[str] = ()
    costs: str = ""


@dataclass(frozen=True)
class Report:
    """All of a page: the headline table, the sections, and what is cited at its end."""

    title: str
    headline: pd.DataFrame
    sections: Sequence[Section]
    manifest: Mapping[str, Any]
    hardware: Sequence[Mapping[str, Any]]
    costs: Sequence[Mapping[str, Any]]
    commit: str
    command: str
    left_out: Sequence[tuple[str, str]] = field(default_factory=tuple)


def section(answer: Answer, at: str) -> Section:
    """Return an answer as a section."""
    q = answer.question
    name = f"q{q.number}-{q.slug}"
    frames = {"": answer.frame, **answer.extra}
    files = [
        (f"{name}{'-' + key.replace(' ', '-') if key else ''}.csv", as_csv(frame))
        for key, frame in frames.items()
    ]
    figure = answer.figure()
    title = f"Figure: {q.title}. {' '.join(answer.notes[:1])} The rows behind it follow as a file."
    m = answer.manifest
    headings_of, rows = answer.headings, answer.table[:MOST_ROWS]
    if q.plot == "latency_cdf":
        # The page has the headline table already; here go the percentiles of what is drawn.
        table = percentiles(answer.frame)
        headings_of = ("policy", *table.columns)
        rows = [
            (str(policy), *(show_ns(int(ns)) for ns in row))
            for policy, row in zip(table.index, table.to_numpy(), strict=True)
        ]
    return Section(
        name=name,
        title=q.title,
        question=f"{q.number}. {q.text}",
        asked_by=q.asked_by,
        command=answer.command,
        svg=inline(figure, name, title),
        headings=headings_of,
        rows=rows,
        files=files,
        columns=answer.columns,
        pairs=provenance.pairs(m, at),
        notes=answer.notes,
        hardware=list(dict.fromkeys(h.partition(",")[0] for h in m.get("hardware", ()))),
        costs=m.get("costs", ""),
    )


def as_csv(frame: pd.DataFrame) -> str:
    """Return a frame as a link that holds it."""
    text = frame.to_csv(index=False, lineterminator="\n")
    return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"


def render(report: Report) -> str:
    """Return the page.

    Returns
    -------
    str
        HTML with no reference to anything outside of it; equal reports give equal text.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    shapes = {verdict: SHAPES[verdict][0] for verdict in VERDICTS}
    frame = report.headline
    shown = headings(frame)
    return environment.get_template("report.html").render(
        report=report,
        headings=shown,
        rows=[(row, [cells(row, heading) for heading in shown]) for row in frame.to_dict("records")],
        shapes=shapes,
        meanings=VERDICTS,
        policies=list(dict.fromkeys(frame["policy"])),
        hardware=list(dict.fromkeys(frame["hardware"])),
        css=(_HERE / "report.css").read_text(encoding="utf-8"),
        script=(_HERE / "report.js").read_text(encoding="utf-8"),
    )


def _code(text: str) -> Any:
    """Return a sentence with what stands in backticks as code."""
    from markupsafe import Markup, escape  # noqa: PLC0415

    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(p) if k % 2 else p for k, p in enumerate(parts))


def write(text: str, target: Path) -> Path:
    """Write a page that appears whole or not at all; return its path.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(target)
    except OSError as error:
        raise UsageError("cannot be written", target, found=error.strerror or str(error)) from None
    finally:
        beside.unlink(missing_ok=True)
    return target
