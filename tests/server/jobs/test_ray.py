"""A training on a Ray cluster of two nodes, which the test makes."""

import contextlib
import socket

import pytest
import ray
from ray.cluster_utils import Cluster

from tests.conftest import run_server
from tests.server.jobs.test_trainings import LONG, begun, ended, labeled, until

pytestmark = pytest.mark.slow


def ports():
    """Ports for the agents of a node, which otherwise waits for each to choose its own."""
    names = (
        "metrics_agent_port",
        "metrics_export_port",
        "runtime_env_agent_port",
        "dashboard_agent_listen_port",
    )
    with contextlib.ExitStack() as opened:
        free = [opened.enter_context(socket.socket()) for _ in names]
        for one in free:
            one.bind(("127.0.0.1", 0))
        return {name: one.getsockname()[1] for name, one in zip(names, free, strict=True)}


@pytest.fixture(scope="module")
def cluster():
    # The head has no room for a training: it must go to the other node.
    cluster = Cluster()
    try:
        # Nodes otherwise give up when an agent takes 15 s to start, and start workers before somebody needs them.
        system = {"agent_register_timeout_ms": 120_000, "enable_worker_prestart": False}
        spared = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
        cluster.add_node(num_cpus=0, _system_config=system, **spared, **ports())
        cluster.add_node(num_cpus=1, **ports())
        cluster.wait_for_nodes()
    except Exception as error:
        if "timed out during startup" not in str(error):
            raise
        cluster.shutdown()
        pytest.skip("this machine is too busy for Ray, which gives its nodes 30 s to start")
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def server(cluster, template, tmp_path_factory):
    # The nodes' address is not the one at which this machine's programs find the server.
    options = ("--ray-address", cluster.address, "--host", "0.0.0.0")
    server = run_server(tmp_path_factory.mktemp("lab on Ray"), *options, template=template)
    yield server
    server.stop()


def test_a_training_goes_to_the_node_that_has_room(server):
    project = labeled(server.client)
    started = begun(project, options={"epochs": 2}, output="far")
    job = ended(server.client, started["job"]["id"])
    said = [line["message"] for line in server.client.get(f"jobs/{job['id']}/logs").json()["items"]]
    assert job["status"] == "finished", (job["error"], said)
    run = server.client.get(f"runs/{job['run_id']}").json()
    assert run["status"] == "finished" and run["summary"]["test_accuracy"] > 0.9
    assert (job["epoch"], job["step"]) == (2, job["steps"])
    assert any(f"reports to http://{ray.util.get_node_ip_address()}:" in line for line in said)
    assert sum("val_loss" in line for line in said) == 2
    assert (server.workspace / "far" / "model" / "checkpoint.ckpt").stat().st_size > 1000


def test_a_cancelled_training_leaves_its_checkpoint(server):
    client = server.client
    started = begun(labeled(client), options=LONG)
    job, run = f"jobs/{started['job']['id']}", f"runs/{started['run']['id']}"
    until(lambda: client.get(job).json()["epoch"])
    assert client.delete(job).json()["cancel_requested"]
    assert ended(client, started["job"]["id"])["status"] == "cancelled"
    assert client.get(run).json()["status"] == "stopped"
    assert "checkpoint.ckpt" in {one["name"] for one in client.get(f"{run}/artifacts").json()["items"]}
