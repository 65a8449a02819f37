"""Where things stand in a TOML file: `tomllib` does not tell, and whoever mends a file wants to know."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
    |(?P<string>\"\"\"(?:\\.|[^\\])*?\"\"\"|'''.*?'''|"(?:\\.|[^"\\\n])*"|'[^'\n]*')
    |(?P<header>^[ \t]*\[[^\[\]\n"']*\](?=[ \t]*(?:\#|$)))
    |(?P<bare>[A-Za-z0-9_-]+)
    |(?P<mark>[=\[\]{},.])""",
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)


class Lines:
    """The lines of a TOML file on which keys, and the elements of their arrays, stand."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [m for m in _TOKEN.finditer(text) if m.lastgroup != "comment"]

    def at(self, loc: Sequence[int | str]) -> str:
        """Return ": line N" of a key, or of an element of the key's array; nothing where it is not found."""
        keys = [part for part in loc if isinstance(part, str)]
        start = self._key(keys[-1], under=keys[-2] if len(keys) > 1 else "") if keys else None
        if start is None:
            return ""
        at = start
        if loc and isinstance(loc[-1], int):
            elements = self._elements(start)
            at = elements[loc[-1]] if loc[-1] < len(elements) else start
        return f": line {self.text.count(chr(10), 0, self.tokens[at].start()) + 1}"

    def _key(self, key: str, under: str) -> int | None:
        """Return the token of `key`, the first behind the one that names the table `under`."""
        begun = not under
        for k, token in enumerate(self.tokens):
            word = token.group().strip().strip("[]\"'").strip()
            begun = begun or word == under or word.startswith(f"{under}.")
            if begun and word == key and (token.lastgroup == "header" or self._is_key(k)):
                return k
        return None

    def _is_key(self, k: int) -> bool:
        return self.tokens[k + 1 : k + 2] != [] and self.tokens[k + 1].group() in ("=", ".")

    def _elements(self, key: int) -> list[int]:
        """Return the first token of each element in the array that follows a key."""
        elements: list[int] = []
        depth, awaited = 0, False
        for k in range(key + 1, len(self.tokens)):
            word = self.tokens[k].group().strip()
            if depth == 1 and word == "]":
                break
            if depth == 1 and awaited:
                elements.append(k)
            awaited = (word == "[" and depth == 0) or (word == "," and depth == 1)
            depth += (word in "[{") - (word in "]}")
        return elements
