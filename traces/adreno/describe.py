"""What a manifest says of the accesses that are made of a capture of an Adreno."""

from __future__ import annotations

from pathlib import Path

from traces.adreno.accesses import FETCHED, POINTERS, SWEEP, SWEEP_STEP, Accesses
from traces.adreno.walk import FETCH
from traces.importers.result import Draft

_CLOCK = (
    "none: t_ns is the number of the access (MAP, UNMAP and MARK have the next access's). The capture has "
    "an order and no times"
)


def describe(draft: Draft, made: Accesses, device: str, path: Path) -> None:
    """Say what the accesses are, and what they are not.

    Parameters
    ----------
    draft : Draft
        Its title, kind, clock, direction, notes and `not_contained` are filled in.
    made : Accesses
        All of them, made.
    device : str
        The GPU.
    path : pathlib.Path
        The file that was imported.
    """
    name = path.name.encode(errors="replace").decode()
    draft.clock = _CLOCK
    {FETCHED: _fetched, POINTERS: _pointers, SWEEP: _swept}[made.mode](draft, made, device, name)
    draft.not_contained += [
        "Times: no duration here is evidence.",
        "Output addresses, page sizes and rights: pa is made up, such that every table entry is of 4 KiB; "
        "every MAP is readable and writable.",
    ]
    if made.mode != SWEEP:
        _missing(draft, made)


def _followed(made: Accesses) -> str:
    seen = made.walker.seen
    return (
        f"{seen.streams:,} command streams, {seen.calls:,} that their packets call; together "
        f"{seen.packets:,} packets, {seen.dwords:,} dwords; and {seen.groups:,} state groups of "
        f"{seen.group_dwords:,} dwords"
    )


def _fetched(draft: Draft, made: Accesses, device: str, name: str) -> None:
    draft.title = f"{device}: what its command processor fetches, from {name}"
    draft.kind = "derived"
    draft.direction = "Every access is a fetch of commands: a read."
    draft.notes.append(
        f"Accesses, derived from the capture: {_followed(made)}. One READ for each {FETCH} bytes of memory, "
        f"or what of them belongs to the stream, when its first packet is due. {FETCH} bytes is an "
        "assumption: the step between the faults that an Adreno 506 left in a kernel's log. The order is "
        "that of the packets; a real command processor reads ahead of it."
    )
    draft.not_contained.append(
        "Everything but commands: vertices, textures, shaders, constants, render targets, and what the "
        "command processor loads and stores for a packet. They are most of a GPU's accesses."
    )


def _pointers(draft: Draft, made: Accesses, device: str, name: str) -> None:
    draft.title = f"{device}: addresses in its packets (inferred accesses), from {name}"
    draft.kind = "derived"
    draft.direction = "Not known: every access is written as a READ, those of render targets too."
    draft.notes.append(
        f"Accesses, inferred and not recorded: {_followed(made)}. {made.walker.seen.pointers:,} values in "
        "packets lie in a buffer that is listed, and each is a READ of 1 byte there, in the packets' order; "
        "no length is told. A number that happens to look like an address counts as one: registers are not "
        "told apart."
    )
    draft.not_contained.append(
        "Whether, when, how often and how far an address is used: a packet programs it, and no more is "
        "known. Addresses outside the listed buffers, and those that stand in buffers (descriptors)."
    )


def _swept(draft: Draft, made: Accesses, device: str, name: str) -> None:
    draft.title = f"Modelled: linear reads over the buffers of {device}, from {name}"
    draft.kind = "synthetic"
    draft.direction = "Every access is a READ, by the model."
    draft.notes.append(
        f"Accesses, modelled and not recorded: for each list of buffers, one READ for each {SWEEP_STEP} "
        f"bytes of each, from its start to its end, in the list's order ({made.swept:,} reads). Addresses "
        "and sizes of the buffers are the capture's; that anything read them so is made up. Command streams "
        "were not followed."
    )
    draft.not_contained.append(
        "Any access that the GPU made, but for a dump's fault: the buffers are real, the reads are not."
    )


def _missing(draft: Draft, made: Accesses) -> None:
    seen = made.walker.seen
    if seen.missing:
        draft.not_contained.append(
            f"{seen.missing:,} command streams ({seen.missing_dwords:,} dwords): not captured."
        )
    if seen.unfetched:
        draft.not_contained.append(
            f"State groups of {seen.unfetched:,} CP_SET_DRAW_STATE: this generation's rules for fetching "
            "them are not known here."
        )
    if seen.conditions:
        draft.not_contained.append(
            f"Conditions: {seen.conditions:,} packets may skip what follows them, and a tile without work "
            "skips the streams that draw; nothing is skipped here."
        )
    if seen.other:
        listed = ", ".join(f"{n:,} {name}" for name, n in sorted(seen.other.items()))
        draft.not_contained.append(f"Streams that packets name in other ways ({listed}): not followed.")
    if seen.bad_dwords:
        draft.notes.append(
            f"No packets: {seen.bad_dwords:,} times a packet should begin and no header is there, or one of "
            f"a packet beyond its stream's end; passed over. The first: {'; '.join(seen.bad)}."
        )
