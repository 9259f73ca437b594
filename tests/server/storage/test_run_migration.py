"""A file of before runs had parents, values of their own and artifacts of kinds comes along with all that is in it."""

import asyncio
import json
import math
from datetime import UTC, datetime

import orjson
import pytest

from modelship_lab.server.identity.policy import OWNER
from modelship_lab.server.storage.database import Database
from modelship_lab.server.tracking.curves import Axis, curves
from modelship_lab.server.tracking.run_table import RunTable
from modelship_lab.server.tracking.stored_runs import run_of
from tests.server.storage.older_database import older_database

PARAMS = {
    "lr": 0.1,
    "epochs": 3,
    "big": 2**60 + 1,
    "amp": True,
    "off": False,
    "none": None,
    "optimizer": "adam",
    "number": "0.5",
    "": "no name",
    "größe/µ \"q\"": "ü\n",
    "layers": [1, {"a": None}],
    "empty": "",
    "tiny": 5e-324,
}  # fmt: skip
SUMMARY = {"accuracy": 0.75, "loss": -1}
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_901)
POINTS = [("loss", 1, 2.5), ("loss", 2, math.inf), ("acc", 1, 0.5), ("loss", 3, -1.25)]


@pytest.fixture
def older(tmp_path):
    """A database of schema 2 with a run that has everything, and one that has nothing."""
    path = tmp_path / "lab.duckdb"
    connection = older_database(path, schema=2)
    connection.execute(
        "INSERT INTO projects (name, classes, description, created_at, updated_at) VALUES ('old', [], '', ?, ?)",
        [MOMENT, MOMENT],
    )
    everything = {
        "key": "key-of-a-run", "name": "old run", "project_id": 1, "recipe": "text-linear", "status": "finished",
        "params": orjson.dumps(PARAMS).decode(), "tags": ["a", "b"], "notes": "a note", "snapshot_id": 7,
        "environment": '{"git": {"commit": "abc"}}', "summary": orjson.dumps(SUMMARY).decode(), "error": "none",
        "bundle": "0" * 64, "stop_requested": True, "author": "owner", "started_at": MOMENT, "ended_at": MOMENT,
        "heartbeat_at": MOMENT, "owner_id": 1, "updated_at": MOMENT, "heartbeats": True,
    }  # fmt: skip
    bare = {"name": "bare", "recipe": "", "status": "interrupted", "params": "{}", "tags": [], "environment": "{}",
            "author": "owner", "started_at": MOMENT, "heartbeat_at": MOMENT, "updated_at": MOMENT}  # fmt: skip
    for run in (everything, bare):
        connection.execute(
            f"INSERT INTO runs ({', '.join(run)}) VALUES ({', '.join('?' * len(run))})", list(run.values())
        )
    connection.execute("INSERT INTO metric_streams VALUES (1, 'client-1', 3, 3, 4)")
    for name, step, value in POINTS:
        connection.execute("INSERT INTO metrics VALUES (1, ?, ?, ?, ?, 1)", [name, step, MOMENT, value])
    for name in ("traceback.txt", "old/../name"):
        connection.execute(
            "INSERT INTO artifacts (run_id, name, size, digest, content_type, created_at) VALUES (1, ?, 5, ?, ?, ?)",
            [name, "1" * 64, "text/plain", MOMENT],
        )
    connection.close()
    return path


def test_everything_of_a_run_is_as_it_was(older):
    database = Database(older)

    def read(work):
        return asyncio.run(database.read(work))

    try:
        run, bare = (read(lambda cursor, number=number: run_of(cursor, number)) for number in (1, 2))
        assert (run.params, run.summary, run.tags, run.notes) == (PARAMS, SUMMARY, ("a", "b"), "a note")
        assert (run.parent_id, run.group, run.children, run.project) == (None, "", 0, "old")
        assert (run.status, run.error, run.bundle, run.snapshot_id) == ("finished", "none", "0" * 64, 7)
        assert run.started_at == run.ended_at == run.updated_at == MOMENT.replace(tzinfo=UTC)
        assert (bare.status, bare.params, bare.summary) == ("interrupted", {}, {})
        artifacts = read(lambda cursor: cursor.rows("SELECT * FROM artifacts ORDER BY id"))
        assert [(one["name"], one["kind"], one["step"], one["caption"]) for one in artifacts] == [
            ("traceback.txt", "file", None, ""),
            ("old/../name", "file", None, ""),
        ]
        told = json.loads(read(lambda cursor: curves(cursor, 1, (), 100, Axis())))
        assert told["sequence"] == 3
        assert [(one["name"], one["steps"], one["values"]) for one in told["series"]] == [
            ("acc", [1], [0.5]),
            ("loss", [1, 2, 3], [2.5, None, -1.25]),
        ]
    finally:
        database.close()


def test_its_parameters_and_figures_are_columns_as_those_of_new_runs_are(older):
    database = Database(older)
    table = RunTable(database)
    try:
        known = asyncio.run(table.columns(None, OWNER)).items
        assert sum(column.kind == "param" for column in known) == len(PARAMS) - 1
        names = [column.name for column in known]
        rows = asyncio.run(table.rows('name == "old run"', "old", (), names, 10, 0, OWNER))
        values = rows.items[0].values
        assert values['params[""]'] == "no name"
        for name in ("lr", "epochs", "big", "amp", "off", "optimizer", "number", "empty", "tiny"):
            assert values[f"params.{name}"] == PARAMS[name]
            assert type(values[f"params.{name}"]) is type(PARAMS[name])
        assert values['params["größe/µ \\"q\\""]'] == "ü\n"
        assert values["params.layers"] == '[1,{"a":null}]'
        assert (values["summary.accuracy"], values["summary.loss"], values["metrics.loss"]) == (
            0.75,
            -1,
            -1.25,
        )
        for filter in ("params.lr == 0.1", "params.amp and not params.off", 'params.number == "0.5"', "summary.loss < 0", "metrics.loss.max == 2.5",
                       'params.optimizer in ("adam", "sgd")', "params.tiny > 0"):  # fmt: skip
            found = asyncio.run(table.rows(filter, None, (), (), 10, 0, OWNER)).items
            assert [row.name for row in found if row.name != "bare"] == ["old run"], filter
    finally:
        database.close()
