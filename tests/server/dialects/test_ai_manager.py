"""Programs that were written for AI Manager: its documentation's own commands, sent by curl to a real server."""

import base64
import json
import subprocess
import time

from modelship_lab import client
from tests.server.dialects.programs import MOUNT, PASSWORD, Program, curl, is_time, register

# Accounts


def test_an_account_is_registered_and_logs_in_as_documented(nobody):
    answer = nobody.documented(
        """curl -X POST "http://localhost:8000/auth/register" -H "Content-Type: application/json"
        -d '{"email": "user@example.com", "username": "username", "password": "password"}'"""
    )
    assert answer.status in (200, 201)
    account = answer.json
    assert account["email"] == "user@example.com" and account["username"] == "username"
    assert account["is_active"] is True and account["is_superuser"] is False
    assert is_time(account["created_at"]) and is_time(account["updated_at"])
    assert set(account) == {
        "id",
        "email",
        "username",
        "is_active",
        "is_superuser",
        "created_at",
        "updated_at",
    }

    login = nobody.documented(
        """curl -X POST "http://localhost:8000/auth/login" \\
          -H "Content-Type: application/x-www-form-urlencoded" \\
          -d "username=username&password=password" """
    )
    assert login.status == 200 and login.json["token_type"] == "bearer"
    assert set(login.json) == {"access_token", "token_type"}
    me = Program(nobody.base, login.json["access_token"])("GET", "auth/me")
    assert me.status == 200 and me.json == account


def test_the_email_address_logs_in_too_and_other_fields_of_the_form_do_not_matter(nobody, ada):
    form = f"username=ada@example.com&password={PASSWORD}&grant_type=password&scope="
    assert curl("-X", "POST", f"{nobody.base}/auth/login", "-d", form).status == 200
    multipart = ["-F", "username=ada", "-F", f"password={PASSWORD}"]
    assert curl("-X", "POST", f"{nobody.base}/auth/login", *multipart).status == 200


def test_the_token_is_good_for_a_day(ada):
    payload = ada.token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["exp"] - claims["iat"] == 24 * 3600


def test_wrong_and_missing_credentials_are_a_401(nobody, ada):
    wrong = curl("-X", "POST", f"{nobody.base}/auth/login", "-d", "username=ada&password=wrong-password")
    made_up = Program(nobody.base, "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.e30.x")
    for answer in (wrong, nobody("GET", "auth/me"), nobody("GET", "projects/"), made_up("GET", "runs/")):
        assert answer.status == 401
        assert answer.json == {"detail": "Could not validate credentials"}
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_password_has_at_least_the_four_characters_of_the_documented_one(nobody):
    new = {"email": "short@example.com", "username": "short"}
    answer = nobody("POST", "auth/register", {**new, "password": "pas"})
    assert answer.status == 400 and "at least 4 characters" in answer.json["detail"]
    assert nobody("POST", "auth/register", {**new, "password": "pass"}).status in (200, 201)


def test_a_name_is_registered_once(nobody, ada):
    new = {"email": "other@example.com", "username": "ada", "password": PASSWORD}
    answer = nobody("POST", "auth/register", new)
    assert answer.status == 400 and "ada" in answer.json["detail"]


def test_registration_can_be_closed_to_all_but_administrators(start_server, tmp_path):
    server = start_server(tmp_path)
    new = {"email": "eve@example.com", "username": "eve", "password": PASSWORD}
    base = server.url + MOUNT
    assert Program(base, "")("POST", "auth/register", new).status == 403
    assert Program(base, server.token)("POST", "auth/register", new).status in (200, 201)


def test_the_labs_token_is_the_owners(owner):
    me = owner("GET", "auth/me").json
    assert me["id"] == 1 and me["is_superuser"] is True


# The documented workflow


def test_the_documented_training_workflow(ada, owner, server):
    project = ada.documented(
        """curl -X POST "http://localhost:8000/projects/" \\
          -H "Authorization: Bearer <token>" \\
          -H "Content-Type: application/json" \\
          -d '{"name": "My ML Project", "description": "Image classification"}'"""
    )
    assert project.status in (200, 201)
    assert set(project.json) == {
        "id",
        "name",
        "description",
        "owner_id",
        "is_public",
        "created_at",
        "updated_at",
    }
    assert project.json["name"] == "My ML Project" and project.json["is_public"] is False
    assert project.json["owner_id"] == ada("GET", "auth/me").json["id"]

    started = ada.documented(
        f"""curl -X POST "http://localhost:8000/runs/?project_id={project.json["id"]}" \\
          -H "Authorization: Bearer <token>" \\
          -H "Content-Type: application/json" \\
          -d '{{"name": "ResNet Training", "config": {{"lr": 0.001}}}}'"""
    )
    assert started.status in (200, 201)
    run = started.json
    assert run["status"] == "running" and run["ended_at"] is None and run["tags"] == []
    assert run["config"] == {"lr": 0.001} and run["project_id"] == project.json["id"]
    assert all(is_time(run[name]) for name in ("started_at", "created_at", "updated_at"))

    logged = ada.documented(
        f"""curl -X POST "http://localhost:8000/metrics/{run["id"]}/batch" \\
          -H "Authorization: Bearer <token>" \\
          -H "Content-Type: application/json" \\
          -d '{{"metrics": {{"loss": 0.5, "accuracy": 0.85}}, "step": 1}}'"""
    )
    assert logged.json == {"message": "Logged 2 metrics successfully"}

    completed = ada.documented(
        f"""curl -X PUT "http://localhost:8000/runs/{run["id"]}" \\
          -H "Authorization: Bearer <token>" \\
          -H "Content-Type: application/json" \\
          -d '{{"status": "completed"}}'"""
    )
    assert completed.status == 200 and completed.json["status"] == "completed"
    assert is_time(completed.json["ended_at"])

    # It is a run of the lab like any other, for the lab's own API and for a kernel's client.
    native = server.client.get(f"runs/{run['id']}").json()
    assert native["status"] == "finished" and native["project"] == "My ML Project"
    assert native["params"] == {"lr": 0.001}
    lab = client.connect(server.url, ada.token)
    assert [one.values for one in lab.run(run["id"]).metrics().series] == [(0.85,), (0.5,)]
    lab.close()


def test_what_a_kernel_logs_is_seen_here(ada, server, tmp_path):
    project = ada.project("from a kernel")
    lab = client.connect(server.url, ada.token, data_dir=tmp_path)
    with lab.start_run("in a notebook", project=project, params={"depth": 3}, tags=["kernel"]) as run:
        run.log({"loss": 2.0}, step=0)
        run.log({"loss": 1.0}, step=5)
    seen = ada("GET", f"runs/{run.id}").json
    assert seen["name"] == "in a notebook" and seen["status"] == "completed"
    assert seen["config"] == {"depth": 3} and seen["tags"] == ["kernel"]
    history = ada("GET", f"metrics/{run.id}/history/loss").json
    assert history["values"] == [2.0, 1.0] and history["steps"] == [0, 5]
    lab.close()


# Projects


def test_a_project_is_changed_by_what_is_named(ada):
    project = ada.project("before", description="one", is_public=True)
    documented = {"name": "Updated Project Name", "description": "Updated description"}
    changed = ada("PUT", f"projects/{project}", documented)
    assert changed.status == 200
    assert {**changed.json, "updated_at": ""} == {
        **documented,
        "id": project,
        "owner_id": ada("GET", "auth/me").json["id"],
        "is_public": True,
        "created_at": changed.json["created_at"],
        "updated_at": "",
    }
    only_private = ada("PUT", f"projects/{project}/", {"is_public": False}).json
    assert only_private["name"] == "Updated Project Name" and only_private["is_public"] is False
    assert ada("GET", f"projects/{project}").json == only_private


def test_deleting_a_project_deletes_its_runs(ada, server):
    project = ada.project("to be deleted")
    run = ada.run(project)
    ada("POST", f"metrics/{run}", {"name": "loss", "value": 1, "step": 1})
    assert ada("DELETE", f"projects/{project}").status in (200, 204)
    assert ada("GET", f"projects/{project}").status == 404
    assert ada("GET", f"runs/{run}").status == 404
    assert ada("GET", f"metrics/{run}").status == 404
    assert server.client.get(f"runs/{run}").status_code == 404


def test_lists_are_cut_into_pages(server):
    carl = register(server, "carl")
    ids = {carl.project(f"page {number}") for number in range(5)}
    whole = [one["id"] for one in carl("GET", "projects/").json if one["id"] in ids]
    assert set(whole) == ids
    assert [one["id"] for one in carl("GET", "projects?skip=0&limit=2").json] == whole[:2]
    assert [one["id"] for one in carl("GET", "projects/?skip=2&limit=10").json][:3] == whole[2:]
    assert carl("GET", "projects/?skip=1000").json == []
    project = ids.pop()
    runs = [carl.run(project, name=f"run {number}") for number in range(5)]
    other = carl.run(ids.pop())
    listed = [one["id"] for one in carl("GET", f"runs/?project_id={project}").json]
    assert sorted(listed) == runs
    assert [one["id"] for one in carl("GET", f"runs/?project_id={project}&skip=1&limit=2").json] == listed[
        1:3
    ]
    assert other in [one["id"] for one in carl("GET", "runs").json]
    assert carl("GET", "runs/?project_id=999999").status == 404


# Who may see and change what


def test_what_is_private_does_not_exist_for_others(ada, bob, owner):
    project = ada.project("private")
    run = ada.run(project)
    ada("POST", f"metrics/{run}", {"name": "loss", "value": 1.0, "step": 1})
    requests = [
        ("GET", f"projects/{project}", None),
        ("PUT", f"projects/{project}", {"name": "stolen"}),
        ("DELETE", f"projects/{project}", None),
        ("POST", f"runs/?project_id={project}", {"name": "mine"}),
        ("GET", f"runs/?project_id={project}", None),
        ("GET", f"runs/{run}", None),
        ("PUT", f"runs/{run}", {"status": "failed"}),
        ("DELETE", f"runs/{run}", None),
        ("GET", f"metrics/{run}", None),
        ("POST", f"metrics/{run}", {"name": "loss", "value": 0, "step": 2}),
        ("POST", f"metrics/{run}/batch", {"metrics": {"loss": 0}, "step": 2}),
        ("GET", f"metrics/{run}/history/loss", None),
        ("GET", f"metrics/{run}/summary", None),
    ]
    for request in requests:
        answer = bob(*request)
        assert (answer.status, answer.json) == (404, {"detail": "Resource not found"}), request
    assert project not in [one["id"] for one in bob("GET", "projects/").json]
    assert run not in [one["id"] for one in bob("GET", "runs/?limit=1000").json]
    assert len(ada("GET", f"metrics/{run}").json) == 1
    assert owner("GET", f"runs/{run}").json == ada("GET", f"runs/{run}").json


def test_what_is_public_is_read_by_others_and_changed_by_its_owner(ada, bob):
    project = ada.project("public", is_public=True)
    run = ada.run(project)
    ada("POST", f"metrics/{run}", {"name": "loss", "value": 1.0, "step": 1})
    assert bob("GET", f"projects/{project}").json == ada("GET", f"projects/{project}").json
    assert project in [one["id"] for one in bob("GET", "projects/").json]
    assert bob("GET", f"runs/{run}").status == 200
    assert bob("GET", f"metrics/{run}/summary").json[0]["current_value"] == 1.0
    for request in (
        ("PUT", f"projects/{project}", {"is_public": False}),
        ("DELETE", f"projects/{project}", None),
        ("POST", f"runs/?project_id={project}", {"name": "mine"}),
        ("PUT", f"runs/{run}", {"status": "failed"}),
        ("DELETE", f"runs/{run}", None),
        ("POST", f"metrics/{run}", {"name": "loss", "value": 0, "step": 2}),
    ):
        answer = bob(*request)
        assert (answer.status, answer.json) == (403, {"detail": "Not enough permissions"}), request
    ada("PUT", f"projects/{project}", {"is_public": False})
    assert bob("GET", f"runs/{run}").status == 404


# Runs


def test_a_run_ends_with_the_documents_words(ada, server):
    run = ada.run(ada.project("words"), tags=["demo", "test"])
    ended_at = "2030-01-01T01:00:00"
    changed = ada("PUT", f"runs/{run}", {"status": "completed", "ended_at": ended_at}).json
    assert changed["status"] == "completed" and changed["ended_at"] == ended_at
    assert changed["tags"] == ["demo", "test"]
    for word, native in (("running", "running"), ("failed", "failed"), ("stopped", "stopped")):
        assert ada("PUT", f"runs/{run}", {"status": word}).json["status"] == word
        assert server.client.get(f"runs/{run}").json()["status"] == native
    renamed = ada("PUT", f"runs/{run}", {"name": "better", "config": {"lr": 1}, "tags": ["new"]}).json
    assert renamed["name"] == "better" and renamed["config"] == {"lr": 1} and renamed["tags"] == ["new"]
    assert renamed["status"] == "stopped"
    refused = ada("PUT", f"runs/{run}", {"status": "finished"})
    assert refused.status == 400 and "completed" in refused.json["detail"]


def test_a_run_is_deleted_with_its_metrics(ada):
    run = ada.run(ada.project("deleted runs"))
    assert ada("DELETE", f"runs/{run}").status in (200, 204)
    assert ada("GET", f"runs/{run}").status == 404
    assert ada("DELETE", f"runs/{run}").status == 404


# Errors


def test_what_is_not_valid_is_a_400_that_says_what(ada):
    project = ada.project("not valid")
    run = ada.run(project)
    for request, field in (
        (("POST", "projects/", {"description": "no name"}), "name"),
        (("POST", "projects/", {"name": ""}), "name"),
        (("POST", "projects/", {"name": "x", "is_public": "perhaps"}), "is_public"),
        (("POST", "runs/", {"name": "in no project"}), "project_id"),
        (("POST", f"runs/?project_id={project}", {"config": {}}), "name"),
        (("POST", f"runs/?project_id={project}", {"name": "x", "config": "text"}), "config"),
        (("POST", f"metrics/{run}", {"name": "loss", "value": "0.5", "step": 1}), "value"),
        (("POST", f"metrics/{run}", {"name": "loss", "value": 1, "step": "first"}), "step"),
        (("POST", f"metrics/{run}", {"name": "loss", "step": 1}), "value"),
        (("POST", f"metrics/{run}/batch", {"metrics": {"loss": "high"}, "step": 1}), "loss"),
        (("POST", f"metrics/{run}/batch", {"step": 1}), "metrics"),
        (("PUT", f"runs/{run}", {"ended_at": "yesterday"}), "ended_at"),
        (("GET", "projects/?skip=-1"), "skip"),
        (("GET", "runs/?limit=many"), "limit"),
        (("GET", "projects/first"), "project_id"),
        (("POST", "auth/register", {"username": "no-mail", "password": PASSWORD}), "email"),
    ):
        answer = ada(*request)
        assert answer.status == 400, (request, answer.text)
        assert answer.json["detail"].startswith("Validation error") and field in answer.json["detail"]
        assert answer.json["errors"][0]["loc"][-1] == field
    malformed = ada("POST", "projects/", "{not json")
    assert malformed.status == 400 and "Validation error" in malformed.json["detail"]
    form = curl("-X", "POST", f"{ada.base}/auth/login", "-d", "username=ada")
    assert form.status == 400 and "password" in form.json["detail"]
    assert ada("GET", f"metrics/{run}").json == []


def test_what_the_document_does_not_name_is_ignored(ada):
    project = ada("POST", "projects/?color=red", {"name": "lenient", "color": "red"})
    assert project.status in (200, 201)
    listed = ada("GET", "projects/?sort=name")
    assert listed.status == 200


def test_unknown_addresses_and_methods_answer_in_the_documents_shape(ada):
    unknown = ada("GET", "experiments/")
    assert unknown.status == 404 and set(unknown.json) == {"detail"}
    method = ada("PATCH", "projects/1", {})
    assert method.status == 405 and method.json == {"detail": "Method Not Allowed"}
    assert ada("GET", "projects/999999").json == {"detail": "Resource not found"}
    assert ada("GET", "metrics/999999/summary").status == 404


def test_the_description_names_every_documented_address(ada):
    description = ada("GET", "openapi.json").json
    documented = {
        ("post", "/auth/register"),
        ("post", "/auth/login"),
        ("get", "/auth/me"),
        ("get", "/projects/"),
        ("post", "/projects/"),
        ("get", "/projects/{project_id}"),
        ("put", "/projects/{project_id}"),
        ("delete", "/projects/{project_id}"),
        ("get", "/runs/"),
        ("post", "/runs/"),
        ("get", "/runs/{run_id}"),
        ("put", "/runs/{run_id}"),
        ("delete", "/runs/{run_id}"),
        ("post", "/metrics/{run_id}"),
        ("post", "/metrics/{run_id}/batch"),
        ("get", "/metrics/{run_id}"),
        ("get", "/metrics/{run_id}/history/{metric_name}"),
        ("get", "/metrics/{run_id}/summary"),
    }
    described = {(method, path) for path, methods in description["paths"].items() for method in methods}
    mount = description["servers"][0]["url"].rstrip("/") if "servers" in description else ""
    wanted = {(method, f"/{MOUNT}{path}".rstrip("/")) for method, path in documented}
    assert wanted <= {(method, f"{mount}{path}".rstrip("/")) for method, path in described}


# Limits


def test_a_user_has_a_hundred_requests_a_minute(start_server, tmp_path):
    server = start_server(tmp_path, "--open-registration")
    dora, emil = register(server, "dora"), register(server, "emil")
    started = time.monotonic()
    # One curl for all of them: a process for each would take its share of the minute.
    many = [
        "curl",
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} ",
        "-H",
        f"Authorization: Bearer {dora.token}",
    ]
    statuses = subprocess.check_output([*many, f"{dora.base}/auth/me?number=[1-100]"], text=True)
    assert statuses.split() == ["200"] * 100
    refused = dora("GET", "projects/")
    assert refused.status == 429 and refused.json["detail"].startswith("Rate limit exceeded")
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert time.monotonic() - started < 50, "too slow to tell"
    assert emil("GET", "projects/").status == 200
    # The lab's own API has no such limit: there a program logs many points at once.
    assert client.connect(server.url, dora.token, data_dir=tmp_path / "client").projects() == []
