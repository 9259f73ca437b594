"""Runs in runs, in groups, and resumed, through the API of a real lab server."""

import pytest

from modelship_lab.records.tracking import MAX_DEPTH
from tests.server.ownership.conftest import made, newcomer
from tests.server.tracking.test_runs import log, new_run, stream

ELSEWHERE = {"machine": "another machine", "pid": 7, "started_at": 1.5}


@pytest.fixture(scope="module")
def client(lab_server):
    return newcomer(lab_server, "nesting").client


def test_a_child_is_in_its_parent_s_project_and_counted(client):
    made(client, "projects", name="of the parent")
    made(client, "projects", name="another")
    parent = new_run(client, project="of the parent", group="sweep 1", notes="why")
    assert (parent["parent_id"], parent["group"], parent["notes"], parent["children"]) == (
        None,
        "sweep 1",
        "why",
        0,
    )
    first = new_run(client, parent_id=parent["id"])
    second = new_run(client, parent_id=parent["id"], project="another")
    assert {first["project"], second["project"]} == {"of the parent"}
    assert client.get(f"runs/{parent['id']}").json()["children"] == 2
    found = client.get("runs", params={"parent_id": parent["id"]}).json()["items"]
    assert [run["id"] for run in found] == [second["id"], first["id"]]
    assert [run["id"] for run in client.get("runs", params={"group": "sweep 1"}).json()["items"]] == [
        parent["id"]
    ]
    changed = client.patch(f"runs/{first['id']}", json={"group": "sweep 2"}).json()
    assert changed["group"] == "sweep 2"
    assert client.post("runs", json={"parent_id": 10**9}).status_code == 404
    assert client.post("runs", json={"group": "x" * 201}).status_code == 422


def test_runs_are_nested_to_a_depth(client):
    run = new_run(client)
    for _ in range(MAX_DEPTH - 1):
        run = new_run(client, parent_id=run["id"])
    answer = client.post("runs", json={"parent_id": run["id"]})
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "parent_id")


def test_a_run_is_deleted_with_all_that_is_nested_in_it(client):
    top = new_run(client)
    parent = new_run(client, parent_id=top["id"])
    child = new_run(client, parent_id=parent["id"], params={"a": 1})
    grandchild = new_run(client, parent_id=child["id"])
    log(client, grandchild, stream(["a"], [1], [1.0]))
    assert client.delete(f"runs/{parent['id']}").json() == {"runs": 3}
    assert client.get(f"runs/{top['id']}").json()["children"] == 0
    for run in (parent, child, grandchild):
        assert client.get(f"runs/{run['id']}").status_code == 404
    deleted = [
        event["topic"]
        for event in client.get("events", params={"limit": 1000}).json()["items"]
        if event["type"] == "run.deleted"
    ]
    assert sorted(deleted) == sorted(f"run:{run['id']}" for run in (parent, child, grandchild))


@pytest.mark.parametrize("status", ["finished", "failed", "stopped", "interrupted"])
def test_a_run_that_has_ended_is_resumed(client, status):
    run = new_run(client, environment={"python": "3.12", "host": "a"}, process=ELSEWHERE, heartbeats=True)
    log(client, run, stream(["loss", "loss", "system/cpu"], [3, 7, 900], [1.0, 2.0, 3.0]))
    client.patch(f"runs/{run['id']}", json={"status": status, "error": "boom"})
    body = {"process": {**ELSEWHERE, "pid": 8}, "environment": {"host": "b"}}
    resumed = client.post(f"runs/{run['id']}/resume", json=body).json()
    assert resumed["next_step"] == 8
    after = resumed["run"]
    assert (after["status"], after["ended_at"], after["error"]) == ("running", None, "")
    assert after["environment"] == {"python": "3.12", "host": "b"}
    assert client.get(f"runs/{run['id']}").json() == after


def test_a_run_that_goes_on_elsewhere_is_not_taken_over(client):
    run = new_run(client, process=ELSEWHERE, heartbeats=True)
    other = client.post(f"runs/{run['id']}/resume", json={"process": {**ELSEWHERE, "pid": 8}})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "CONFLICT")
    same = client.post(f"runs/{run['id']}/resume", json={"process": ELSEWHERE})
    assert (same.status_code, same.json()["next_step"]) == (200, 0)
    # One that nobody watches may be anybody's.
    silent = new_run(client)
    assert client.post(f"runs/{silent['id']}/resume", json={}).json()["run"]["heartbeats"] is False


def test_a_job_that_is_queued_again_goes_on_with_its_run(client):
    key = "queued-again-1"
    run = new_run(client, key=key, process=ELSEWHERE, heartbeats=True)
    again = {**ELSEWHERE, "pid": 8}
    # The ranks of one job have one run.
    assert new_run(client, key=key, process=again, heartbeats=True) == run
    client.patch(f"runs/{run['id']}", json={"status": "interrupted"})
    # Who only fills it, as an import does, executes nothing.
    assert new_run(client, key=key)["status"] == "interrupted"
    resumed = new_run(client, key=key, process=again, heartbeats=True)
    assert (resumed["id"], resumed["status"], resumed["ended_at"]) == (run["id"], "running", None)
    client.delete(f"runs/{run['id']}")
    assert client.post(f"runs/{run['id']}/resume", json={}).status_code == 404
    assert new_run(client, key=key)["id"] != run["id"]
