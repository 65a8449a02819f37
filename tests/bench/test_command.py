"""The command: its results, that they repeat, and one line for whatever is wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from bench import cli
from smmucore.counters import MEANINGS
from smmucore.policies import POLICIES
from smmucore.verdict import VERDICTS
from tests.bench.conftest import BASE, RW, event, manifest, save, tiny_events
from traces.events import EVENT, MAP, READ
from traces.manifest import METADATA_KEY
from traces.reader import SCHEMA

CELLS = ("--policy", "P8", "--policy", "P4", "--hardware", "mmu500", "--hardware", "qcom-smmu-v2")
SCENARIO = ("--scenario", "burst:n=5,gap=30us+heartbeat:n=9,every=20us")
PERCENTILES = ["p50", "p90", "p99", "p99.9", "p99.99", "max"]


def compared(command, tiny, *more):
    status, out, err = command("compare", tiny, *CELLS, *SCENARIO, "--json", "-o", "rows.parquet", *more)
    assert status == 0, err
    return out


def test_json_has_exactly_the_designs_names(command, tiny):
    data = json.loads(compared(command, tiny))
    assert set(data) == {"manifest", "rows"}
    assert [(r["policy"], r["hardware"]) for r in data["rows"]] == [
        ("P4", "mmu500"), ("P8", "mmu500"), ("P4", "qcom-smmu-v2"), ("P8", "qcom-smmu-v2"),
    ]  # fmt: skip
    for row in data["rows"]:
        wanted = {"policy", "hardware", "client", "scenario", "costs", "seed", "counters", "latency_ns",
                  "fault_ns", "verdict"}  # fmt: skip
        assert wanted <= set(row)
        assert list(row["counters"]) == list(MEANINGS)
        assert list(row["latency_ns"]) == PERCENTILES
        assert list(row["fault_ns"]) == PERCENTILES
        assert row["verdict"] in VERDICTS
        assert row["scenario"] == SCENARIO[1]


def test_the_manifest_names_the_trace_by_content_and_not_by_place(command, tiny):
    out = compared(command, tiny)
    m = json.loads(out)["manifest"]
    assert str(tiny.parent) not in out
    assert m["trace"] == "tiny"
    assert len(m["sha256"]) == 64
    assert m["kind"] == "synthetic"
    assert m["pace_is"].startswith("assumption")
    assert m["trace_manifest"]["not_contained"]


def test_threads_and_repetition_do_not_change_a_byte(command, tiny, tmp_path):
    seen = set()
    for threads in ("1", "2", "1"):
        out = compared(command, tiny, "--threads", threads)
        seen.add((out, (tmp_path / "rows.parquet").read_bytes()))
    assert len(seen) == 1


def test_the_order_of_the_options_does_not_change_a_byte(command, tiny):
    swapped = (
        "--policy",
        "P4",
        "--policy",
        "threaded-resume",
        "--hardware",
        "qcom-smmu-v2",
        "--hardware",
        "mmu500",
    )
    _, out, _ = command("compare", tiny, *swapped, *SCENARIO, "--json")
    assert out == compared(command, tiny)


def test_rows_on_disk_are_the_rows_of_the_json(command, tiny, tmp_path):
    data = json.loads(compared(command, tiny))
    table = pq.read_table(tmp_path / "rows.parquet")
    assert json.loads(table.schema.metadata[b"smmubench.result"]) == data["manifest"]
    for stored, row in zip(table.to_pylist(), data["rows"], strict=True):
        assert stored["policy"] == row["policy"]
        assert {n: stored[f"counters.{n}"] for n in MEANINGS} == row["counters"]
        assert {n: stored[f"latency_ns.{n}"] for n in PERCENTILES} == row["latency_ns"]


def test_rows_go_to_runs_under_a_name_from_the_axes(command, tiny, tmp_path):
    for _ in range(2):
        assert command("compare", tiny, "--policy", "P1", "--hardware", "ideal")[0] == 0
    (file,) = (tmp_path / "runs").iterdir()
    assert file.name.startswith("tiny-burst-n-40-gap-50us-adreno-worker-")


def test_a_result_counts_the_faults_of_the_scenario(command, tiny):
    for row in json.loads(compared(command, tiny))["rows"]:
        assert row["counters"]["faults_injected"] == 5
        assert row["counters"]["accesses"] == 300 + 5 + 9
        assert row["counters"]["faultfree_makespan_ns"] > 0
        assert row["streams"]["10"]["latency_ns"] == row["heartbeat_ns"]


def test_as_captured_is_its_own_fault_free_run(command, tiny):
    _, out, _ = command("replay", tiny, "--policy", "P1", "--json")
    (row,) = json.loads(out)["rows"]
    assert row["verdict"] == "safe"
    assert row["counters"]["faults_injected"] == 0
    assert row["counters"]["makespan_ns"] == row["counters"]["faultfree_makespan_ns"]


def test_a_vanished_buffer_faults_until_it_is_mapped_again(command, tiny):
    _, out, _ = command("replay", tiny, "--policy", "P8", "--scenario", "unmap:at=50%", "--json")
    (row,) = json.loads(out)["rows"]
    # Page 3, twice a round, from half of 30 rounds to the 22nd, whose end maps it again.
    assert row["counters"]["faults_injected"] == 2 * (30 - 8 - 15 + 1)


def test_demand_faults_once_a_page_at_least_and_a_pager_mends_it(command, tiny):
    asked = ("--policy", "P8", "--client", "pager", "--scenario", "demand", "--pace", "100us", "--json")
    _, out, _ = command("replay", tiny, *asked)
    (row,) = json.loads(out)["rows"]
    # Nine pages, and one that the trace maps twice more.
    assert row["counters"]["retried"] == row["counters"]["faults_injected"] == 9 + 2
    assert row["counters"]["terminated"] == 0


def test_the_table_fits_80_columns_and_says_what_the_trace_is(command, tiny, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = command("compare", tiny, *CELLS, *SCENARIO)
    assert status == 0
    table = out[: out.index("rows saved in")]
    assert max(len(line.rstrip()) for line in table.splitlines()) <= 80
    assert "tiny (synthetic)" in table
    assert "assumption" in table
    assert "a device" in table
    assert "heartbeat's worst latency" in table


def test_a_wide_table_names_the_policies(command, tiny, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    _, out, _ = command("compare", tiny, *CELLS, *SCENARIO)
    assert "threaded-resume" in out
    assert "RESUME ignored" in out


def test_no_color_is_honoured(command, tiny, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    _, out, _ = command("compare", tiny, *CELLS)
    assert "\x1b" not in out


def test_the_frame_has_the_rows(tiny):
    import bench

    frame = bench.compare(str(tiny), policies=["P1", "P8"], hardware=["ideal"], scenario="burst:n=3")
    assert frame["policy"].tolist() == ["P1", "P8"]
    assert frame["counters.faults_injected"].tolist() == [3, 3]
    assert frame.attrs["manifest"]["trace"] == "tiny"
    assert bench.replay(str(tiny), "P8")["verdict"] == "safe"


# --- what is wrong is one line, and exit status 2 ----------------------------------------


def refused(command, *arguments):
    status, out, err = command(*arguments)
    assert status == 2
    assert out == ""
    assert err.startswith("smmubench: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("compare", "nowhere.parquet"), "no such trace"),
        (("compare", "--policy", "P99"), "expected one of P0 (legacy-retry)"),
        (("compare", "--hardware", "mmu600"), "mmu500"),
        (("compare", "--client", "nobody"), "adreno-worker"),
        (("compare", "--scenario", "burst:m=3"), "unknown scenario key"),
        (("compare", "--scenario", "burst:gap=3"), "not a duration: scenario burst: gap"),
        (("compare", "--pace", "10"), "not a duration: --pace"),
        (("compare", "--pace", "0"), "more than 0"),
        (("compare", "--costs", "cheap"), "mobile-big"),
        (("compare", "--console", "tty"), "ring"),
        (("compare", "--set", "mmio_raed=5"), "mmio_read"),
        (("compare", "--set", "mmio_read"), "mmio_read=NANOSECONDS"),
        (("compare", "--set", "mmio_read=-5"), "not a duration"),
        (("compare", "--cpus", "irq=x"), "not a CPU"),
        (("compare", "--cpus", "gpu=1"), "irq, thread, worker"),
        (("compare", "--threads", "0"), "smmubench compare --help"),
        (("compare", "--nonsense"), "smmubench compare --help"),
        (("conquer",), "conquer"),
        (("policies", "show", "P99"), "P8 (threaded-resume)"),
        (("hardware", "show", "none"), "qcom-smmu-v2"),
        (("costs", "show", "none"), "mobile-big"),
        (("traces", "info", "qemu-dma-tile"), "qemu-dma-tiles"),
        (("traces", "validate", "nothing"), "no such trace"),
        (("capture", "qemu", "doom", "-o", "x"), "virtio-gpu, dma-tiles"),
    ],
)
def test_bad_usage_is_one_line(command, arguments, says):
    assert says in refused(command, *arguments)


def test_a_truncated_trace_is_one_line(command, tiny, tmp_path):
    (tmp_path / "cut.parquet").write_bytes(tiny.read_bytes()[:-9])
    assert "cut short" in refused(command, "compare", "cut.parquet")


def test_damage_in_the_middle_of_a_trace_is_one_line(command, tiny, tmp_path):
    raw = bytearray(tiny.read_bytes())
    raw[200:240] = bytes(40)
    (tmp_path / "hurt.parquet").write_bytes(raw)
    assert "damaged" in refused(command, "compare", "hurt.parquet")


def test_time_running_backwards_is_one_line(command, tmp_path):
    import pyarrow as pa

    made = tiny_events()
    made["t_ns"][100] = 0
    table = pa.table({n: pa.array(made[n]) for n in EVENT.names}, schema=SCHEMA)
    table = table.replace_schema_metadata({METADATA_KEY: manifest().to_json()})
    pq.write_table(table, tmp_path / "back.parquet", write_page_checksum=True)
    assert "time runs backwards: back.parquet: row 100" in refused(command, "compare", "back.parquet")


def test_an_event_that_cannot_be_carried_out_is_named(command, tmp_path):
    made = [
        event(0, MAP, BASE, prot=RW),
        event(0, READ, BASE, 8, stream=5),
        event(1, MAP, BASE, prot=RW),
        event(1, READ, BASE, 8, stream=5),
    ]
    save(tmp_path / "twice.parquet", np.array(made, EVENT))
    err = refused(command, "replay", "twice.parquet")
    assert "twice.parquet: event 2: expected an IOVA that is not mapped yet" in err


def test_an_output_that_cannot_be_written_is_one_line(command, tiny):
    assert "cannot be written" in refused(
        command, "compare", tiny, "--policy", "P1", "-o", "no/such/folder.parquet"
    )
    assert "cannot be written" in refused(command, "compare", tiny, "--policy", "P1", "-o", ".")


def test_ctrl_c_is_130(monkeypatch, command):
    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.cli, "main", interrupted)
    assert command("compare")[0] == 130


# --- lists ---------------------------------------------------------------------------------


def test_lists_print_the_designs_json(command):
    policies = json.loads(command("policies", "list", "--json")[1])["policies"]
    assert [p["id"] for p in policies] == list(POLICIES)
    assert {"id", "name", "kernel", "source"} <= set(policies[0])
    traces = json.loads(command("traces", "list", "--json")[1])["traces"]
    assert {"qemu-dma-tiles", "qemu-virtio-gpu"} <= {t["name"] for t in traces}
    assert {"name", "kind", "device"} <= set(traces[0])


LISTS = (
    *((name, "list") for name in ("policies", "hardware", "clients", "costs", "scenarios", "traces")),
    *(("policies", "show", policy) for policy in POLICIES),
    ("hardware", "show", "mmu500"),
    ("costs", "show"),
    ("traces", "info", "qemu-dma-tiles"),
)


@pytest.mark.parametrize("arguments", LISTS)
def test_what_is_listed_has_json_beside_it(command, arguments):
    status, out, _ = command(*arguments)
    assert status == 0
    assert out.strip()
    status, out, _ = command(*arguments, "--json")
    assert status == 0
    assert json.loads(out)


def test_policies_show_numbers_the_steps_for_a_client(command):
    _, out, _ = command("policies", "show", "P8", "--client", "none")
    assert "   1  READ FAR" in out
    assert "worker" not in out


def test_policies_show_says_on_which_hardware_a_policy_stalls(command):
    shown = {policy: command("policies", "show", policy)[1] for policy in ("P1", "P4", "P5")}
    assert "on no hardware" in shown["P1"]
    assert "on any hardware" in shown["P4"]
    assert "on hardware of second_fault=terminate alone" in shown["P5"]
    assert json.loads(command("policies", "show", "P5", "--json")[1])["stalls_where"] == "terminate"


def test_light_commands_load_nothing_heavy():
    code = (
        "import sys; from bench import cli; assert cli.run(['policies', 'list', '--json']) == 0;"
        "print([m for m in ('numba', 'pandas', 'pyarrow', 'pydantic', 'matplotlib') if m in sys.modules],"
        " file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_a_closed_pipe_is_no_traceback():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", "from bench.cli import main; main()", "costs", "show"],
        stdout=write, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(write)
    assert "Traceback" not in done.stderr


def test_ctrl_c_does_not_wait_for_the_runs(tmp_path, command, tiny):
    # The kernels are compiled before it starts: from cold that takes longer than is waited here.
    assert command("compare", tiny, "--policy", "P4", "--hardware", "mmu500")[0] == 0
    # A storm of 500 simulated seconds: minutes in the kernel, which no signal interrupts.
    asked = ["compare", "--policy", "P4", "--hardware", "mmu500", "--scenario", "burst:n=1"]
    asked += ["--set", "capture=500000000000"]
    started = subprocess.Popen(
        [sys.executable, "-c", "from bench.cli import main; main()", *asked],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parent.parent)},
    )  # fmt: skip
    time.sleep(3)
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=30)
    assert started.returncode == 130
    assert "Traceback" not in err


def test_an_interrupt_that_a_library_swallows_is_raised_again():
    # numba, while it is loaded, has handlers that catch everything.
    program = """
import time
from bench import cli
def run():
    try:
        print("ready", flush=True)
        time.sleep(60)
    except:
        pass
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        return 130
    return 0
cli.run = run
cli.main()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parent.parent)},
    ) as started:  # fmt: skip
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        started.send_signal(signal.SIGINT)
        assert started.wait(timeout=50) == 130


def test_a_device_is_never_replaced_by_a_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    done = subprocess.run(
        [sys.executable, "-c", "from bench.cli import main; main()", "compare", "-o", str(pipe)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "a plain file" in done.stderr
    assert pipe.is_fifo()


def test_the_readme_shows_the_headline_table_as_it_is_printed(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "from bench.cli import main; main()", "compare", "--hardware", "mmu500"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "COLUMNS": "96", "NO_COLOR": "1"},
    )  # fmt: skip
    printed = [line.rstrip() for line in done.stdout.splitlines()]
    first = next(k for k, line in enumerate(printed) if line.startswith("policy"))
    last = max(k for k, line in enumerate(printed) if line.startswith(" clear-all"))
    readme = (Path(cli.__file__).parent.parent / "README.md").read_text()
    assert "\n".join(printed[first : last + 1]) in readme
