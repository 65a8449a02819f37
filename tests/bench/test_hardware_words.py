"""Hardware as a user writes it: a preset, and what is changed of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from smmucore import hardware
from smmucore.shapes import NONE, Shape


def test_a_preset_can_be_changed_field_by_field_and_says_so() -> None:
    made = hardware.find("mmu500,tlb=1x16:random:7,walk_cache=none,slots=16,ss_asserts_irq=no")
    assert made.tlb == Shape(1, 16, "random", 7)
    assert made.walk_cache == NONE
    assert (made.slots, made.ss_asserts_irq) == (16, False)
    assert {field for field, source in made.sources.items() if source == "set by the user"} == {
        "tlb",
        "walk_cache",
        "slots",
        "ss_asserts_irq",
    }
    assert made.title == hardware.PRESETS["mmu500"].title
    assert hardware.PRESETS["mmu500"].tlb == Shape(128, 4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mmu500,tlb=3x4", "power of two"),
        ("mmu500,tlb=4x3:tree-plru", "power of two up to 64"),
        ("mmu500,tlb=4x4:fifo", "lru, round-robin, tree-plru, random"),
        ("mmu500,tlb=128x64", "at most 4096 entries"),
        ("mmu500,tlb=four", "SETSxWAYS"),
        ("mmu500,tlb=none", "a micro-TLB and a TLB"),
        ("mmu500,tlb", "FIELD=VALUE"),
        ("mmu500,colour=red", "FIELD=VALUE"),
        ("mmu500,slots=0", "a whole number from 1 to 1024"),
        ("mmu500,tbus=33", "a whole number from 1 to 32"),
        ("mmu500,stalls=maybe", "yes or no"),
        ("mmu500,second_fault=never", "queue or terminate"),
    ],
)
def test_a_change_that_cannot_be_is_refused_with_what_was_expected(
    text: str, said: str, command: Any
) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        hardware.find(text)
    status, out, err = command("hardware", "show", text)
    assert (status, out) == (2, "")
    assert said.split(",", maxsplit=1)[0] in err
    assert len(err.splitlines()) == 1


def test_another_replacement_changes_the_hits_and_nothing_else(command: Any) -> None:
    found = {}
    shapes = ("128x4", "1x64:round-robin", "1x64:random:3", "1x64:tree-plru")
    named = [word for tlb in shapes for word in ("--hardware", f"mmu500,tlb={tlb}")]
    status, out, err = command("compare", "qemu-virtio-gpu", "--policy", "P8", *named, "--json")
    assert status == 0, err
    rows = json.loads(out)["rows"]
    assert [row["hardware"] for row in rows] == named[1::2], "in the order given"
    for row in rows:
        counters = row["counters"]
        assert counters["utlb_hits"] + counters["tlb_hits"] + counters["walks"] == counters["translations"]
        assert counters["accesses"] == 123_052 + 40
        found[row["hardware"]] = (counters["tlb_hits"], counters["walks"])
    assert len(set(found.values())) == len(shapes)
