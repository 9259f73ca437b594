"""A run whose process died is told apart from one that is not heard of, with real processes."""

import asyncio
import json
import os
import subprocess
import sys
import time

import pytest

from modelship_lab.records.processes import is_alive, this_machine, this_process
from modelship_lab.records.tracking import NewRun, RunProcess
from modelship_lab.server.tracking import heartbeats as heartbeats_module
from modelship_lab.server.tracking import liveness
from tests.server.ownership.conftest import newcomer
from tests.server.tracking.test_run_services import ALICE, points, with_tracking
from tests.server.tracking.test_runs import log, new_run, stream

__all__ = ["with_tracking"]

PROGRAM = (
    "import sys\n"
    "from modelship_lab.records.processes import this_process\n"
    "print(this_process().model_dump_json(), flush=True)\n"
    "sys.stdin.read()\n"
)


@pytest.fixture
def process():
    """Another process of this machine, and what it says of itself."""
    started = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    yield started, json.loads(started.stdout.readline())
    started.kill()
    started.wait()
    started.stdin.close()
    started.stdout.close()


def eventually(client, run, status, within_s=20.0):
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = client.get(f"runs/{run['id']}").json()
        if found["status"] == status:
            return found
        time.sleep(0.1)
    raise AssertionError(f"The run is {found['status']}, not {status}.")


def test_a_process_knows_itself_and_others_whether_they_live(process):
    started, told = process
    other = RunProcess(**told)
    assert is_alive(this_process()) is True
    assert is_alive(other) is True
    assert other.machine == this_machine()
    # Somebody else who got the number of one that ended.
    assert is_alive(other.model_copy(update={"started_at": other.started_at - 1})) is False
    assert is_alive(other.model_copy(update={"machine": "elsewhere"})) is None
    assert is_alive(other.model_copy(update={"pid": (1 << 62)})) in (False, None)
    started.kill()
    # Not yet waited for: a zombie.
    deadline = time.monotonic() + 10
    while is_alive(other) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert is_alive(other) is False
    started.wait()
    assert is_alive(other) is False


def test_a_run_whose_process_is_killed_is_interrupted_at_once(lab_server, process):
    started, told = process
    client = newcomer(lab_server, "killed").client
    run = new_run(client, process=told, heartbeats=True)
    unwatched = new_run(client, process=told)
    elsewhere = new_run(client, process={**told, "machine": "elsewhere"}, heartbeats=True)
    kept = new_run(client, process=this_process().model_dump(), heartbeats=True)
    started.kill()
    started.wait()
    ended = eventually(client, run, "interrupted")
    assert ended["ended_at"] == ended["heartbeat_at"]
    events = client.get("events", params={"topic": f"run:{run['id']}"}).json()["items"]
    assert [event["payload"].get("status") for event in events if event["author"] == "lab"] == ["interrupted"]
    for other in (unwatched, elsewhere, kept):
        assert client.get(f"runs/{other['id']}").json()["status"] == "running"
    # What a dead process has left in its spool is stored, and does not raise it.
    assert log(client, run, stream(["loss"], [4], [1.0])).json()["accepted"] == 1
    assert client.get(f"runs/{run['id']}").json()["status"] == "interrupted"
    resumed = client.post(f"runs/{run['id']}/resume", json={"process": this_process().model_dump()}).json()
    assert (resumed["run"]["status"], resumed["next_step"]) == ("running", 5)


def test_after_a_restart_of_the_server_the_dead_are_known_at_once(start_server, tmp_path, process):
    started, told = process
    server = start_server(tmp_path / "lab")
    dead = new_run(server.client, process=told, heartbeats=True)
    silent = new_run(server.client, process={**told, "machine": "elsewhere"}, heartbeats=True)
    server.kill()
    started.kill()
    started.wait()
    server = start_server(tmp_path / "lab")
    eventually(server.client, dead, "interrupted")
    assert server.client.get(f"runs/{silent['id']}").json()["status"] == "running"


def test_a_silent_run_is_unreachable_until_it_speaks(with_tracking, monkeypatch):
    monkeypatch.setattr(liveness, "LOST_AFTER_S", 0.1)
    monkeypatch.setattr(heartbeats_module, "LOOK_EVERY_S", 0.02)
    elsewhere = RunProcess(machine="elsewhere", pid=os.getpid(), started_at=1.0)

    async def until(lab, run, status):
        for _ in range(500):
            if (found := await lab.runs.get(run.id, ALICE)).status == status:
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(f"The run is {found.status}, not {status}.")

    async def work(lab):
        silent = await lab.runs.create(NewRun(heartbeats=True, process=elsewhere), ALICE)
        # It may think for long, but it is there.
        busy = await lab.runs.create(NewRun(heartbeats=True, process=this_process()), ALICE)
        lab.heartbeats.start()
        assert (await until(lab, silent, "unreachable")).ended_at is None
        # A job that another process took up has nobody to dispute it.
        taken = await lab.runs.create(NewRun(heartbeats=True, process=elsewhere), ALICE)
        await until(lab, taken, "unreachable")
        await lab.heartbeats.stop()
        assert (await lab.runs.get(busy.id, ALICE)).status == "running"
        await lab.metrics.log_points(silent.id, points(("a", 1.0, None)), "", 0, ALICE)
        assert (await lab.runs.get(silent.id, ALICE)).status == "running"
        await lab.heartbeats.heartbeat(taken.id, ALICE)
        assert (await lab.runs.get(taken.id, ALICE)).status == "running"

    with_tracking(work)
