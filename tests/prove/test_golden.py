"""The table of proofs that is kept: recomputed, and equal byte for byte."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bench.commands.prove import ALL_HARDWARE
from bench.prove.cells import COLUMNS, FAULTS, csv_of, prove_all, questions
from bench.prove.properties import PROPERTIES
from smmucore import hardware, policies
from smmucore.clients import CLIENTS

GOLDEN = Path(__file__).resolve().parents[2] / "results" / "golden" / "proofs" / "prove.csv"
MADE_BY = "smmubench policies prove all --hardware all --client all -o results/golden/proofs/prove.csv"
EVERY = list(policies.POLICIES.values())


def table(chips: tuple[str, ...], clients: list[str]) -> str:
    found = questions(
        EVERY,
        [CLIENTS[name] for name in clients],
        [hardware.find(chip) for chip in chips],
        ("split", "same"),
        FAULTS,
    )
    return csv_of(prove_all(list(found), threads=2))


def kept() -> list[dict[str, str]]:
    return list(csv.DictReader(GOLDEN.read_text(encoding="utf-8").splitlines()))


@pytest.mark.slow
def test_every_proof_is_as_it_was() -> None:
    assert table(ALL_HARDWARE, list(CLIENTS)) == GOLDEN.read_text(encoding="utf-8"), f"made by: {MADE_BY}"


def test_the_proofs_of_mmu500_are_as_they_were() -> None:
    alone = list(csv.DictReader(table(("mmu500",), list(CLIENTS)).splitlines()))
    assert alone == [row for row in kept() if row["hardware"] == "mmu500"]


def test_every_policy_is_in_the_table() -> None:
    assert {row["policy"] for row in kept()} == {policy.id for policy in EVERY}


def test_every_client_is_in_the_table_under_its_own_name_or_another() -> None:
    named = {row["client"] for row in kept()} | {name for row in kept() for name in row["alike"].split()}
    assert named == set(CLIENTS)


def test_the_table_names_known_properties_alone() -> None:
    assert {name for row in kept() for name in row["broken"].split()} <= set(PROPERTIES)
    assert tuple(kept()[0]) == COLUMNS


def test_what_is_safe_in_the_table_breaks_nothing_but_what_costs() -> None:
    for row in kept():
        if row["verdict"] == "safe":
            assert set(row["broken"].split()) <= {"ignored", "folded", "stale", "unrepaired", "masked"}, row


def test_the_page_of_proofs_shows_what_the_table_holds() -> None:
    page = (GOLDEN.parents[3] / "docs" / "proofs.md").read_text(encoding="utf-8")
    chips = ("mmu500", "qcom-smmu-v2", "ideal")
    shown = 0
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 5 or "**" not in line:
            continue
        policy, client, *found = cells
        for chip, text in zip(chips, found, strict=True):
            (row,) = (
                row
                for row in kept()
                if (row["hardware"], row["policy"], row["cpus"]) == (chip, policy, "split")
                and client in (row["client"], *row["alike"].split())
            )
            verdict, broken = text.removeprefix("**").split("**")
            assert verdict == row["verdict"], line
            rest = {
                name
                for name in row["broken"].split()
                if name not in ("livelock", "hang", "stray", "spurious")
            }
            assert set(broken.strip().split(", ")) == (rest or {"-"}), line
            shown += 1
    assert shown == 3 * 28
