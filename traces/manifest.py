"""What a trace says of itself: where it came from, and what it does not contain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from traces.errors import TraceError
from traces.events import OP_NAMES
from traces.formats import ALIASES, check_space, check_spaces

#: The version of the format that this code writes, and the newest that it reads.
FORMAT = 1

#: The key of the manifest among a Parquet file's metadata.
METADATA_KEY = b"smmubench.manifest"

_U16 = Annotated[int, Field(ge=0, le=0xFFFF)]
_Text = Annotated[str, Field(min_length=1)]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    # A misspelt field would otherwise be lost in silence, and provenance with it.
    model_config = ConfigDict(extra="forbid")


class Tool(_Part):
    """The program that recorded or made the trace."""

    name: _Text
    version: str


class Stream(_Part):
    """One device, as the SMMU tells devices apart."""

    stream: _U16  #: stream ID
    name: _Text
    space: _U16  #: the space that its accesses translate through (most of them, if it moved)
    accesses: Annotated[int, Field(ge=0)] | None = None


class Upper(_Part):
    """The half of a space that TTBR1 translates."""

    ias: int  #: input address size, bits
    granule: Literal[4096, 16384, 65536] = 4096  #: bytes


_Format = Annotated[
    Literal["aarch64-s1", "aarch64-s2", "nested", "aarch32-lpae", "aarch32-short"],
    BeforeValidator(lambda text: ALIASES.get(text, text) if isinstance(text, str) else text),
]


class Space(_Part):
    """One translation regime: a set of page tables, with the ASID and VMID of its TLB entries.

    `traces.formats` says which values go together.
    """

    space: _U16  #: equal to the position in the manifest's `spaces`
    name: _Text
    asid: _U16 | None = None
    vmid: _U16 | None = None
    format: _Format = "aarch64-s1"
    ias: int = 48  #: input address size, bits
    granule: Literal[4096, 16384, 65536] = 4096  #: bytes
    oas: int | None = None  #: output address size, bits
    ttbr1: Upper | None = None  #: None: TCR.EPD1
    sep: int | None = None  #: the bit that TCR2.SEP sign-extends from
    start_level: int | None = None  #: of a stage 2
    stage2: _U16 | None = None  #: of a nested space: the number of the one that is its stage 2

    @model_validator(mode="after")
    def _fit(self) -> Space:
        check_space(self)
        return self


class Manifest(_Part):
    """The manifest of a trace; see ``docs/traces.md`` for each field's meaning."""

    format: int = FORMAT
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    title: _Text
    kind: Literal["captured", "derived", "synthetic"]
    source: _Text
    device: _Text
    tool: Tool
    kernel: str | None = None
    clock: _Text  #: what `t_ns` really is
    clock_is_real: bool  #: False where durations are an emulator's or made up
    streams: list[Stream]
    spaces: list[Space]
    marks: list[str] = []
    licence: _Text
    sha256: _Sha256 | None = None  #: of the original that this was made from
    recorded: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None  #: UTC date
    invalidation: Literal["explicit", "with-unmap"]
    direction: _Text  #: how READ and WRITE are known
    not_contained: list[_Text]
    notes: list[_Text] = []
    parameters: dict[str, int | str] | None = None  #: what a generator was told, its seed included
    counts: dict[str, Annotated[int, Field(ge=0)]] = {}  #: events by op name; the writer fills it

    @model_validator(mode="after")
    def _agree(self) -> Manifest:
        if [space.space for space in self.spaces] != list(range(len(self.spaces))):
            raise ValueError("spaces must be numbered 0, 1, 2 ... in their order")
        check_spaces(self.spaces)
        ids = [stream.stream for stream in self.streams]
        if len(set(ids)) != len(ids):
            raise ValueError("streams lists a stream ID twice")
        if any(stream.space >= len(self.spaces) for stream in self.streams):
            raise ValueError("a stream names a space that spaces does not list")
        if unknown := sorted(set(self.counts) - set(OP_NAMES)):
            raise ValueError(f"counts names unknown ops: {', '.join(unknown)}")
        return self

    def to_json(self) -> bytes:
        """Serialise for the file's metadata.

        Returns
        -------
        bytes
            UTF-8 JSON; the same manifest gives the same bytes.
        """
        return self.model_dump_json(exclude_none=True).encode()


def parse_manifest(raw: bytes, where: str | Path) -> Manifest:
    """Read a manifest from its JSON.

    Parameters
    ----------
    raw : bytes
        UTF-8 JSON.
    where : str or pathlib.Path
        Named in errors.

    Returns
    -------
    Manifest

    Raises
    ------
    TraceError
        Not JSON, a newer format than this code reads, or a field missing, unknown or wrong.
    """
    try:
        data = json.loads(raw)
    except ValueError as error:
        raise TraceError("the manifest is not JSON", where, found=str(error)) from None
    if not isinstance(data, dict):
        raise TraceError("the manifest is not a JSON object", where, "an object", type(data).__name__)
    version = data.get("format")
    # Before the fields: a newer format may have others, and the version is the one useful message.
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= FORMAT:
        raise TraceError("unknown trace format version", where, f"1 to {FORMAT}", repr(version))
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        loc = [str(part) for part in first["loc"]]
        found = "nothing" if first["type"] == "missing" else repr(first["input"])[:80]
        expected = first["msg"]
        if first["type"] == "space_rule":
            rule = first["ctx"]
            loc, expected, found = [*loc, rule["field"]], rule["expected"], rule["found"]
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise TraceError(
            f"manifest field {'.'.join(loc) or 'manifest'}", where, expected + more, found
        ) from None
