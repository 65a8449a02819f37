"""A sweep that is killed, in threads or on a cluster: nothing lost, nothing twice."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.sweeps import cluster
from bench.sweeps.dataset import ROWS
from tests.bench.conftest import save, tiny_events

SPEC = """
[axes]
trace = "tiny.parquet"
policy = ["P4", "P8", "P2", "P3"]
hardware = ["mmu500", "ideal"]
scenario = {each = "burst:n=3,gap={}us", from = 10, to = 29}
seed = {from = 0, to = 19}
"""
CELLS = 4 * 2 * 20 * 20
RUN = "import sys; from bench.cli import main; sys.argv[0] = 'smmubench'; main()"


def start(folder, every="0.02"):
    command = [sys.executable, "-c", RUN, "sweep", "small.toml", "--threads", "2", "--every", every]
    return subprocess.Popen(
        [*command, "-o", "out"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def wait_for_rows(process, rows):
    """Wait until the process adds a file of rows, or a part of one."""
    before = set(rows.glob("*"))
    while process.poll() is None and set(rows.glob("*")) <= before:
        time.sleep(0.002)


def landed(folder):
    """Return the rows of every file: each must be whole."""
    files = sorted((folder / "out" / ROWS).glob("[!.]*.parquet"))
    return [row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()]


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "tiny.parquet", tiny_events(rounds=4))
    (tmp_path / "small.toml").write_text(SPEC)
    return tmp_path


@pytest.mark.slow
def test_a_sweep_killed_at_twenty_random_moments_loses_nothing_and_does_nothing_twice(folder):
    chance = random.Random(20)
    finished = set()
    at_work = 0
    for turn in range(20):
        process = start(folder)
        # Every fifth time at any moment of the start; otherwise at any moment once rows land.
        if turn % 5:
            wait_for_rows(process, folder / "out" / ROWS)
            time.sleep(chance.uniform(0, 0.25))
        else:
            time.sleep(chance.uniform(0, 2))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        cells = [row["cell"] for row in landed(folder)]
        assert max(Counter(cells).values(), default=1) == 1
        assert finished <= set(cells)
        at_work += len(cells) > len(finished)
        finished = set(cells)
    # Most have struck a sweep at work, and the last one before its end, or the test says nothing.
    assert at_work >= 10
    assert len(finished) < CELLS
    last = start(folder)
    _, err = last.communicate(timeout=300)
    assert last.returncode == 0, err
    rows = landed(folder)
    assert len(rows) == len({row["cell"] for row in rows}) == CELLS
    assert finished <= {row["cell"] for row in rows}

    (folder / "out").rename(folder / "killed")
    again = start(folder)
    _, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert sorted(map(repr, landed(folder))) == sorted(map(repr, rows))


@pytest.mark.slow
def test_an_interrupt_keeps_every_row_that_was_told_of(folder):
    process = start(folder, every="3600")
    told = 0
    for line in process.stderr:
        words = line.decode().split()
        if "of" in words and words[2] == "of" and "before" not in words:
            told = int(words[1].replace(",", ""))
            if told:
                break
    assert told and not landed(folder)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert len(landed(folder)) >= told


# --- on a cluster ----------------------------------------------------------------------------
@pytest.fixture
def workers(monkeypatch):
    """Two worker processes of one thread each, with a nanny that starts dead ones again."""
    distributed = pytest.importorskip("distributed")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
    ) as local:
        yield local


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_cluster_gives_the_rows_of_threads_and_a_worker_that_dies_is_replaced(folder, command, workers):
    (folder / "small.toml").write_text(SPEC.replace("to = 29}", "to = 12}").replace("to = 19}", "to = 3}"))
    killed = []

    def strike():
        """Kill a worker once rows have begun to land."""
        pids = [worker.pid for worker in workers.workers.values()]
        killed.append(pids[0])
        os.kill(pids[0], signal.SIGKILL)

    real = cluster.Cluster._stream

    def struck(self, plan, cells):
        for rows in real(self, plan, cells):
            if rows and not killed:
                strike()
            yield rows

    cluster.Cluster._stream = struck
    try:
        status, out, err = command("sweep", "small.toml", "-o", "out", "--dask", workers.scheduler_address)
    finally:
        cluster.Cluster._stream = real
    assert status == 0, out + err
    assert killed
    rows = landed(folder)
    assert len(rows) == len({row["cell"] for row in rows}) == 4 * 2 * 3 * 4
    assert command("sweep", "small.toml", "-o", "threads")[0] == 0
    files = sorted((folder / "threads" / ROWS).glob("*.parquet"))
    same = pa.concat_tables([pq.read_table(file, partitioning=None) for file in files]).to_pylist()
    assert sorted(map(repr, same)) == sorted(map(repr, rows))


class Deadly:
    """Has a worker, and every one that replaces it, end without a word when it computes a certain cell."""

    name = "deadly"

    def setup(self, worker):
        from bench.sweeps.work import Workshop

        real = Workshop.run

        def run(self, cell):
            words = self.plan.words(cell)
            if (words["policy"], words["scenario"], words["seed"]) == ("P4", "burst:n=3,gap=11us", 1):
                os._exit(1)
            return real(self, cell)

        Workshop.run = run


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_cell_that_kills_every_worker_is_recorded_and_no_other_is_lost_with_it(
    folder, command, monkeypatch
):
    distributed = pytest.importorskip("distributed")
    import dask
    from distributed.diagnostics.plugin import WorkerPlugin

    (folder / "small.toml").write_text(
        SPEC.replace("to = 29}", "to = 12}").replace("to = 19}", "to = 3}").replace(', "ideal"]', "]")
    )
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    plugin = type("DeadlyPlugin", (Deadly, WorkerPlugin), {})()
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as local,
        distributed.Client(local, set_as_default=False) as client,
    ):
        client.register_plugin(plugin)
        status, _, err = command("sweep", "small.toml", "-o", "out", "--dask", local.scheduler_address)
    assert status == 1, err
    rows = landed(folder)
    assert len(rows) == len({row["cell"] for row in rows}) == 4 * 3 * 4
    (failed,) = [row for row in rows if row["status"] == "failed"]
    assert (failed["policy"], failed["scenario"], failed["seed"]) == ("P4", "burst:n=3,gap=11us", 1)
    assert "killed every worker" in failed["error"]


def test_a_scheduler_that_does_not_answer_is_told(folder, command, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "CONNECT_S", 1)
    status, _, err = command("sweep", "small.toml", "--dask", "tcp://127.0.0.1:9")
    assert status == 2
    assert "no Dask scheduler: --dask tcp://127.0.0.1:9" in err


def test_without_dask_the_option_names_what_to_install(folder, command, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    status, _, err = command("sweep", "small.toml", "--dask", "tcp://127.0.0.1:9")
    assert status == 2
    assert "smmubench[cluster]" in err


def test_batches_grow_to_about_a_second():
    assert cluster._sized(1, 0.001) == 4
    assert cluster._sized(10, 0.5) == 20
    assert cluster._sized(10, 20.0) == 1
    assert cluster._sized(200, 0.1) == cluster.MOST_CELLS
