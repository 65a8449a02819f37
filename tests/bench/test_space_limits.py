"""Spaces that a manifest may name one by one, but no SMMU has together: refused in one line (H3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.bench.conftest import RW, event, save, tiny_events
from traces.events import EVENT, MAP, READ
from traces.manifest import Space

TOGETHER = {
    "more banks than an SMMU has": (
        [Space(space=k, name=f"s{k}") for k in range(130)],
        "expected at most 128 context banks, found 130",
    ),
    "52 bits of 64K beside 4K in one VMID": (
        [
            Space(space=0, name="wide", ias=52, oas=52, granule=65536, vmid=1),
            Space(space=1, name="small", ias=32, vmid=1),
        ],
        "expected only 64K granules in a VMID with more than 49 input bits, found a smaller one",
    ),
}


@pytest.mark.parametrize("spaces", TOGETHER)
def test_spaces_that_cannot_be_one_smmus_are_refused(spaces: str, command: Any, tmp_path: Any) -> None:
    listed, said = TOGETHER[spaces]
    size = 65536
    events = np.array(
        [event(0, MAP, size, size, pa=size, prot=RW), event(9, READ, size, 64, stream=5)], EVENT
    )
    path = save(tmp_path / "spaces.parquet", events, spaces=listed)
    status, out, err = command("replay", path)
    assert (status, out) == (2, "")
    assert said in err
    assert "spaces.parquet" in err
    assert "Traceback" not in err


def test_a_heartbeat_needs_a_bank_of_its_own(command: Any, tmp_path: Any) -> None:
    full = [Space(space=0, name="gpu"), Space(space=1, name="dma", ias=32)]
    full += [Space(space=k, name=f"s{k}") for k in range(2, 128)]
    path = save(tmp_path / "full.parquet", tiny_events(), spaces=full)
    assert command("replay", path)[0] == 0
    status, _, err = command("replay", path, "--scenario", "heartbeat:every=1us,n=3")
    assert status == 2
    assert "expected at most 128 context banks, found 129" in err
