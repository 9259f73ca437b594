"""Registering models and moving them through stages, at the API."""

from pathlib import Path

from modelship_lab.bundles.pack import MODEL
from tests.conftest import LabServer
from tests.server.shipping import exported_run, registered, text_bundle


def test_versions_count_up_and_know_where_they_come_from(lab_server: LabServer, tmp_path: Path) -> None:
    client = lab_server.client
    run = exported_run(client, text_bundle(tmp_path / "first"))
    new = {"name": "counted model", "run_id": run, "description": "the first", "tags": ["a", "b"]}
    first = client.post("models", json=new)
    assert first.status_code == 201
    version = first.json()
    assert (version["model"], version["version"], version["run_id"]) == ("counted model", 1, run)
    assert version["stage"] == "None"
    assert version["tags"] == ["a", "b"]
    assert version["metrics"] == {"test_accuracy": 0.9}
    assert version["manifest"]["classes"] == ["ham", "spam", "other"]
    assert version["bundle"] == client.get(f"runs/{run}").json()["bundle"]

    assert registered(client, tmp_path, "counted model", seed=1) == "counted model/2"
    versions = client.get("models/counted%20model/versions").json()
    assert [one["version"] for one in versions["items"]] == [2, 1]
    assert versions["items"][0]["bundle"] != version["bundle"]
    assert client.get("models/counted%20model/versions/1").json() == version

    model = client.get("models/counted%20model").json()
    assert model["latest"] == 2
    assert client.get(f"models/{model['id']}").json() == model
    assert model in client.get("models").json()["items"]


def test_stages_have_a_history_and_the_newest_version_of_a_stage_is_meant(
    lab_server: LabServer, tmp_path: Path
) -> None:
    client = lab_server.client
    registered(client, tmp_path, "staged", seed=1, stage="Production")
    registered(client, tmp_path, "staged", seed=2, stage="Staging")

    def move(version: int, stage: str) -> dict:
        answer = client.put(f"models/staged/versions/{version}/stage", json={"stage": stage})
        return answer.raise_for_status().json()

    assert move(2, "Production")["stage"] == "Production"
    assert client.get("models/staged").json()["stages"] == {"Production": 2}
    assert move(1, "Archived")["stage"] == "Archived"
    move(1, "Archived")
    assert client.get("models/staged").json()["stages"] == {"Production": 2, "Archived": 1}
    history = client.get("models/staged/versions/1/stages").json()["items"]
    assert [entry["stage"] for entry in history] == ["Production", "Archived"]
    assert {entry["author"] for entry in history} == {"owner"}

    events = client.get(
        "events", params={"topic": f"model:{client.get('models/staged').json()['id']}"}
    ).json()
    assert [event["type"] for event in events["items"]] == [
        "model.registered",
        "model.registered",
        "model.stage_changed",
        "model.stage_changed",
    ]


def test_what_cannot_be_registered_is_refused_with_the_reason(lab_server: LabServer, tmp_path: Path) -> None:
    client = lab_server.client
    bare = client.post("runs", json={"name": "bare"}).json()["id"]

    def register(run: int, name: str = "refused") -> tuple[int, str, str]:
        answer = client.post("models", json={"name": name, "run_id": run})
        return answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["message"]

    status, code, message = register(bare)
    assert (status, code) == (409, "CONFLICT")
    assert "export" in message
    assert register(10**9)[:2] == (404, "NOT_FOUND")
    assert register(bare, name="../../etc")[:2] == (422, "INVALID_INPUT")

    run = exported_run(client, text_bundle(tmp_path / "damaged", seed=77))
    bundle = client.get(f"runs/{run}").json()["bundle"]
    model = lab_server.data_dir / "bundles" / bundle / MODEL
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    status, code, message = register(run)
    assert (status, code) == (422, "INVALID_DATA")
    assert str(lab_server.data_dir) not in message
    assert client.get("models/refused").status_code == 404


def test_what_is_not_there_is_not_found(lab_server: LabServer, tmp_path: Path) -> None:
    client = lab_server.client
    registered(client, tmp_path, "lonely")
    for path in ("models/nobody", "models/lonely/versions/2", "models/0"):
        answer = client.get(path)
        assert answer.status_code == 404, path
        assert answer.json()["error"]["code"] == "NOT_FOUND"
    # No version can have a number beyond 64 bits.
    assert client.get(f"models/lonely/versions/{2**70}").status_code == 422
    assert client.put("models/lonely/versions/1/stage", json={"stage": "Best"}).status_code == 422
