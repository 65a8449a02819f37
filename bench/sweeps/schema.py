"""The columns of a sweep's rows: the same in every file, whatever its cells came to."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from bench.stats import NAMES as PERCENTILES
from bench.sweeps.plan import AXES
from smmucore.counters import MEANINGS
from smmucore.records import GLOBAL

_INT = pa.int64()
_WORD = pa.string()


def _schema() -> Any:
    fields = [pa.field(name, _WORD, nullable=False) for name in ("cell", "status")]
    fields += [pa.field(axis, _INT if axis == "seed" else _WORD, nullable=False) for axis in AXES]
    fields += [pa.field(name, _WORD) for name in ("error", "verdict")]
    fields += [pa.field(name, _INT) for name in MEANINGS]
    for group in ("latency_ns", "latency_issue_ns", "fault_ns", "heartbeat_ns"):
        fields += [pa.field(f"{group}.{name}", _INT) for name in PERCENTILES]
    fields.append(pa.field("end_ns", _INT))
    fields += [pa.field(f"global_fault.{name}", _INT) for name in GLOBAL.names or ()]
    fields += [pa.field("streams", _WORD)]
    fields += [pa.field(name, _WORD, nullable=False) for name in ("trace_sha256", "model")]
    return pa.schema(fields)


SCHEMA = _schema()


def table(rows: list[dict[str, Any]]) -> Any:
    """Return rows as a table; registers above 2^63 - 1 keep their bits."""
    signed = [
        {k: v - (1 << 64) if isinstance(v, int) and v >= 1 << 63 else v for k, v in row.items()}
        for row in rows
    ]
    return pa.Table.from_pylist(signed, schema=SCHEMA)
