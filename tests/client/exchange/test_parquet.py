"""Out of a lab to Parquet, and into another one."""

import math
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from modelship_lab import client
from modelship_lab.client import Lab
from modelship_lab.records.errors import Conflict, InvalidData
from modelship_lab.records.tracking import NewRun, Run, RunChange

STARTED = datetime(2024, 2, 29, 23, 59, 59, 123_456, UTC)


@pytest.fixture
def other(start_server: Callable[..., Any], tmp_path: Path) -> Iterator[Lab]:
    """Another lab."""
    server = start_server(tmp_path / "other")
    connected = client.connect(server.url, server.token, data_dir=tmp_path / "other client")
    yield connected
    connected.close()


def fill(lab: Lab, project: str) -> None:
    """Runs with everything that a run can have."""
    lab.new_project(project)
    new = NewRun(
        name="  first\nrun ", project=project, recipe="mine", tags=("a", "b=c", "ü"), started_at=STARTED,
        params={"lr": 0.1, "layers": [1, {"x": None}], "text": "0.1", "big": 2**60, "": ""},
        environment={"git": {"commit": "abc"}, "python": "3.11"},
    )  # fmt: skip
    run = lab.run(lab.connection.record(Run, "POST", "runs", json=new).id)
    for step in range(3000):
        run.log({"loss": 1 / (step + 1), "größe/x": step}, step=step)
    run.log({"odd": math.nan}, step=-5)
    run.log({"odd": math.inf, "loss": -math.inf}, step=2**62)
    run.log({"odd": 1.0}, step=-5)
    assert run.flush()
    run.save_artifact("plain.txt", "hello")
    run.save_artifact("folder/../odd name", bytes(range(256)) * 1000, "application/x-odd")
    change = RunChange(
        status="interrupted", notes="Look.\n\n* once", error="lost", summary={"best": 0.5},
        ended_at=STARTED + timedelta(hours=1),
    )  # fmt: skip
    lab.connection.record(Run, "PATCH", f"runs/{run.id}", json=change)
    with lab.start_run("second", project=project) as second:
        second.save_artifact("same content.txt", "hello")


def facts(run: Run) -> dict[str, Any]:
    """What must be the same in every lab."""
    found = run.model_dump(
        include={
            "name", "project", "recipe", "status", "params", "tags", "notes", "summary", "error",
            "started_at", "ended_at",
        }
    )  # fmt: skip
    found["environment"] = {key: value for key, value in run.environment.items() if key != "imported_from"}
    return found


def contents(lab: Lab, run: Run) -> dict[str, tuple[str, bytes]]:
    handle = lab.run(run.id)
    return {one.name: (one.content_type, handle.artifact(one.name)) for one in handle.artifacts()}


def assert_same(lab: Lab, other: Lab, project: str) -> None:
    there, here = lab.run_records(project), other.run_records(project)
    assert [facts(run) for run in here] == [facts(run) for run in there]
    for mine, theirs in zip(there, here, strict=True):
        points = lab.run(mine.id).metrics_frame()
        found = other.run(theirs.id).metrics_frame()
        assert found.equals(points, null_equal=True), "every point, in the same order"
        assert contents(other, theirs) == contents(lab, mine)


def test_a_lab_goes_through_parquet_into_another(lab: Lab, other: Lab, tmp_path: Path) -> None:
    fill(lab, "travels")
    folder = tmp_path / "out"
    exported = lab.export_runs(folder, "travels")
    assert (exported.runs, exported.artifacts, exported.problems) == (2, 3, ())
    assert exported.points == 6000 + 4
    table = pl.read_parquet(folder / "metrics.parquet")
    assert table.columns == ["run_id", "name", "step", "time", "value"]
    assert table.height == exported.points
    with pytest.raises(Conflict, match="exists"):
        lab.export_runs(folder, "travels")
    imported = other.import_runs(folder)
    assert (imported.runs, imported.points, imported.artifacts) == (2, 6004, 3)
    assert imported.problems == () and imported.left_out == {}
    assert_same(lab, other, "travels")
    again = other.import_runs(folder)
    assert (again.runs, again.unchanged, again.points) == (0, 2, 0)
    assert lab.import_runs(folder).unchanged == 2, "they are of this lab"
    # Out of the other lab, where they are known, and again where they were deleted.
    returned = tmp_path / "returned"
    other.export_runs(returned, "travels")
    assert lab.import_runs(returned).unchanged == 2, "they were of this lab first"
    for run in lab.run_records("travels"):
        lab.run(run.id).delete()
    lab.import_runs(returned)
    assert_same(other, lab, "travels")


def test_damage_is_told_with_its_place_and_the_rest_arrives(lab: Lab, other: Lab, tmp_path: Path) -> None:
    fill(lab, "torn parquet")
    folder = tmp_path / "out"
    lab.export_runs(folder, "torn parquet")
    odd = next(file for file in (folder / "artifacts").iterdir() if file.stat().st_size == 256_000)
    odd.write_bytes(b"x" + odd.read_bytes()[1:])
    metrics = folder / "metrics.parquet"
    metrics.write_bytes(metrics.read_bytes()[:-100])
    told = other.import_runs(folder)
    assert (told.runs, told.artifacts) == (2, 2)
    assert {problem.place for problem in told.problems} == {str(odd), str(metrics)}
    shutil.copy(folder / "params.parquet", folder / "runs.parquet")
    with pytest.raises(InvalidData, match=r"runs\.parquet cannot be read"):
        other.import_runs(folder)


def test_a_folder_names_no_file_outside_of_it(lab: Lab, other: Lab, tmp_path: Path) -> None:
    fill(lab, "wary parquet")
    folder = tmp_path / "out"
    lab.export_runs(folder, "wary parquet")
    (tmp_path / "secret").write_text("private")
    path = folder / "artifacts.parquet"
    pl.read_parquet(path).with_columns(digest=pl.lit("../../secret")).write_parquet(path)
    told = other.import_runs(folder)
    assert told.artifacts == 0
    assert "is not a digest" in told.problems[0].reason
