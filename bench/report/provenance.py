"""What the answers of a report rest on: commit, hardware with its citations, costs with their tags."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.table import case_footer
from bench.units import show_ns
from smmucore.costs import CPUS, profile
from smmucore.hardware import find, rule_fields

_ROOT = Path(__file__).parents[2]


def commit() -> str:
    """Return the commit of the code that runs, and whether it was changed since; or that it has none."""
    git = ["git", "-C", str(_ROOT)]
    try:
        if not (_ROOT / ".git").exists():
            return "not a checkout"
        found = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=20
        )
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown: git cannot say"
    return found.stdout.strip()[:12] + (" with changes" if changed.stdout.strip() else "")


def pairs(manifest: Mapping[str, Any], at: str) -> list[tuple[str, str]]:
    """Return what a result rests on, as names and values.

    Parameters
    ----------
    manifest : mapping
        Of `bench.grid.describe`, or of `bench.reach`.
    at : str
        As `commit` says it.
    """
    made: list[tuple[str, str]] = []
    if "cpus" in manifest:
        made += case_footer(manifest)
    else:
        trace = manifest["trace_manifest"]
        made += [
            ("trace", f"{manifest['trace']} ({manifest['kind']}): {trace['title']}"),
            ("source", f"{trace['device']}; sha256 {manifest['sha256'][:16]}"),
        ]
    if len(manifest.get("traces", ())) > 1:
        made.append(("traces", ", ".join(manifest["traces"])))
    for name in ("scenarios", "clients"):
        if name in manifest:
            shown = manifest[name][:4]
            more = len(manifest[name]) - len(shown)
            made.append((f"all {name}", "; ".join(shown) + (f" and {more} more" if more else "")))
    if "seed" in manifest:
        made.append(("seed", str(manifest["seed"])))
    kernels = manifest.get("kernels", "")[:12]
    made.append(("code", f"smmubench {manifest.get('smmubench', '')}, commit {at}, kernels {kernels}"))
    return made


def hardware(names: Sequence[str]) -> list[dict[str, Any]]:
    """Return each preset's fields with their sources; presets that differ in a change only, once."""
    made = []
    for name in dict.fromkeys(name.partition(",")[0] for name in names):
        chip = find(name)
        fields = [(field, str(getattr(chip, field)), chip.sources[field]) for field in rule_fields()]
        made.append({"name": name, "title": chip.title, "fields": fields})
    return made


def costs(name: str, console: str) -> dict[str, Any] | None:
    """Return a profile's costs: value, range, tag and source; None for a user's own."""
    if name not in CPUS:
        return None
    made = profile(name, console)
    rows = [
        (key, show_ns(c.ns), f"{show_ns(c.low)} to {show_ns(c.high)}", c.tag, c.source)
        for key, c in made.costs.items()
    ]
    return {"name": name, "title": made.cpu.title, "rows": rows, "tags": tags(made.costs)}


def tags(found: Mapping[str, Any]) -> str:
    """Count costs by tag, in words."""
    counted = Counter(cost.tag for cost in found.values())
    return ", ".join(f"{n} {tag}" for tag, n in sorted(counted.items()))
