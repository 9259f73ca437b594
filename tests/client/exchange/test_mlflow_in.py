"""Importing from MLflow: its database and its file store, written by MLflow itself."""

import os
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from modelship_lab.client import Lab
from modelship_lab.client.exchange.mlflow_words import param_of, param_text
from modelship_lab.records.errors import InvalidData, InvalidInput
from modelship_lab.records.tracking import Run
from tests.client.exchange.conftest import Asked, told

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STATUSES = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "stopped", "RUNNING": "running"}


def imported(lab: Lab, project: str) -> dict[str, Run]:
    return {run.name: run for run in lab.run_records(project)}


def time_of(milliseconds: int | None) -> datetime | None:
    if milliseconds is None:
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def points_of(lab: Lab, run: Run) -> dict[str, list[list[Any]]]:
    """Every point of a run as MLflow's client tells it, in ascending order."""
    found: dict[str, list[list[Any]]] = {}
    for name, _, step, time, value in lab.run(run.id).metrics_frame().iter_rows():
        found.setdefault(name, []).append(
            [repr(value), round(time.replace(tzinfo=UTC).timestamp() * 1000), step]
        )
    return {name: sorted(points) for name, points in found.items()}


@pytest.mark.parametrize("kind", ["sqlite", "file"])
def test_everything_of_mlflow_arrives_once(
    kind: str, stores: dict[str, Path], lab: Lab, mlflow: Asked
) -> None:
    path = stores[kind]
    lab.new_project(f"from-{kind}")
    seen: list[int] = []
    transfer = lab.import_runs(path, f"from-{kind}", on_moved=lambda moved: seen.append(moved.points))
    assert (transfer.runs, transfer.unchanged, transfer.points, transfer.artifacts) == (5, 0, 2505, 10)
    assert transfer.left_out == {"deleted runs": 1}
    assert transfer.problems == ()
    assert seen == sorted(seen) and seen[-1] == 2505
    here = imported(lab, f"from-{kind}")
    uri = f"sqlite:///{path}" if kind == "sqlite" else f"file://{path}"
    there = told(mlflow, uri, path.parent)
    assert here.keys() == there.keys()
    for name, run in here.items():
        known = there[name]
        assert run.status == STATUSES[known["status"]]
        assert run.started_at == time_of(known["start"])
        assert run.ended_at == time_of(known["end"])
        assert {key: param_text(value) for key, value in run.params.items()} == known["params"]
        assert run.environment["imported_from"]["tags"] == known["tags"]
        assert run.environment["imported_from"]["run"] == known["id"]
        infinities = {"1.7976931348623157e+308": "inf", "-1.7976931348623157e+308": "-inf"}
        expected = {
            key: sorted([infinities.get(value, value), time, step] for value, time, step in points)
            for key, points in known["metrics"].items()
        }
        assert points_of(lab, run) == expected
        handle = lab.run(run.id)
        paths = run.environment["imported_from"].get("files", {})
        assert {
            paths.get(file.name, {}).get(str(file.step), file.name): file.size for file in handle.artifacts()
        } == known["files"]
    first = here["første"]
    assert first.params == {
        "lr": 0.1, "depth": 7, "padded": "007", "amsgrad": True, "path/to": "a=b", "big": "1e400",
    }  # fmt: skip
    assert sorted(first.tags) == ["flag", "team=vision"]
    assert first.notes == "Best so far.\nKeep it."
    assert first.environment["imported_from"]["experiment"] == "Night shift"
    assert lab.run(first.id).artifact("model/deep/weights.bin") == bytes(range(256)) * 100
    shown = {(one.name, one.step): one.kind for one in lab.run(first.id).artifacts()}
    assert shown["images/samples/cat.png", 3] == shown["images/samples/cat.png", 12] == "image"
    assert shown["plots/roc.png", None] == "image" and shown["tables/answers.json", None] == "file"
    parents = {name: run.parent_id for name, run in here.items()}
    assert (parents["child"], parents["grandchild"]) == (first.id, here["child"].id)
    assert (parents["første"], parents["failed"]) == (None, None)
    again = lab.import_runs(path, f"from-{kind}")
    assert (again.runs, again.points, again.artifacts) == (1, 0, 0), (
        "only the one that goes on is looked at anew"
    )
    assert again.unchanged == 4
    assert imported(lab, f"from-{kind}").keys() == here.keys()
    assert points_of(lab, first) == points_of(lab, imported(lab, f"from-{kind}")["første"])


def test_what_was_logged_since_is_added(stores: dict[str, Path], lab: Lab, tmp_path: Path) -> None:
    path = Path(shutil.copy(stores["sqlite"], tmp_path / "mlflow.db"))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE experiments SET name = 'growing' WHERE name = 'Night shift'")
        # Another run than that of the other tests.
        for table in ("runs", "metrics", "params", "tags", "latest_metrics"):
            database.execute(f"UPDATE {table} SET run_uuid = 'g' || substr(run_uuid, 2)")
    lab.import_runs(path)
    run = imported(lab, "growing")["første"]
    before = points_of(lab, run)
    with sqlite3.connect(path) as database:
        identity = run.environment["imported_from"]["run"]
        database.execute(
            "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES ('odd', 7, 1700000001000, ?, 9, 0)",
            (identity,),
        )
    transfer = lab.import_runs(path)
    assert transfer.points == 1
    before["odd"].append(["7.0", 1700000001000, 9])
    assert points_of(lab, run) == {name: sorted(points) for name, points in before.items()}
    assert lab.run(run.id).record.ended_at == run.ended_at


def test_a_damaged_file_is_told_with_its_place_and_the_rest_arrives(
    stores: dict[str, Path], lab: Lab, tmp_path: Path
) -> None:
    folder = tmp_path / "mlruns"
    shutil.copytree(stores["file"], folder)
    for meta in folder.glob("*/*/meta.yaml"):
        # Other runs than those of the other tests.
        meta.write_text(meta.read_text().replace("run_id: ", "run_id: d"))
    loss = next(folder.glob("*/*/metrics/train/loss"))
    lines = loss.read_text().splitlines()
    lines[10] = "1700000000133 what? 10"
    loss.write_text("\n".join(lines))
    broken = next(meta for meta in folder.glob("*/*/meta.yaml") if "run_name: child" in meta.read_text())
    broken.write_text("run_id: [")
    transfer = lab.import_runs(folder, lab.new_project("damaged").name)
    assert (transfer.runs, transfer.points) == (4, 2504)
    places = [problem.place for problem in transfer.problems]
    assert places == [str(broken), f"{loss}:11"]
    assert "what?" in transfer.problems[1].reason


def test_a_damaged_database_gives_what_can_be_read(stores: dict[str, Path], lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(b"SQLite format 3\0" + os.urandom(8192))
    with pytest.raises(InvalidData, match=r"mlflow\.db"):
        lab.import_runs(path)
    shutil.copy(stores["sqlite"], path)
    with sqlite3.connect(path) as database:
        (size,) = database.execute("PRAGMA page_size").fetchone()
        for table in ("runs", "metrics", "params", "tags", "latest_metrics"):
            database.execute(f"UPDATE {table} SET run_uuid = 't' || substr(run_uuid, 2)")
    with sqlite3.connect(path) as database:
        pages = database.execute(
            "SELECT pageno FROM dbstat WHERE name = 'metrics' AND pagetype = 'leaf' ORDER BY pageno"
        ).fetchall()
    ((middle,), content) = pages[len(pages) // 2], bytearray(path.read_bytes())
    content[(middle - 1) * size : middle * size] = bytes(size)
    path.write_bytes(content)
    transfer = lab.import_runs(path, lab.new_project("torn").name)
    assert imported(lab, "torn").keys() == {"første", "child", "grandchild", "failed", "going on"}
    assert 0 < transfer.points < 2505
    (problem,) = transfer.problems
    assert f"metrics after {transfer.points:,} points" in problem.place
    assert "malformed" in problem.reason


def test_a_database_names_no_folder_of_somebody_elses(
    stores: dict[str, Path], lab: Lab, tmp_path: Path
) -> None:
    """A file that came by mail must not make the lab take up this machine's files."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("private")
    there = tmp_path / "there"
    there.mkdir()
    path = Path(shutil.copy(stores["sqlite"], there / "mlflow.db"))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE runs SET artifact_uri = ?", (str(secret),))
        for table in ("runs", "metrics", "params", "tags", "latest_metrics"):
            database.execute(f"UPDATE {table} SET run_uuid = 's' || substr(run_uuid, 2)")
    transfer = lab.import_runs(path, lab.new_project("wary").name)
    assert transfer.artifacts == 0
    assert transfer.left_out["runs whose artifacts are not in a folder given by --artifacts"] == 5


def test_what_is_nothing_is_told(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no file or folder"):
        lab.import_runs(tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match=r"mlflow\.db"):
        lab.import_runs(tmp_path)


@pytest.mark.parametrize(
    "text", ["0.1", "1e-05", "7", "-3", "007", "1.0", "1e400", "nan", "True", "None", "", " 1", "٣"]
)
def test_a_parameter_keeps_its_text(text: str) -> None:
    assert param_text(param_of(text)) == text
