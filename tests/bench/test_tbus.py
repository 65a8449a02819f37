"""`--tbu`: which TBU a stream goes through (H12), and what is wrong with one that is refused."""

import json

import pytest


@pytest.fixture
def replay(tiny, command):
    def run(*more):
        given = ("--policy", "P8", "--client", "none", "--hardware", "mmu500,tbus=2", "--json")
        return command("replay", tiny, *given, *more)

    return run


def test_a_stalled_stream_starves_a_heartbeat_on_its_own_tbu_and_not_one_on_another(replay):
    storm = ("--scenario", "burst:n=400,gap=10ns,stream=5+heartbeat:every=20us,n=20", "--console", "none")
    worst = {}
    for word in ("heartbeat=0", "heartbeat=1"):
        status, out, err = replay(*storm, "--tbu", word)
        assert status == 0, err
        made = json.loads(out)
        worst[word] = made["rows"][0]["heartbeat_ns"]["max"]
        assert made["manifest"]["tbus"] == {"heartbeat": int(word[-1])}
    # 400 strays hold all 128 read slots of TBU 0 until they are resumed, one by one.
    assert worst["heartbeat=0"] > 100 * worst["heartbeat=1"]
    assert worst["heartbeat=1"] < 1000


def test_streams_on_two_tbus_have_two_micro_tlbs(replay):
    one, two = (json.loads(replay(*words)[1])["rows"][0]["counters"] for words in ((), ("--tbu", "9=1")))
    assert (
        one["utlb_hits"] + one["tlb_hits"] + one["walks"] == two["utlb_hits"] + two["tlb_hits"] + two["walks"]
    )
    assert one["accesses"] == two["accesses"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("5=2",), "no such TBU: --tbu 5: expected 0 to 1 on mmu500,tbus=2"),
        (("5=x",), "not a TBU: --tbu 5=x: expected STREAM=0 to 31, found 'x'"),
        (("five=1",), "not a stream: --tbu five=1: expected a stream ID or heartbeat, found 'five'"),
        (("7=1",), "unknown stream: --tbu: expected one of 5, 9, found 7"),
        (("5=1", "0x5=0"), "stream placed twice: --tbu 0x5=0: expected 5 once, found 5 again"),
        (("heartbeat=1",), "no heartbeat: --tbu: expected scenario heartbeat, found none in this scenario"),
    ],
)
def test_a_placement_that_cannot_be_is_refused(replay, words, message):
    status, out, err = replay(*[part for word in words for part in ("--tbu", word)])
    assert (status, out) == (2, "")
    assert message in " ".join(err.split())


def test_the_placement_is_printed_under_the_table(tiny, command):
    status, out, err = command(
        "compare",
        tiny,
        "--policy",
        "P8",
        "--hardware",
        "mmu500,tbus=2",
        "--tbu",
        "5=1",
        "--scenario",
        "burst:n=3",
    )
    assert status == 0, err
    words = " ".join(out.split())
    assert "TBUs stream 5 through TBU 1, the rest through TBU 0" in words
    assert "--tbu 5=1" in words
