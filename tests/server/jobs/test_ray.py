"""A training on a Ray cluster of two nodes, which the test makes."""

import contextlib
import socket

import pytest

from tests.server.jobs.test_trainings import begun, ended, labeled

ray = pytest.importorskip(
    "ray",
    reason="Ray (the extra `ray`, 300 MB) is not among what CI installs: pip install 'modelship-lab[ray]'",
)

pytestmark = pytest.mark.slow


def ports():
    """Ports for the agents of a node: for each that it chooses by itself, a node waits 15 s, and then gives up."""
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
    from ray.cluster_utils import Cluster

    # The head has no room for a training: it must go to the other node.
    cluster = Cluster()
    try:
        cluster.add_node(num_cpus=0, include_dashboard=False, **ports())
        cluster.add_node(num_cpus=1, **ports())
        cluster.wait_for_nodes()
    except Exception as error:
        if "timed out during startup" not in str(error):
            raise
        cluster.shutdown()
        pytest.skip("this machine is too busy for Ray, whose nodes give up when an agent takes 15 s to start")
    yield cluster
    cluster.shutdown()


def test_a_training_goes_to_the_node_that_has_room(cluster, start_server, tmp_path):
    server = start_server(tmp_path / "lab", "--ray-address", cluster.address)
    project = labeled(server.client)
    started = begun(project, options={"epochs": 2}, output="far")
    job = ended(server.client, started["job"]["id"])
    said = [line["message"] for line in server.client.get(f"jobs/{job['id']}/logs").json()["items"]]
    assert job["status"] == "finished", (job["error"], said)
    run = server.client.get(f"runs/{job['run_id']}").json()
    assert run["status"] == "finished" and run["summary"]["test_accuracy"] > 0.9
    assert (job["epoch"], job["step"]) == (2, job["steps"])
    assert any("On Ray" in line for line in said) and sum("val_loss" in line for line in said) == 2
    assert (server.workspace / "far" / "model" / "checkpoint.ckpt").stat().st_size > 1000
