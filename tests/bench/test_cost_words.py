"""`--costs`, `--console`, `--cpi`, `--clock`, `--set`, and a user's cost file."""

import json
import shlex

import pytest

ONE = ("--policy", "P8", "--hardware", "mmu500", "--scenario", "burst:n=30,gap=50us")

GOOD = """
name = "my-soc"
base = "server"
cpi = 1.0
clock = 1.0
console = "threaded-115200"

[cost.mmio_read]
ns = 210
low = 180
high = 260
tag = "measured"
source = "our board, 2026-11"

[cost.capture]
ns = 5_000_000
"""


@pytest.fixture
def compared(tiny, command):
    def run(*more):
        status, out, err = command("compare", tiny, *ONE, "--json", "-o", "rows.parquet", *more)
        assert status == 0, err
        return json.loads(out)

    return run


@pytest.fixture
def file(tmp_path):
    def write(text, name="soc.toml"):
        (tmp_path / name).write_text(text)
        return name

    return write


def shown(command, *arguments):
    status, out, err = command("costs", "show", *arguments, "--json")
    assert status == 0, err
    data = json.loads(out)
    return data, {entry["name"]: entry for entry in data["costs"]}


# --- CPUs and consoles


def test_the_list_has_every_profile_with_its_ranges_and_every_console_with_who_pays(command):
    data = json.loads(command("costs", "list", "--json")[1])
    assert [c["name"] for c in data["costs"]] == ["mobile-big", "mobile-little", "server"]
    assert all(c["cpi_range"][0] < c["cpi"] < c["cpi_range"][1] for c in data["costs"])
    names = "none ring netconsole serial-115200 serial-921600 serial-1500000"
    names += " threaded-115200 threaded-921600 threaded-1500000"
    assert [c["name"] for c in data["consoles"]] == names.split()
    out = command("costs", "list")[1]
    assert "server" in out and "netconsole" in out


def test_show_prints_value_range_tag_and_source_of_each_cost_and_of_the_cpu(command):
    _, out, _ = command("costs", "show", "mobile-little")
    words = " ".join(out.split())
    assert "cpi 2.5 1.5 to 4 assumed" in words
    assert "clock 1.8 GHz 1 to 2.2 GHz assumed" in words
    assert "mmio_read 150 ns 80 ns to 400 ns assumed on-SoC nGnRE read" in words


def test_cpi_and_clock_change_what_instructions_cost(command):
    data, costs = shown(command, "--cpi", "3", "--clock", "1.5")
    # 351 instructions x 3 / 1.5
    assert costs["irq_entry_task"]["ns"] == 702
    assert costs["mmio_read"]["ns"] == 150
    assert data["cpu"]["cpi_is"] == "set on the command line"


def test_the_result_says_which_cpu_and_which_costs_are_the_users(compared):
    m = compared("--cpi", "3", "--set", "mmio_read=77", "--costs", "server")["manifest"]
    assert m["cpu"] == {
        "name": "server", "ghz": 2.6, "cpi": 3.0, "ghz_is": "assumed", "cpi_is": "set on the command line",
    }  # fmt: skip
    assert m["costs_set"] == {"mmio_read": 77}
    assert m["cost_is"]["irq_entry_task"] == "measured"


def test_a_threaded_console_moves_the_printing_off_the_handler(compared):
    def counters(console):
        return compared("--console", console, "--client", "none")["rows"][0]["counters"]

    ring, threaded, serial = (counters(name) for name in ("ring", "threaded-115200", "serial-115200"))
    # Ten reports of three lines: 298 characters, 10 bits each, at 115,200 baud.
    assert threaded["console_ns"] == pytest.approx(10 * 298 * 10 / 115_200 * 1e9, rel=0.01)
    assert threaded["cpu_thread_ns"] == ring["cpu_thread_ns"]
    assert serial["cpu_thread_ns"] > threaded["console_ns"]
    assert serial["console_ns"] == ring["console_ns"] == 0


# --- distributions


def test_a_drawn_wake_up_depends_on_the_seed_and_is_named_in_the_result(compared):
    asked = ("--set", "thread_wake=lognormal:p50=5us,p99=50us")
    runs = [compared(*asked, "--seed", seed) for seed in ("1", "1", "2")]
    thread = [run["rows"][0]["counters"]["cpu_thread_ns"] for run in runs]
    assert thread[0] == thread[1] != thread[2]
    assert runs[0]["manifest"]["costs_drawn"] == {"thread_wake": "lognormal:p50=5us,p99=50us"}


def test_a_fixed_run_does_not_depend_on_the_seed(compared):
    rows = [compared("--seed", seed)["rows"][0] for seed in ("1", "2")]
    assert rows[0] | {"seed": 2} == rows[1]


def test_the_table_says_what_is_drawn(tiny, command):
    _, out, _ = command("compare", tiny, *ONE, "--set", "work_wake=lognormal:p50=5us,p99=1ms")
    assert "work_wake=lognormal:p50=5us,p99=1ms set by you" in " ".join(out.split())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("mmio_read=lognormal:p50=5us,p99=50us", "expected a time (only thread_wake and work_wake vary)"),
        (
            "thread_wake=normal:p50=5us,p99=50us",
            "unknown distribution: --set thread_wake: expected one of lognor",
        ),
        ("thread_wake=lognormal:p50=5us", "expected p50 and p99, as in lognormal:p50=5us,p99=50us"),
        ("thread_wake=lognormal", "expected p50 and p99"),
        ("thread_wake=lognormal:", "expected p50 and p99"),
        ("thread_wake=lognormal:p50=5us,p50=6us", "expected p50 and p99"),
        ("thread_wake=lognormal:p50=5,p99=50us", "not a duration: --set thread_wake: p50"),
        ("thread_wake=lognormal:p50=5us,p99=4us", "1ns <= p50 <= p99 <= 60s"),
        ("thread_wake=lognormal:p50=0,p99=4us", "1ns <= p50 <= p99 <= 60s"),
        ("thread_wake=lognormal:p50=1us,p99=61s", "1ns <= p50 <= p99 <= 60s"),
        ("mmio_read=99999999999999999", "duration too long: --set mmio_read"),
    ],
)
def test_a_change_that_cannot_be_is_one_line(command, change, says):
    status, out, err = command("costs", "show", "--set", change)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--cpi", "0", "not a CPU's: --cpi: expected 0.1 to 100, found 0"),
        ("--cpi", "nan", "not a CPU's: --cpi: expected 0.1 to 100, found nan"),
        ("--clock", "2200", "not a CPU's: --clock: expected 0.01 to 20, found 2200"),
        ("--clock", "fast", "--clock"),
    ],
)
def test_a_cpu_that_cannot_be_is_one_line(tiny, command, option, value, says):
    for arguments in (("compare", tiny), ("costs", "show")):
        status, out, err = command(*arguments, option, value)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert says in err


# --- a user's cost file


def test_a_cost_file_is_its_base_with_what_it_says(command, file):
    data, costs = shown(command, file(GOOD))
    assert (data["name"], data["console"], data["cpu"]["name"]) == ("my-soc", "threaded-115200", "server")
    assert costs["mmio_read"] == {
        "name": "mmio_read", "ns": 210, "low": 180, "high": 260, "tag": "measured",
        "source": "our board, 2026-11",
    }  # fmt: skip
    assert costs["capture"] == {
        "name": "capture", "ns": 5_000_000, "low": 5_000_000, "high": 5_000_000, "tag": "assumed",
        "source": "set in the cost file",
    }  # fmt: skip
    assert costs["irq_entry_task"]["ns"] == 351
    assert costs["mmio_write"]["ns"] == 40


def test_a_cost_file_without_a_name_has_its_files(command, file):
    data, costs = shown(command, file("[cost.report]\nns = 0\n", "board.toml"))
    assert (data["name"], data["console"], costs["report"]["ns"]) == ("board", "ring", 0)


def test_options_go_before_the_file(command, file):
    data, costs = shown(
        command, file(GOOD), "--console", "none", "--cpi", "2", "--set", "mmio_read=1us", "--clock", "2"
    )
    assert data["console"] == "none"
    assert costs["mmio_read"]["ns"] == 1_000
    assert costs["capture"]["ns"] == 5_000_000
    assert (costs["irq_entry_task"]["ns"], data["cpu"]["ghz_is"]) == (351, "set on the command line")


def test_a_run_with_a_cost_file_carries_its_values_and_sources_but_not_its_place(compared, file, tmp_path):
    made = compared("--costs", file(GOOD))
    assert made["rows"][0]["costs"] == made["manifest"]["costs"] == "my-soc"
    assert made["manifest"]["cost_ns"]["mmio_read"] == 210
    assert made["manifest"]["cost_is"]["mmio_read"] == "measured"
    assert made["manifest"]["cost_sources"]["mmio_read"] == "our board, 2026-11"
    (tmp_path / "sub").mkdir()
    again = compared("--costs", file(GOOD, "sub/other.toml"))
    assert again == made


def test_what_is_suggested_next_repeats_the_costs(tiny, command, file):
    asked = ("--costs", file(GOOD), "--cpi", "1.5", "--set", "capture=3ms")
    _, out, _ = command("compare", tiny, *ONE, *asked)
    (line,) = (line for line in out.splitlines() if "smmubench replay" in line)
    assert shlex.split(line)[-10:-4] == [*asked]
    assert command(*shlex.split(line)[1:])[0] == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cpi = ", "not TOML: --costs soc.toml"),
        ("cpu = 1", "soc.toml: cpu: expected one of name, base, cpi, clock, console, cost, found 'cpu'"),
        ('base = "desktop"', "unknown base: --costs soc.toml: base: expected one of mobile-big"),
        ('console = "tty"', "unknown console: --costs soc.toml: console: expected one of none, ring"),
        ("cpi = 0", "soc.toml: cpi: expected greater than or equal to 0.1, found 0"),
        ("cpi = nan", "soc.toml: cpi: expected"),
        ("cpi = true", "soc.toml: cpi: expected a valid number, found True"),
        ('clock = "2 GHz"', "soc.toml: clock: expected a valid number, found '2 GHz'"),
        ('name = "a/b"', "soc.toml: name: expected at most 40 letters"),
        ('name = "server"', "name that is taken: --costs soc.toml: name"),
        ("cost = 3", "soc.toml: cost: expected a table such as [cost.mmio_read], found 3"),
        ("[cost]\nmmio_read = 3", "cost.mmio_read: expected a table such as [cost.mmio_read], found 3"),
        ("[cost.mmio_raed]\nns = 3", "unknown cost: --costs soc.toml: cost: expected one of utlb_hit"),
        ("[cost.mmio_read]", "soc.toml: cost.mmio_read.ns: expected a value, found nothing"),
        ("[cost.mmio_read]\nns = -1", "cost.mmio_read.ns: expected greater than or equal to 0, found -1"),
        ("[cost.mmio_read]\nns = 1.5", "soc.toml: cost.mmio_read.ns: expected a valid integer, found 1.5"),
        ("[cost.mmio_read]\nns = 1\nlow = 2", "cost.mmio_read: expected low <= ns <= high"),
        ('[cost.mmio_read]\nns = 1\ntag = "guess"', "cost.mmio_read.tag: expected 'measured', 'cited'"),
        ("[cost.mmio_read]\nns = 1\nmax = 2", "cost.mmio_read.max: expected one of ns, low, high, tag"),
    ],
)  # fmt: skip
def test_a_wrong_cost_file_is_refused_with_file_and_key(command, file, text, says):
    status, out, err = command("costs", "show", file(text))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err


def test_a_cost_file_that_cannot_be_read_is_one_line(command, file, tmp_path):
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    for name, says in (
        ("nowhere.toml", "No such file"), ("folder.toml", "directory"), ("bytes.toml", "no UTF-8"),
    ):  # fmt: skip
        status, _, err = command("costs", "show", name)
        assert (status, err.count("\n")) == (2, 1)
        assert "cannot be read" in err and says in err
