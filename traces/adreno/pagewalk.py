"""What four descriptors of an AArch64 page table say: the walk that a kernel notes with a GPU's fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_ADDRESS = 0x0000_FFFF_FFFF_F000


@dataclass(frozen=True)
class Step:
    """One level of a walk.

    Attributes
    ----------
    level, index : int
        Of the table, and of the descriptor in it.
    descriptor : int
        64 bits.
    kind : str
        ``table``, ``block``, ``page`` or ``invalid``.
    address : int
        The next table's, or where the input address translates to; 0 where invalid.
    """

    level: int
    index: int
    descriptor: int
    kind: str
    address: int

    def attributes(self) -> dict[str, int]:
        """Return a leaf's AttrIndx, AP, SH, AF and nG."""
        fields = (("AttrIndx", 2, 7), ("AP", 6, 3), ("SH", 8, 3), ("AF", 10, 1), ("nG", 11, 1))
        return {name: self.descriptor >> shift & mask for name, shift, mask in fields}


def walk(iova: int, descriptors: Sequence[int]) -> list[Step]:
    """Read a walk with a 4 KiB granule, from level 0, until it ends.

    Parameters
    ----------
    iova : int
        Bits 0 to 47 count.
    descriptors : sequence of int
        At most four.

    Returns
    -------
    list of Step
        The last is a leaf or invalid, unless there were fewer descriptors than levels.
    """
    steps: list[Step] = []
    for level, descriptor in enumerate(descriptors[:4]):
        shift = 39 - 9 * level
        index = iova >> shift & 0x1FF
        kind = "invalid"
        if descriptor & 1:
            if descriptor & 2:
                kind = "page" if level == 3 else "table"
            elif level in (1, 2):
                kind = "block"
        address = descriptor & _ADDRESS if kind != "invalid" else 0
        if kind in ("block", "page"):
            offset = (1 << shift) - 1
            address = address & ~offset | iova & offset
        steps.append(Step(level, index, descriptor, kind, address))
        if kind != "table":
            break
    return steps


def say(steps: Sequence[Step]) -> str:
    """Write a walk as a sentence.

    >>> say(walk(0x1000, [0x5003, 0]))
    'level 0 [0] 0x5003: table 0x5000; level 1 [0] 0x0: invalid'
    """
    parts = []
    for step in steps:
        text = f"level {step.level} [{step.index}] {step.descriptor:#x}: {step.kind}"
        if step.address or step.kind in ("table", "block", "page"):
            text += f" {step.address:#x}" if step.kind == "table" else f", to {step.address:#x}"
        if step.kind in ("block", "page"):
            text += "".join(f", {name} {value}" for name, value in step.attributes().items())
        parts.append(text)
    return "; ".join(parts)
