"""Runs in and out, from a shell."""

import sqlite3
from pathlib import Path

from tests.commands.conftest import Shell
from tests.conftest import LabServer


def test_an_mlflow_database_is_imported_by_a_verb(
    mlship: Shell, lab_server: LabServer, tmp_path: Path
) -> None:
    path = tmp_path / "mlflow.db"
    with sqlite3.connect(path) as database:
        database.executescript(
            """
            CREATE TABLE experiments (experiment_id INTEGER, name TEXT);
            CREATE TABLE runs (run_uuid TEXT, name TEXT, experiment_id INTEGER, status TEXT, start_time INTEGER,
                               end_time INTEGER, lifecycle_stage TEXT, artifact_uri TEXT);
            CREATE TABLE metrics (key TEXT, value REAL, timestamp INTEGER, run_uuid TEXT);
            CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);
            CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT);
            INSERT INTO experiments VALUES (1, '2019');
            INSERT INTO runs VALUES ('old-one', 'from long ago', 1, 'FINISHED', 1550000000000, 1550000001000,
                                     'active', 's3://bucket/1');
            INSERT INTO runs VALUES ('deleted', 'away', 1, 'FINISHED', 1550000000000, NULL, 'deleted', '');
            INSERT INTO metrics VALUES ('loss', 0.5, 1550000000500, 'old-one');
            INSERT INTO params VALUES ('lr', '0.1', 'old-one');
            """
        )
    done = mlship("runs", "import", str(path))
    assert done.returncode == 0, done.stderr
    assert "1 run" in done.stdout
    assert "deleted runs" in done.stdout
    assert "artifacts are not in a folder" in done.stdout
    (run,) = [run for run in lab_server.client.get("runs").json()["items"] if run["name"] == "from long ago"]
    assert run["project"] == "project 2019"
    assert run["params"] == {"lr": 0.1}
    assert run["started_at"].startswith("2019-02-12T19:33:20")
    again = mlship("runs", "import", str(path))
    assert "0 runs" in again.stdout
    folder = tmp_path / "out"
    exported = mlship("runs", "export", str(folder), "--run", str(run["id"]))
    assert exported.returncode == 0, exported.stderr
    assert "1 run" in exported.stdout
    assert (folder / "metrics.parquet").exists()
    assert "exists" in mlship("runs", "export", str(folder)).stderr
    assert "0 runs" in mlship("runs", "import", str(folder)).stdout, "they are here"
    wrong = mlship("runs", "import", str(tmp_path / "none"))
    assert wrong.returncode == 2
    assert "no file or folder" in wrong.stderr


def test_runs_alone_still_lists(mlship: Shell) -> None:
    assert mlship("new", "listing", "--type", "text_classification", "--classes", "a,b").returncode == 0
    assert mlship("runs").returncode == 0
    assert mlship("runs", "listing").returncode == 0
    assert mlship("runs", "--status", "failed", "--limit", "3").returncode == 0
    assert "There is no project 'listinh'. Did you mean" in mlship("runs", "listinh").stderr
