"""The table of runs: its filter language, its order and its columns, through the API of a real lab server."""

import time
import uuid

import pyarrow as pa
import pytest

from modelship_lab.client.run_table import in_filter
from modelship_lab.records.run_table import RunRows
from tests.conftest import run_server
from tests.server.ownership.conftest import made, newcomer

ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture(scope="module")
def lab_server(tmp_path_factory, template):
    """A server of its own: what other tests made public would be seen, too."""
    server = run_server(tmp_path_factory.mktemp("tables"), template=template)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def lab(lab_server):
    """Somebody with five runs of their own."""
    client = newcomer(lab_server, "table").client
    project = made(client, "projects", name=f"t{uuid.uuid4().hex[:10]}")["name"]
    runs = [
        {"name": "cnn-a", "params": {"lr": 0.1, "net.depth": 5, "optimizer": "adam", "amp": True}, "tags": ["baseline"]},
        {"name": "cnn-b", "params": {"lr": 0.01, "net.depth": 3, "optimizer": "sgd", "amp": False}, "group": "sweep"},
        {"name": "mlp", "params": {"lr": 1, "layers": [1, 2], "größe": 7}, "notes": "a note"},
        {"name": "odd", "params": {"lr": "0.1", "net.depth": None}},
        {"name": "bare"},
    ]  # fmt: skip
    ids = {run["name"]: made(client, "runs", project=project, **run)["id"] for run in runs}
    for name, value in (("cnn-a", 0.5), ("cnn-b", 0.25), ("mlp", -1.5)):
        client.patch(
            f"runs/{ids[name]}", json={"status": "finished", "summary": {"accuracy": value}}
        ).raise_for_status()
    points = {"cnn-a": [3.0, 0.2, 0.4], "cnn-b": [2.0, 0.3], "mlp": ["NaN"]}
    for name, values in points.items():
        body = [{"name": metric, "step": step, "value": value}
                for metric in ("loss", "val/loss") for step, value in enumerate(values)]  # fmt: skip
        client.post(f"runs/{ids[name]}/metrics", json={"points": body}).raise_for_status()
    return client, project


def names(lab, filter="", **query):
    client, project = lab
    answer = client.get("runs/table", params={"filter": filter, "project": project, **query})
    assert answer.status_code == 200, answer.text
    return [row["name"] for row in answer.json()["items"]]


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ("", ["bare", "odd", "mlp", "cnn-b", "cnn-a"]),
        ('status == "finished"', ["mlp", "cnn-b", "cnn-a"]),
        ('status != "finished"', ["bare", "odd"]),
        ("params.lr == 0.1", ["cnn-a"]),
        ('params.lr == "0.1"', ["odd"]),
        ("params.lr in (0.1, 0.01)", ["cnn-b", "cnn-a"]),
        ("params.lr not in (0.1, 0.01)", ["odd", "mlp"]),
        ("0.01 < params.lr <= 1", ["mlp", "cnn-a"]),
        ("0.1 >= params.lr", ["cnn-b", "cnn-a"]),
        ("not params.lr > 0.05", ["bare", "odd", "cnn-b"]),
        ("params.lr != 0.1", ["mlp", "cnn-b"]),
        ("params.lr is None", ["bare"]),
        ("params.lr != None and params.layers == None", ["odd", "cnn-b", "cnn-a"]),
        ('params["net.depth"] >= 5 or params.net.depth < 4', ["cnn-b", "cnn-a"]),
        ("params.net.depth is not None", ["cnn-b", "cnn-a"]),
        ("params.amp", ["cnn-a"]),
        ("params.amp == False", ["cnn-b"]),
        ("not params.amp", ["bare", "odd", "mlp", "cnn-b"]),
        ('params.optimizer.contains("ad")', ["cnn-a"]),
        ('params.optimizer > "b"', ["cnn-b"]),
        ('"gd" in params.optimizer', ["cnn-b"]),
        ('params["layers"] == "[1,2]"', ["mlp"]),
        ("params.größe == 7", ["mlp"]),
        ('"baseline" in tags', ["cnn-a"]),
        ('"baseline" not in tags and name.contains("cnn")', ["cnn-b"]),
        ('"cnn" in name', ["cnn-b", "cnn-a"]),
        ('name.startswith("m") or name.endswith("-a")', ["mlp", "cnn-a"]),
        ('group == "sweep"', ["cnn-b"]),
        ('notes.contains("note")', ["mlp"]),
        ("summary.accuracy > 0", ["cnn-b", "cnn-a"]),
        ("summary.accuracy < -1", ["mlp"]),
        ("metrics.loss < 0.35", ["cnn-b"]),
        ("metrics.loss.min < 0.25", ["cnn-a"]),
        ('metrics["val/loss"].max > 2.5', ["cnn-a"]),
        ("metrics.loss.count == 2", ["cnn-b"]),
        ("metrics.loss > summary.accuracy", ["cnn-b"]),
        ("metrics.loss > -1e300 or metrics.loss < 1e300", ["cnn-b", "cnn-a"]),
        ('started_at > "2026-01-01" and started_at < "2999-12-31T23:59:59+01:00"', ["bare", "odd", "mlp", "cnn-b", "cnn-a"]),
        ("ended_at is None", ["bare", "odd"]),
        ("duration_s >= 0 and duration_s < 3600 and parent_id is None", ["bare", "odd", "mlp", "cnn-b", "cnn-a"]),
        ("started_at <= ended_at", ["mlp", "cnn-b", "cnn-a"]),
        ("name == \"x' OR 1=1 --\"", []),
        ("True", ["bare", "odd", "mlp", "cnn-b", "cnn-a"]),
        ("  (name == 'mlp'\n or name == 'odd')\t", ["odd", "mlp"]),
    ],
)  # fmt: skip
def test_a_filter_lets_through_what_it_says(lab, filter, found):
    assert names(lab, filter) == found


@pytest.mark.parametrize(
    ("filter", "reason", "offset"),
    [
        ("statuss == 1", "did you mean 'status'", 0),
        ('status == "finshed"', "did you mean 'finished'", 10),
        ("id > 0 and params.lrr == 1", "did you mean 'lr'", 11),
        ("metrics.los < 1", "did you mean 'loss'", 0),
        ("sumary.accuracy < 1", "did you mean 'summary'", 0),
        ("params == 1", "has a name behind it", 0),
        ("1 == 1", "Two values", 0),
        ("name", "neither true nor false", 0),
        ("name ==", "no expression", None),
        ("name = 'x'", "no expression", None),
        ('"ä" in tags and x', "no column 'x'", 16),
        ("params.__class__.__mro__", "No run has params", 0),
        ("().__class__.__bases__[0]", "In brackets", 0),
        ("__import__('os').system('true')", "Nothing is called", 0),
        ("(lambda: 1)()", "Nothing is called", 0),
        ("[x for x in (1,)]", "neither true nor false", 0),
        ("name == f'{id}'", "neither a column nor a value", 8),
        ("id == 1 + 1", "neither a column nor a value", 6),
        ("id == 10 ** 10 ** 10", "neither a column nor a value", 6),
        ("id == 1e999", "too large", 6),
        ("id == " + "9" * 500, "too large", 6),
        ("id == 1j", "neither a column nor a value", 6),
        ("id == b'x'", "neither a column nor a value", 6),
        ("id == 'x'", "is a number", 6),
        ("id == True", "is a number", 6),
        ("name == 3", "text in quotes", 8),
        ("name > id", "is no number", 0),
        ("started_at > 'yesterday'", "in UTC", 13),
        ("name.contains(3)", "takes one text", 14),
        ("name.contains('a', 'b')", "takes one text", 0),
        ("name.upper() == 'A'", "neither a column nor a value", 0),
        ("tags == 'x'", "in tags", 0),
        ("params['lr', 'x=1'] == 1", "Only metrics", 0),
        ("params[0] == 1", "In brackets", 0),
        ("metrics['loss'].median > 1", "stands one of last", 0),
        ("metrics.loss == 'x'", "compared with numbers", 16),
        ("name is 'x'", "None", 0),
        ("params.lr < None", "neither smaller", 12),
        ("params.lr in 0.1", "params.lr in (0.1, 0.01)", None),
        ("params.lr in (params.amp, 1)", "holds numbers and texts", 13),
        ("name == 'x'; DROP TABLE runs", "no expression", None),
        ("(" * 300 + "id" + ")" * 300, "", None),
        ("not " * 900 + "True", "", None),
        ("-" * 3000 + "1 == id", "", None),
        ("id == 1" + " or id == 1" * 300, "at most", None),
        ("x" * 5000, "at most", None),
        ("id == '\ud800'".encode("utf-8", "replace").decode(), "is a number", 6),
        ("id == 1\x00", "", None),
    ],
)  # fmt: skip
def test_a_mistake_in_a_filter_is_told_with_its_place(lab, filter, reason, offset):
    client, project = lab
    answer = client.get("runs/table", params={"filter": filter, "project": project})
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert error["code"] == "INVALID_INPUT"
    assert reason in error["message"]
    assert error["details"][0]["field"] == "filter"
    if offset is not None:
        assert error["details"][0]["offset"] == offset


@pytest.mark.parametrize(
    ("sort", "found"),
    [
        (["name"], ["bare", "cnn-a", "cnn-b", "mlp", "odd"]),
        (["-summary.accuracy"], ["cnn-a", "cnn-b", "mlp", "bare", "odd"]),
        (["summary.accuracy"], ["mlp", "cnn-b", "cnn-a", "bare", "odd"]),
        (["-metrics.loss.max", "name"], ["cnn-a", "cnn-b", "bare", "mlp", "odd"]),
        (["params.lr"], ["cnn-b", "cnn-a", "mlp", "odd", "bare"]),
        (["-params.optimizer"], ["cnn-b", "cnn-a", "bare", "odd", "mlp"]),
        (["status", "-name"], ["mlp", "cnn-b", "cnn-a", "odd", "bare"]),
        (["id"], ["cnn-a", "cnn-b", "mlp", "odd", "bare"]),
    ],
)
def test_runs_without_the_value_come_last_either_way(lab, sort, found):
    got = names(lab, sort=sort)
    missing = {"bare", "odd"} if "accuracy" in sort[0] else set()
    assert [name for name in got if name not in missing] == [name for name in found if name not in missing]
    assert set(got[len(got) - len(missing) :]) == missing


def test_rows_have_the_columns_that_are_asked_for(lab):
    client, project = lab
    columns = ["params.lr", "params.layers", "params.amp", "metrics.loss", "metrics.loss.mean",
               'metrics["val/loss"].count', "metrics.loss{subset=val}", "summary.accuracy", "params.nowhere"]  # fmt: skip
    query = {"project": project, "columns": columns, "sort": "name"}
    answer = client.get("runs/table", params=query)
    rows = RunRows.model_validate_json(answer.content)
    values = {row.name: tuple(row.values[name] for name in columns) for row in rows.items}
    assert values["cnn-a"] == (0.1, None, True, 0.4, pytest.approx(1.2), 3, None, 0.5, None)
    assert values["mlp"] == (1, "[1,2]", None, None, None, 1, None, -1.5, None)
    assert values["bare"] == (None,) * 9
    assert '"lr":1}' not in answer.text and "environment" not in answer.text
    assert (rows.items[0].group, rows.items[0].children, rows.items[0].parent_id) == ("", 0, None)
    table = pa.ipc.open_stream(
        client.get("runs/table", params=query, headers={"Accept": ARROW}).content
    ).read_all()
    assert table["name"].to_pylist() == ["bare", "cnn-a", "cnn-b", "mlp", "odd"]
    assert table["summary.accuracy"].to_pylist() == [None, 0.5, 0.25, -1.5, None]
    assert table["params.lr"].to_pylist() == [None, "0.1", "0.01", "1", "0.1"]


def test_pages_meet_and_the_total_is_told_behind_the_end(lab):
    client, project = lab
    query = {"project": project, "filter": 'status == "finished"', "limit": 2}
    pages = [client.get("runs/table", params={**query, "offset": offset}).json() for offset in (0, 2, 4)]
    assert [len(page["items"]) for page in pages] == [2, 1, 0]
    assert [page["total"] for page in pages] == [3, 3, 3]


def test_columns_are_told_with_their_type_and_range(lab):
    client, project = lab
    found = {
        one["name"]: one for one in client.get("runs/columns", params={"project": project}).json()["items"]
    }
    assert found["params.lr"] == {
        "name": "params.lr",
        "kind": "param",
        "type": "text",
        "runs": 4,
        "min": 0.01,
        "max": 1,
    }
    assert found["params.net.depth"]["runs"] == 2
    assert found["params.amp"]["type"] == "bool"
    assert found["summary.accuracy"]["min"] == -1.5
    loss = found['metrics["val/loss"]']
    assert (loss["kind"], loss["runs"], loss["min"], loss["max"]) == ("metric", 3, 0.3, 0.4)
    for name in found:
        assert (
            client.get("runs/table", params={"columns": name, "limit": 1, "sort": name}).status_code == 200
        ), name


@pytest.mark.parametrize(
    "column", ["loss", "params", "params.", "params[0]", 'params["a', "metrics.loss{", "x.y", ""]
)
def test_what_is_no_column_is_refused(lab, column):
    answer = lab[0].get("runs/table", params={"columns": column})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "INVALID_INPUT")
    assert lab[0].get("runs/table", params={"sort": column}).status_code == 422


def test_columns_of_odd_names_are_called_so_that_they_are_found(lab_server):
    client = newcomer(lab_server, "odd-names").client
    odd = ["lambda", "a.class.b", "µ", "ﬁt", 'a"b', "a{b", "loss.min", "a b", ""]
    run = made(client, "runs", name="odd", params=dict.fromkeys(odd, 3))["id"]
    contexts = [{"a": "x}y"}, {"a": "p,q=2"}, {"a": '"'}, {"k=1": " b "}, {"a": "b c", "b": ""}, {"a": "\\"}]
    points = [{"name": "loss", "value": 3, "context": context} for context in contexts]
    client.post(f"runs/{run}/metrics", json={"points": points}).raise_for_status()
    found = [column["name"] for column in client.get("runs/columns").raise_for_status().json()["items"]]
    assert len(found) == len(odd) + len(contexts)
    for name in found:
        query = {"columns": name, "sort": name, "filter": f"{in_filter(name)} == 3"}
        (row,) = client.get("runs/table", params=query).raise_for_status().json()["items"]
        assert row["values"] == {name: 3}, name
    wrong = client.get("runs/table", params={"filter": "params.lambda == 3"})
    assert 'in brackets: params["lambda"]' in wrong.json()["error"]["message"]


def test_a_name_that_was_not_meant_is_told_in_no_time_however_many_there_are(lab_server):
    client = newcomer(lab_server, "many-names").client
    names = {f"{number:05d}{'x' * 150}": 1 for number in range(20_000)}
    made(client, "runs", name="many", params={**names, "learning_rate": 1})
    started_s = time.monotonic()
    wrong = client.get("runs/table", params={"filter": "params.learning_rat == 1"})
    assert "did you mean 'learning_rate'?" in wrong.json()["error"]["message"]
    assert time.monotonic() - started_s < 10


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"filter": 'name == "\\ud800"'}, "is no text"),
        ({"filter": 'metrics["\\ud800"] > 1'}, "is no text"),
        ({"columns": 'params["\\ud800"]'}, "is not quoted"),
        ({"columns": r'metrics.a{b="\ud800"}'}, "is not quoted"),
        ({"sort": [f"params.a{number}" for number in range(11)]}, "at most 10"),
        ({"filter": " or ".join(f"params.a{number}" for number in range(41))}, "at most 40"),
    ],
)
def test_what_the_database_could_not_take_is_refused(lab, query, reason):
    answer = lab[0].get("runs/table", params=query)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "INVALID_INPUT"), answer.text
    assert reason in answer.json()["error"]["message"]


def test_nobody_learns_of_another_s_runs(lab, lab_server):
    other = newcomer(lab_server, "nosy").client
    assert other.get("runs/table").json()["total"] == 0
    assert other.get("runs/columns").json()["items"] == []
    assert other.get("runs/table", params={"project": lab[1]}).status_code == 404
    # Not even by what it is told that it may have meant.
    assert "optimizer" not in other.get("runs/table", params={"filter": "params.optimizr == 1"}).text


def test_a_value_that_is_changed_is_found_as_it_is_now(lab_server):
    client = newcomer(lab_server, "changing").client
    run = made(client, "runs", name="x", params={"a": 1, "b": 2})
    client.patch(f"runs/{run['id']}", json={"params": {"a": "one", "c": 3}}).raise_for_status()

    def total(filter):
        return client.get("runs/table", params={"filter": filter}).json()["total"]

    assert [total("params.a == 1"), total('params.a == "one"'), total("params.b == 2 and params.c == 3")] == [
        0,
        1,
        1,
    ]
    client.delete(f"runs/{run['id']}")
    assert client.get("runs/columns").json()["items"] == []
