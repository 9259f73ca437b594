"""Names are one's own; what is found under a name that several people use; who gets what."""

import uuid

import pyarrow as pa

from tests.conftest import LabServer
from tests.server.ownership.conftest import Belongings, Somebody, made
from tests.server.shipping import exported_run, text_bundle


def name() -> str:
    return f"n{uuid.uuid4().hex[:12]}"


def code(answer) -> str:
    return answer.json()["error"]["code"]


def test_the_same_name_is_everybody_s_own(lab_server: LabServer, alice: Somebody, bob: Somebody) -> None:
    shared = name()
    hers = made(alice.client, "projects", name=shared)
    assert bob.client.get(f"projects/{shared}").status_code == 404
    his = made(bob.client, "projects", name=shared)
    assert (hers["owner_id"], his["owner_id"]) == (alice.account_id, bob.account_id)
    assert bob.client.get(f"projects/{shared}").json() == his
    assert alice.client.get(f"projects/{shared}").json() == hers
    # The lab's owner has none of this name, and sees everybody's: the oldest is meant.
    assert lab_server.client.get(f"projects/{shared}").json() == hers
    assert code(bob.client.post("projects", json={"name": shared})) == "CONFLICT"
    other = made(bob.client, "projects", name=name())
    assert code(bob.client.patch(f"projects/{other['id']}", json={"name": shared})) == "CONFLICT"


def test_what_an_administrator_makes_in_a_project_belongs_to_its_owner(
    lab_server: LabServer, alice: Somebody
) -> None:
    project = made(alice.client, "projects", name=name())
    run = made(lab_server.client, "runs", name="helping", project=project["name"])
    assert run["owner_id"] == alice.account_id
    assert alice.client.get(f"runs/{run['id']}").json() == run
    events = alice.client.get("events", params={"topic": f"run:{run['id']}"}).json()["items"]
    assert [(one["type"], one["author"], one["owner_id"]) for one in events] == [
        ("run.created", "owner", alice.account_id)
    ]


def test_a_project_shown_to_everybody_and_hidden_again(alice: Somebody, bob: Somebody) -> None:
    shown = name()
    project = made(alice.client, "projects", name=shown)
    run = made(alice.client, "runs", name="shown", project=shown)
    path = f"runs/{run['id']}"
    assert bob.client.get(path).status_code == 404
    alice.client.patch(f"projects/{shown}", json={"is_public": True})
    assert bob.client.get(f"projects/{shown}").json()["id"] == project["id"]
    assert bob.client.get(path).json()["is_public"] is True
    assert [one["id"] for one in bob.client.get("runs", params={"project": shown}).json()["items"]] == [
        run["id"]
    ]
    assert code(bob.client.post("runs", json={"project": shown})) == "PERMISSION_DENIED"
    alice.client.patch(f"projects/{shown}", json={"is_public": False, "name": f"{shown} hidden"})
    assert bob.client.get(path).status_code == 404
    assert bob.client.get("runs", params={"project": shown}).status_code == 404
    assert alice.client.get(path).json()["project"] == f"{shown} hidden"
    alice.client.delete(f"projects/{project['id']}")
    assert alice.client.get(path).json()["project"] is None


def test_nothing_is_built_on_what_is_private(bob: Somebody, private: Belongings) -> None:
    for path, body in (
        ("runs", {"project": private.project}),
        ("runs", {"snapshot_id": private.snapshot}),
        ("models", {"name": "taken", "run_id": private.run}),
        ("deployments", {"name": "taken", "model": f"{private.model}/1"}),
        ("deployments", {"name": "taken", "model": f"{private.mark} model/1"}),
    ):
        answer = bob.client.post(path, json=body)
        assert answer.status_code == 404, (path, answer.text)
    for topic in (f"project:{private.project}", f"run:{private.run}", "account:1", "login", "run:x"):
        assert bob.client.get("events", params={"topic": topic}).status_code == 404, topic


def test_what_is_public_can_be_built_on(bob: Somebody, public: Belongings) -> None:
    run = made(bob.client, "runs", name="mine", snapshot_id=public.snapshot)
    assert (run["owner_id"], run["project_id"]) == (bob.account_id, None)
    model = made(bob.client, "models", name=f"{public.mark} model", run_id=public.run)
    assert (model["owner_id"], model["version"], model["is_public"]) == (bob.account_id, 1, False)
    assert model["model_id"] != public.model
    # Under one name, one's own comes first.
    assert bob.client.get(f"models/{public.mark} model").json()["id"] == model["model_id"]
    assert bob.client.get(f"models/{public.model}").json()["owner_id"] != bob.account_id
    assert bob.client.get(f"deployments/{public.deployment}").json()["key"] is None
    events = bob.client.get("events", params={"topic": f"run:{public.run}"}).json()
    assert events["total"] > 0
    unasked = bob.client.get("events", params={"limit": 1000}).json()["items"]
    assert {one["owner_id"] for one in unasked} == {bob.account_id}


def test_nobody_gives_a_thing_the_id_of_another_as_its_name(bob: Somebody, public: Belongings) -> None:
    for path, body in (
        ("models", {"name": str(public.model), "run_id": public.run, "is_public": True}),
        ("deployments", {"name": str(public.deployment), "model": f"{public.model}/1", "is_public": True}),
    ):
        answer = bob.client.post(path, json=body)
        assert (answer.status_code, code(answer)) == (422, "INVALID_INPUT"), answer.text
        assert [one["field"] for one in answer.json()["error"]["details"]] == ["name"]


def test_a_key_for_repeating_is_one_s_own(alice: Somebody, bob: Somebody, key: str) -> None:
    hers = made(alice.client, "runs", name="hers", key=key)
    assert made(alice.client, "runs", name="hers", key=key)["id"] == hers["id"]
    his = made(bob.client, "runs", name="his", key=key)
    assert his["id"] != hers["id"]
    task = {"task": "text_classification", "classes": ["ham", "spam"]}
    saved = {}
    for who in (alice, bob):
        project = made(who.client, "projects", name=name(), **task)
        content = pa.BufferOutputStream()
        table = pa.table({"text": ["hello"]})
        with pa.ipc.new_stream(content, table.schema) as writer:
            writer.write_table(table)
        begun = who.client.post(
            f"projects/{project['id']}/imports",
            params={"format": "arrow"},
            content=content.getvalue().to_pybytes(),
        ).json()
        who.client.get(f"imports/{begun['id']}", params={"wait_s": 30})
        sample = who.client.get(f"projects/{project['id']}/samples").json()["items"][0]["id"]
        label = {"sample_id": sample, "label": "ham", "key": key}
        saved[who.account_id] = who.client.post(f"projects/{project['id']}/labels", json={"labels": [label]})
    assert saved[alice.account_id].status_code == 200
    assert saved[bob.account_id].status_code == 409
    # Not even for who knows the sample, too.
    stolen = {
        "sample_id": saved[alice.account_id].json()["labels"][0]["sample_id"],
        "label": "ham",
        "key": key,
    }
    answer = bob.client.post(f"projects/{project['id']}/labels", json={"labels": [stolen]})
    assert answer.status_code == 409
    undone = bob.client.post(f"projects/{project['id']}/labels/undo", json={"key": uuid.uuid4().hex})
    assert undone.status_code == 409, "another account's label is not one's own to undo"


def test_a_deleted_project_s_runs_stay_with_their_owner_unless_they_are_deleted(
    alice: Somebody, bob: Somebody, tmp_path
) -> None:
    project = made(alice.client, "projects", name=name(), is_public=True)
    run = made(alice.client, "runs", name="left", project=project["id"])
    assert bob.client.get(f"runs/{run['id']}").status_code == 200
    alice.client.delete(f"projects/{project['id']}").raise_for_status()
    left = alice.client.get(f"runs/{run['id']}").json()
    assert (left["project_id"], left["project"], left["is_public"]) == (project["id"], None, False)
    assert bob.client.get(f"runs/{run['id']}").status_code == 404
    # Somebody else's model of it does not keep its owner from deleting it.
    shared = made(alice.client, "projects", name=name(), is_public=True)
    lent = made(alice.client, "runs", name="lent", project=shared["id"])["id"]
    alice.client.put(f"runs/{lent}/bundle", content=text_bundle(tmp_path / "lent")).raise_for_status()
    borrowed = made(bob.client, "models", name=name(), run_id=lent)
    assert alice.client.delete(f"runs/{lent}").json() == {"runs": 1}
    assert bob.client.get(f"models/{borrowed['model']}/versions/1").json() == borrowed
    shipped = exported_run(alice.client, text_bundle(tmp_path / "bundle"))
    assert made(alice.client, "models", name=name(), run_id=shipped)["owner_id"] == alice.account_id
    assert code(alice.client.delete(f"runs/{shipped}")) == "CONFLICT"
