"""The "Model changes" lines of the changelog: a golden result moves only together with a new one."""

from __future__ import annotations

import re
from pathlib import Path

from bench.errors import UsageError

HEADING = "### Model changes"
_ITEM = re.compile(r"^[-*]\s+(?P<text>\S.*)$")


def model_changes(path: Path) -> tuple[str, ...]:
    """Return the items under every "Model changes" heading, each on one line.

    Raises
    ------
    UsageError
        The changelog cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("cannot be read", path, "a changelog", str(error)) from None
    return items(text)


def items(text: str) -> tuple[str, ...]:
    r"""Return the items of a changelog's text.

    Examples
    --------
    >>> items("## [1.0]\n### Model changes\n\n- A walk\n  reads twice.\n- B.\n### Added\n- C.\n")
    ('A walk reads twice.', 'B.')
    """
    found: list[str] = []
    within = False
    for line in text.splitlines():
        if line.startswith("#"):
            within = line.strip() == HEADING
        elif within and (item := _ITEM.match(line)):
            found.append(item["text"].strip())
        elif within and found and line.startswith((" ", "\t")) and line.strip():
            found[-1] += f" {line.strip()}"
    return tuple(found)
