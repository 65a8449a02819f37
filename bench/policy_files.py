"""A user's own policy from a TOML file: the fields of `Policy`, and its steps in the words of `bench.words`.

::

    id = "mine"
    name = "resume-first"
    kernel = "none: an experiment"
    source = "me"
    why = "RESUME before the clear"
    context = "threaded"       # hard: in the hard interrupt; threaded: in a ONESHOT thread
    cfcfg = true               # faults stall
    hupcf = true               # others go on while a fault is outstanding

    [steps]
    handler = [
        "READ FSR", "CHECK fault|SS", "WRITE RESUME terminate if SS", "WRITE FSR read", "RETURN HANDLED",
    ]

`docs/examples/my-policy.toml` has every field.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model
from pydantic_core import PydanticCustomError

from bench.errors import UsageError
from bench.policy_checks import PARTS, RefusedError, check
from bench.toml_lines import Lines
from bench.words import CODES, WordError, read_step, spell
from smmucore.policies import POLICIES
from smmucore.policy import Policy
from smmucore.steps import CODE_NAMES

OPTION = "--policy-file"
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class UserPolicy:
    """A policy and the SHA-256 of the file that it is from."""

    policy: Policy
    sha256: str


def _code(value: Any) -> int:
    if not isinstance(value, str) or value not in CODES:
        raise PydanticCustomError("code", "one of {codes}", {"codes": ", ".join(CODE_NAMES)})
    return CODES[value]


#: How the values of a field are read, by its type; a field of a new type needs one more line.
_LINE = r"^[^\x00-\x1f\x7f]*$"
_READERS: dict[Any, Any] = {
    str: Annotated[str, Field(pattern=_LINE, max_length=300)],
    bool: bool,
    int: Annotated[int, BeforeValidator(_code)],
    tuple[str, ...]: Annotated[tuple[str, ...], Field(strict=False)],
}
_ID = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=40)]
#: Fields whose type alone does not say what they may hold.
_SPECIAL: dict[str, Any] = {
    "id": _ID,
    "name": _ID,
    **dict.fromkeys(
        ("kernel", "source", "why"), Annotated[str, Field(pattern=r"^\P{C}*\S\P{C}*$", max_length=300)]
    ),
    "context": Literal["hard", "threaded"],
    "stalls_where": Literal["", "terminate"],
    "only_where": Literal["", "terminate", "events"],
}
_TYPES = get_type_hints(Policy)
_PLAIN = tuple(f for f in fields(Policy) if f.name not in PARTS)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def _entry(kind: Any, default: Any) -> Any:
    return (kind, ...) if default is MISSING else (kind, Field(default=default, validate_default=False))


_Steps: Any = create_model(
    "_Steps",
    __base__=_Strict,
    **{
        f.name: _entry(list[str], MISSING if f.default is MISSING else [])
        for f in fields(Policy)
        if f.name in PARTS
    },
)
_File: Any = create_model(
    "_File",
    __base__=_Strict,
    **{f.name: _entry(_SPECIAL.get(f.name) or _READERS[_TYPES[f.name]], f.default) for f in _PLAIN},
    steps=(_Steps, ...),
)


def read_policies(paths: Sequence[Path]) -> list[UserPolicy]:
    """Read policy files, each with one policy, whose ids and names are new.

    Raises
    ------
    UsageError
        With the file, and the line where there is one.
    """
    made: list[UserPolicy] = []
    for path in paths:
        known = [*POLICIES.values(), *(user.policy for user in made)]
        made.append(_read_file(path, known))
    return made


def _read_file(path: Path, known: Iterable[Policy]) -> UserPolicy:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        text = raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "bytes that are no UTF-8"
        raise UsageError("cannot be read", f"{OPTION} {path}", "a policy", reason) from None
    if len(raw) > _MOST_BYTES:
        raise UsageError("not a policy", f"{OPTION} {path}", "a file of at most 1 MiB", "more")
    policy = from_text(text, f"{OPTION} {path}", known)
    return UserPolicy(policy, hashlib.sha256(raw).hexdigest())


def from_text(text: str, where: str, known: Iterable[Policy] = ()) -> Policy:
    """Read a policy from the text of a file; `where` names it in errors, `known` has taken ids and names.

    Raises
    ------
    UsageError
    """
    lines = Lines(text)
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError("not TOML", where, found=str(error)) from None
    try:
        file = _File.model_validate(found)
    except ValidationError as error:
        # A misspelt key is also a missing one: the first is what its author wants to hear of.
        first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
        expected, value = _expected(first)
        at = f"{where}{lines.at(first['loc'])}: {'.'.join(str(part) for part in first['loc'])}"
        raise UsageError("not a policy", at, expected, value) from None
    for field in ("id", "name"):
        wanted = getattr(file, field)
        for policy in known:
            if wanted in (policy.id, policy.name):
                at = f"{where}{lines.at((field,))}: {field}"
                raise UsageError(
                    f"{field} taken", at, "one that no policy has", f"{wanted!r}, which is {policy.id}"
                )
    parts: dict[str, Any] = {}
    for part in PARTS:
        parts[part] = []
        for k, line in enumerate(getattr(file.steps, part)):
            try:
                parts[part].append(read_step(line))
            except WordError as error:
                raise error.at(where + _place(lines, part, k)) from None
        parts[part] = tuple(parts[part])
    policy = Policy(**{f.name: getattr(file, f.name) for f in _PLAIN}, **parts)
    try:
        check(policy)
    except RefusedError as error:
        raise UsageError(
            error.what, where + _place(lines, error.part, error.index), error.expected, error.found
        ) from None
    if policy.polls_all and policy.context != "hard":
        at = f"{where}{lines.at(('polls_all',))}: polls_all"
        raise UsageError("polls_all in a thread", at, 'context = "hard"', repr(policy.context))
    return policy


def _place(lines: Lines, part: str, k: int) -> str:
    return f"{lines.at(('steps', part, k))}: step {k + 1} of {part}"


def _expected(problem: Any) -> tuple[str, str]:
    """Return what pydantic expected and found, in our words."""
    loc, kind = problem["loc"], problem["type"]
    if kind == "missing":
        return "a value", "nothing"
    if kind == "extra_forbidden":
        known = _Steps if loc[0] == "steps" and len(loc) > 1 else _File
        return f"one of {', '.join(known.model_fields)}", repr(loc[-1])
    found = repr(problem["input"])
    found = found if len(found) <= 60 else f"{found[:57]}..."
    if kind == "string_pattern_mismatch":
        if loc[0] in ("id", "name"):
            return "letters, digits, dots, dashes and underscores", found
        return "one line that says something" if loc[0] in _SPECIAL else "one line", found
    return str(problem["msg"]).removeprefix("Input should be ").removeprefix("String should have "), found


# --- policies as words ---------------------------------------------------------------------
def as_words(policy: Policy) -> dict[str, Any]:
    """Return a policy as plain data, as a file has it: every field, its steps as lines."""
    data: dict[str, Any] = {}
    for field in _PLAIN:
        value = getattr(policy, field.name)
        data[field.name] = CODE_NAMES[value] if _TYPES[field.name] is int else value
    data["steps"] = {part: spell(getattr(policy, part)) for part in PARTS if getattr(policy, part)}
    return data


def to_words(policy: Policy) -> str:
    """Return the text of a policy file that `from_text` reads as `policy`.

    Examples
    --------
    >>> from_text(to_words(POLICIES["P8"]), "P8") == POLICIES["P8"]
    True
    """
    data = as_words(policy)
    out = [f"{key} = {_toml(value)}" for key, value in data.items() if key != "steps"]
    out += ["", "[steps]"]
    for part, lines in data["steps"].items():
        out += [f"{part} = [", *(f"    {_toml(line)}," for line in lines), "]"]
    return "\n".join(out) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return f"[{', '.join(_toml(one) for one in value)}]"


def as_manifest(users: Iterable[UserPolicy]) -> dict[str, Any]:
    """Return what a result keeps of its users' policies, by id: the file's SHA-256, and all that it says."""
    ordered = sorted(users, key=lambda user: user.policy.id)
    return {user.policy.id: {"sha256": user.sha256, **as_words(user.policy)} for user in ordered}
