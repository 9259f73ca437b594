"""What becomes of model workers when the lab server dies, stops and comes back, or when they hang."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from modelship_lab.records.registry import NewModelVersion
from modelship_lab.records.serving import NewDeployment
from modelship_lab.records.tracking import NewRun
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import OWNER
from modelship_lab.server.registry.bundles import BundleStore
from modelship_lab.server.registry.models import Models
from modelship_lab.server.serving.deployments import Deployments
from modelship_lab.server.serving.engine import LocalEngine
from modelship_lab.server.serving.store import DeploymentStore
from modelship_lab.server.serving.supervisor import Patience, Supervisor
from modelship_lab.server.serving.worker import Worker, last_words
from modelship_lab.server.storage.database import Database
from modelship_lab.server.tracking.runs import Runs
from tests.server.shipping import deployed, registered, settled, text_bundle, worker_processes


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data directory whose workers end with the test, however that ends."""
    yield tmp_path / "lab"
    for process in worker_processes(tmp_path / "lab"):
        process.kill()


def direct(deployment: dict) -> httpx.Response:
    headers = {"Authorization": f"Bearer {deployment['key']}"}
    return httpx.post(deployment["address"] + "/predict", headers=headers, json={"data": "won"})


def test_workers_outlive_a_killed_server_and_are_taken_over(
    start_server: Callable, data_dir: Path, tmp_path: Path
) -> None:
    lab = start_server(data_dir)
    model = registered(lab.client, tmp_path, "surviving")
    before = deployed(lab.client, model, "surviving")
    gone = deployed(lab.client, model, "gone")
    time.sleep(1.2)
    lab.kill()

    answers = [direct(before).status_code for _ in range(20)]
    assert answers == [200] * 20
    (survivor, victim) = sorted(worker_processes(data_dir), key=lambda one: one.create_time())
    victim.kill()
    victim.wait(5) if victim.is_running() else None

    lab = start_server(data_dir)
    after = settled(lab.client, "surviving")
    assert after == before, "nothing about it has changed, its address least of all"
    restarted = settled(lab.client, "gone")
    assert restarted["status"] == "ready"
    assert restarted["address"] == gone["address"]
    workers = worker_processes(data_dir)
    assert len(workers) == 2
    assert survivor.pid in {worker.pid for worker in workers}
    answer = lab.client.post("deployments/surviving/predict", json={"data": "won"})
    assert answer.status_code == 200
    time.sleep(1.2)
    total = lab.client.get("deployments/surviving/metrics").json()["total"]
    assert total["requests"] == 21, "those that came while the lab server was away are counted"

    # One that was taken over is watched like one of the server's own.
    survivor.kill()
    assert lab.client.post("deployments/surviving/predict", json={"data": "won"}).status_code == 200
    assert settled(lab.client, "surviving")["restarts"] == 1
    lab.stop()
    assert not worker_processes(data_dir)


def test_a_graceful_stop_stops_the_workers_and_the_next_start_brings_them_back(
    start_server: Callable, data_dir: Path, tmp_path: Path
) -> None:
    lab = start_server(data_dir)
    model = registered(lab.client, tmp_path, "returning")
    before = deployed(lab.client, model, "returning")
    deployed(lab.client, model, "deleted")
    lab.client.delete("deployments/deleted").raise_for_status()
    lab.stop()
    assert not worker_processes(data_dir)

    lab = start_server(data_dir)
    after = settled(lab.client, "returning")
    assert (after["status"], after["version"], after["restarts"]) == ("ready", 1, 0)
    assert (after["address"], after["key"]) == (before["address"], before["key"])
    assert direct(after).status_code == 200
    assert len(worker_processes(data_dir)) == 1
    assert len(list((data_dir / "workers").iterdir())) == 1


def test_a_start_that_the_crash_interrupted_is_done_again(
    start_server: Callable, data_dir: Path, tmp_path: Path
) -> None:
    lab = start_server(data_dir)
    model = registered(lab.client, tmp_path, "interrupted")
    lab.client.post("deployments", json={"model": model, "name": "interrupted"}).raise_for_status()
    lab.kill()
    lab = start_server(data_dir)
    assert settled(lab.client, "interrupted")["status"] == "ready"
    assert lab.client.post("deployments/interrupted/predict", json={"data": "x"}).status_code == 200
    assert len(worker_processes(data_dir)) == 1


async def in_process(
    data_dir: Path, tar: Path, patience: Patience, work: Callable[..., Awaitable[None]]
) -> None:
    """The serving services themselves, with a patience that a test can wait for."""
    for name in ("bundles", "uploads", "workers"):
        (data_dir / name).mkdir(parents=True)
    database = Database(data_dir / "lab.duckdb")
    events = EventLog(database)
    bundles = BundleStore(data_dir / "bundles", data_dir / "uploads")
    runs = Runs(database, events)
    models = Models(database, events, bundles, runs.get)
    store = DeploymentStore(database, events)

    async def no_farewell(worker: Worker) -> None:
        return

    engine = LocalEngine(data_dir / "workers")
    deployments = Deployments(
        store, Supervisor(store, engine, bundles.folder, no_farewell, patience), models.version
    )
    run = await runs.create(NewRun(name="by hand"), OWNER)
    digest, _ = bundles.add(tar)
    await runs.set_bundle(run.id, digest, OWNER)
    await models.register(NewModelVersion(name="model", run_id=run.id), OWNER)
    await deployments.start()
    try:
        await deployments.deploy(NewDeployment(model="model/1", name="api"), OWNER)
        assert (await deployments.get("api", OWNER, wait_s=50)).status == "ready"
        await work(deployments)
    finally:
        await deployments.stop()
        database.close()


def test_a_worker_that_hangs_is_ended_and_started_again(data_dir: Path, tmp_path: Path) -> None:
    async def work(deployments: Deployments) -> None:
        (hanging,) = worker_processes(data_dir)
        hanging.suspend()
        for _ in range(200):
            await asyncio.sleep(0.05)
            now = await deployments.get("api", OWNER)
            if now.restarts == 1 and now.status == "ready":
                break
        assert (now.restarts, now.status) == (1, "ready")
        assert not hanging.is_running() or hanging.status() == "zombie"
        assert (await deployments.predict("api", OWNER, b'{"data": "won"}', "application/json")).status == 200

    tar = tmp_path / "bundle.tar"
    tar.write_bytes(text_bundle(tmp_path / "source"))
    patience = Patience(ask_every_s=0.1, answer_within_s=0.3, unanswered=2)
    asyncio.run(in_process(data_dir, tar, patience, work))
    assert not worker_processes(data_dir)


def test_last_words_tell_no_secrets_and_no_paths(tmp_path: Path) -> None:
    log = tmp_path / "stderr.log"
    log.write_text(
        "Traceback (most recent call last):\n"
        '  File "/home/someone/private/thing.py", line 1, in <module>\n'
        "    raise ValueError\n"
        "ValueError: cannot read /home/someone/private/model.onnx with s3cr3t-key\n"
    )
    said = last_words(log, "s3cr3t-key")
    assert said == "ValueError: cannot read model.onnx with ***"
    assert last_words(tmp_path / "absent", "key") == ""
