"""Four processes log while the server and two of them are killed: what was taken is stored, once."""

import io
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from modelship_lab import client
from modelship_lab.client.spooled_request import SpooledRequest
from tests.conftest import LabServer
from tests.server.api.test_sockets import deaf, hear, live

STEPS = 3000

WRITER = """
import sys, time
from pathlib import Path
from modelship_lab import client
lab = client.connect(data_dir=Path(sys.argv[1]), start=False)
run = lab.start_run("one of four")
print(run.id, flush=True)
sys.stdin.readline()
for step in range(int(sys.argv[2])):
    run.log({"loss": step / 2, "accuracy": -step}, step)
    if step % 50 == 49:
        if run.flush(0):
            print(step, flush=True)
        time.sleep(0.05)
run.flush(60)
run.finish()
print("finished", flush=True)
"""


class Writer:
    """A process that logs `STEPS` steps of two metrics, at about a thousand steps a second."""

    def __init__(self, data_dir: Path, steps: int = STEPS) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(data_dir), str(steps)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": "."},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.run_id = int(self.process.stdout.readline())

    def go(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> list[str]:
        """End it at once; returns what it has said."""
        self.process.kill()
        return self.said()

    def said(self) -> list[str]:
        """What it says until its end."""
        said, _ = self.process.communicate(timeout=120)
        return said.split()


def stored(server: LabServer, run_id: int) -> pl.DataFrame:
    answer = server.client.get(
        f"runs/{run_id}/metrics", headers={"Accept": "application/vnd.apache.arrow.stream"}
    )
    answer.raise_for_status()
    return pl.read_ipc_stream(io.BytesIO(answer.content))


def spooled(data_dir: Path, run_id: int) -> list[tuple[str, int]]:
    """The points of a run that wait on disk."""
    points = []
    for path in data_dir.glob("spool/*/*/*/*.request"):
        request = SpooledRequest.read(path)
        if request.path == f"runs/{run_id}/metrics":
            table = pa.ipc.open_stream(request.body).read_all()
            points += zip(table["name"].to_pylist(), table["step"].to_pylist(), strict=True)
    return points


@pytest.fixture
def start_writer(tmp_path: Path) -> Iterator:
    """Start writers; what is left of them is killed afterwards."""
    started: list[Writer] = []

    def start() -> Writer:
        started.append(Writer(tmp_path))
        return started[-1]

    yield start
    for writer in started:
        if writer.process.poll() is None:
            writer.kill()


def test_what_four_clients_log_is_stored_once_when_the_server_and_two_of_them_are_killed(
    start_server, start_writer, tmp_path: Path
) -> None:
    server = start_server(tmp_path)
    writers = [start_writer() for _ in range(4)]
    for writer in writers:
        writer.go()
    time.sleep(0.8)
    dead = {writers[0].run_id: writers[0].kill()}
    server.kill()
    time.sleep(0.5)
    # This one logs to its disk alone.
    dead[writers[1].run_id] = writers[1].kill()
    time.sleep(0.5)
    server = start_server(tmp_path)
    for writer in writers[2:]:
        assert writer.said()[-1] == "finished"
        expected = [(name, step) for step in range(STEPS) for name in ("loss", "accuracy")]
        frame = stored(server, writer.run_id)
        assert list(frame.select("name", "step").iter_rows()) == expected
        assert frame.filter(pl.col("name") == "loss")["value"].to_list() == [
            step / 2 for step in range(STEPS)
        ]
    taken = {
        run_id: {*stored(server, run_id).select("name", "step").iter_rows(), *spooled(tmp_path, run_id)}
        for run_id in dead
    }
    client.connect(data_dir=tmp_path, start=False).wait_for_replay()
    for run_id, said in dead.items():
        found = list(stored(server, run_id).select("name", "step").iter_rows())
        acknowledged = int(said[-1]) if said else -1
        assert len(found) == len(set(found))
        assert set(found) == taken[run_id]
        assert found == [(name, step) for step in range(len(found) // 2) for name in ("loss", "accuracy")]
        assert len(found) // 2 > acknowledged
        assert len(found) // 2 < STEPS, "it was killed too late to show anything"
    assert len(taken[writers[0].run_id]) > 0


def test_a_full_disk_of_the_server_costs_no_point_and_holds_up_nobody(start_server, tmp_path: Path) -> None:
    server = start_server(tmp_path)
    lab = client.connect(data_dir=tmp_path, start=False)
    run = lab.start_run("full disk")
    run.log({"loss": 0.0}, 0)
    assert run.flush(10)
    write_ahead_log = tmp_path / "lab.duckdb.wal"
    resource.prlimit(
        server.process.pid,
        resource.RLIMIT_FSIZE,
        (write_ahead_log.stat().st_size + 20_000, resource.RLIM_INFINITY),
    )
    started = time.monotonic()
    for step in range(1, 100_000):
        run.log({"loss": float(step % 997) ** 0.5}, step)
    assert time.monotonic() - started < 10, "logging waited for the server"
    assert not run.flush(1)
    assert stored(server, run.id).height < 100_000
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    assert run.flush(30)
    run.finish()
    assert stored(server, run.id)["step"].to_list() == list(range(100_000))
    lab.close()


def test_sockets_that_never_read_cost_no_point_and_hold_up_nobody(
    lab: client.Lab, lab_server: LabServer
) -> None:
    run = lab.start_run("fifty silent sockets")
    topic = f"run:{run.id}"
    silent = [deaf(lab_server, topic) for _ in range(50)]
    try:
        with live(lab_server, lab_server.token, topic) as socket:
            assert hear(socket)["type"] == "subscribed"
            for step in range(100_000):
                run.log({"loss": step / 3, "accuracy": step / 7}, step)
            assert run.flush(60)
            told = 0
            while told < run.metrics().sequence:
                said = hear(socket)
                told = said["sequence"] if said["type"] == "metrics" else told
    finally:
        for one in silent:
            one.close()
    run.finish()
    assert len(run.metrics_frame()) == 200_000
