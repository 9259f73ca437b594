"""Projects: made, found, changed, deleted."""

import time
import uuid
from urllib.parse import quote

import pytest


def error(answer):
    return answer.json()["error"]


def test_a_project_is_found_by_id_and_by_name(lab_server, project):
    by_id = lab_server.client.get(project.path).json()
    assert by_id == lab_server.client.get(f"projects/{project.name}").json()
    assert by_id["classes"] == ["ham", "spam"]


def test_a_name_with_a_space_is_found_url_encoded(lab_server):
    name = f"my mails {uuid.uuid4().hex[:6]}"
    body = {"name": name, "task": "text_classification", "classes": ["a", "b"]}
    assert lab_server.client.post("projects", json=body).status_code == 201
    assert lab_server.client.get(f"projects/{name.replace(' ', '%20')}").json()["name"] == name


def test_a_misspelled_name_is_answered_with_the_likely_one(lab_server, project):
    answer = lab_server.client.get(f"projects/{project.name[:-1]}")
    assert answer.status_code == 404
    assert f"Did you mean '{project.name}'" in error(answer)["message"]


def test_what_may_have_been_meant_is_not_looked_for_at_everybodys_cost(lab_server, person):
    somebody = person().client
    long, short = "ab" * 95, "ab" * 24
    for number in range(150):
        for stem in (long, short):
            somebody.post("projects", json={"name": f"{stem}{number:02}"}).raise_for_status()
    for wrong in ("ba" * 95 + "zz", "ba" * 24 + "zz"):
        started = time.perf_counter()
        assert somebody.get(f"projects/{wrong}").status_code == 404
        assert time.perf_counter() - started < 0.2


def test_a_name_is_given_once(lab_server, project, new_project):
    body = {"name": project.name, "task": "text_classification", "classes": ["a", "b"]}
    assert lab_server.client.post("projects", json=body).status_code == 409
    other = new_project()
    answer = lab_server.client.patch(other.path, json={"name": project.name})
    assert answer.status_code == 409
    assert lab_server.client.get(other.path).json()["name"] == other.name


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "\x1b[31mred"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "12345678"}, "name"),
        ({"task": "poetry"}, "task"),
        ({"classes": ["one"]}, "classes"),
        ({"classes": ["a", "a "]}, "classes"),
        ({"classes": ["a", 1]}, "classes.1"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_field_is_named(lab_server, change, field):
    body = {"name": f"p-{uuid.uuid4().hex}", "task": "text_classification", "classes": ["a", "b"], **change}
    answer = lab_server.client.post("projects", json=body)
    assert answer.status_code == 422
    assert field in [one["field"] for one in error(answer)["details"]]


def test_every_wrong_field_is_told_at_once(lab_server):
    answer = lab_server.client.post("projects", json={"name": "", "task": "poetry", "classes": ["a"]})
    assert {one["field"] for one in error(answer)["details"]} == {"name", "task", "classes"}


@pytest.mark.parametrize("name", ["../../etc", "<b>x</b>", "Q3: ham & spam? #1", "日本語 👩‍🔬"])
def test_a_name_is_any_line_of_text(lab_server, name):
    name = f"{name} {uuid.uuid4().hex}"
    made = lab_server.client.post("projects", json={"name": f"  {name} "}).json()
    assert made["name"] == name
    assert lab_server.client.get(f"projects/{quote(name, safe='')}").json() == made
    lab_server.client.patch(f"projects/{made['id']}", json={"name": f" {name} again "})
    assert lab_server.client.get(f"projects/{made['id']}").json()["name"] == f"{name} again"


def test_a_project_without_a_task_holds_runs_and_gets_its_task_once(lab_server):
    client = lab_server.client
    made = client.post("projects", json={"name": f"p-{uuid.uuid4().hex}"}).json()
    path = f"projects/{made['id']}"
    assert (made["task"], made["classes"]) == (None, [])
    assert client.post("runs", json={"project": made["id"]}).json()["project"] == made["name"]
    label = {"sample_id": 1, "action": "skip", "key": uuid.uuid4().hex}
    suggestion = {"sample_id": 1, "label": "a", "confidence": 1}
    for answer in (
        client.post(f"{path}/imports", params={"format": "csv"}, content=b"text\nhello\n"),
        client.post(f"{path}/labels", json={"labels": [label]}),
        client.put(f"{path}/suggestions", json={"source": "s", "suggestions": [suggestion]}),
        client.post(f"{path}/snapshots", json={}),
        client.get(f"{path}/queue"),
        client.get(f"{path}/samples", headers={"Accept": "application/vnd.apache.arrow.stream"}),
    ):
        assert answer.status_code == 409, answer.request.url
        assert "give it a task and classes" in error(answer)["message"]
    assert client.get(f"{path}/progress").json()["total"] == 0
    assert client.patch(path, json={"task": "text_classification"}).status_code == 422
    task = {"task": "text_classification", "classes": ["ham", "spam"]}
    given = client.patch(path, json=task).json()
    assert {name: given[name] for name in task} == task
    assert given["updated_at"] > made["updated_at"]
    assert client.get(f"{path}/queue").json() == {"samples": [], "remaining": 0, "waiting": {}}
    again = client.patch(path, json={"task": "image_classification", "classes": ["a", "b"]})
    assert again.status_code == 409
    assert client.get(path).json() == given


def test_a_change_is_seen_at_once(lab_server, project):
    changed = lab_server.client.patch(project.path, json={"description": "mails of 2024"}).json()
    assert changed["description"] == "mails of 2024"
    assert changed["name"] == project.name
    assert lab_server.client.get(project.path).json() == changed


def test_projects_are_listed_newest_first_and_searched_as_they_are_written(lab_server, new_project):
    first, second = new_project(), new_project()
    listed = lab_server.client.get("projects", params={"limit": 1000}).json()
    ids = [one["id"] for one in listed["items"]]
    assert ids.index(second.id) < ids.index(first.id)
    found = lab_server.client.get("projects", params={"search": first.name.upper()}).json()
    assert [one["id"] for one in found["items"]] == [first.id]
    assert lab_server.client.get("projects", params={"search": "%"}).json()["total"] == 0


def test_a_deleted_project_is_gone_with_all_that_is_its_own(lab_server, project):
    sample, _ = project.import_texts("one", "two")
    project.label(sample, "ham")
    snapshot = lab_server.client.post(f"{project.path}/snapshots", json={}).json()
    assert lab_server.client.delete(project.path).status_code == 204
    for path in (project.path, f"{project.path}/queue", f"samples/{sample}", f"snapshots/{snapshot['id']}"):
        assert lab_server.client.get(path).status_code == 404, path
    # Its name is free again, and what is made under it begins empty.
    body = {"name": project.name, "task": "text_classification", "classes": ["ham", "spam"]}
    again = lab_server.client.post("projects", json=body).json()
    assert lab_server.client.get(f"projects/{again['id']}/progress").json()["total"] == 0


def test_projects_outlive_the_server(start_server, tmp_path):
    server = start_server(tmp_path)
    body = {"name": "kept", "task": "tabular_classification", "classes": ["a", "b"]}
    made = server.client.post("projects", json=body).json()
    server.stop()
    assert start_server(tmp_path).client.get("projects/kept").json() == made
