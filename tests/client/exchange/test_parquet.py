"""Out of a lab to Parquet, and into another one."""

import json
import shutil
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from modelship_lab.client import Lab
from modelship_lab.records.errors import Conflict, InvalidData
from tests.client.exchange.full_lab import ARTIFACTS, POINTS, RUNS, everything, fill
from tests.conftest import LabServer
from tests.server.shipping import text_bundle


def test_a_lab_goes_through_parquet_into_another(lab: Lab, other: Lab, tmp_path: Path) -> None:
    fill(lab, "travels")
    here = everything(lab, "travels")
    folder = tmp_path / "out"
    exported = lab.export_runs(folder, "travels")
    assert (exported.runs, exported.points, exported.artifacts) == (RUNS, POINTS, ARTIFACTS)
    assert exported.problems == ()
    table = pl.read_parquet(folder / "metrics.parquet")
    assert table.columns == ["run_id", "name", "context", "step", "time", "value"]
    assert table.height == exported.points
    with pytest.raises(Conflict, match="exists"):
        lab.export_runs(folder, "travels")
    imported = other.import_runs(folder)
    assert (imported.runs, imported.points, imported.artifacts) == (RUNS, POINTS, ARTIFACTS)
    assert imported.problems == () and imported.left_out == {}
    assert everything(other, "travels") == here
    again = other.import_runs(folder)
    assert (again.runs, again.unchanged, again.points) == (0, RUNS, 0)
    assert lab.import_runs(folder).unchanged == RUNS, "they are of this lab"
    # Out of the other lab, where they are known, and again where they were deleted.
    returned = tmp_path / "returned"
    other.export_runs(returned, "travels")
    assert lab.import_runs(returned).unchanged == RUNS, "they were of this lab first"
    # Parts before what they are parts of.
    for run_id in sorted((run.id for run in lab.run_records("travels")), reverse=True):
        lab.run(run_id).delete()
    lab.import_runs(returned)
    assert everything(lab, "travels") == here


def test_a_part_alone_still_says_what_it_is_a_part_of(lab: Lab, other: Lab, tmp_path: Path) -> None:
    fill(lab, "apart")
    runs = {run.name: run for run in lab.run_records("apart")}
    lab.export_runs(tmp_path / "part", runs=[runs["part"].id])
    told = other.import_runs(tmp_path / "part")
    assert told.left_out == {"links to parents that are not among the runs": 1}
    (part,) = other.run_records("apart")
    assert part.parent_id is None
    # Its lab still knows the parent.
    other.export_runs(tmp_path / "back", "apart")
    lab.run(runs["part"].id).delete()
    assert lab.import_runs(tmp_path / "back").left_out == {}
    (back,) = (run for run in lab.run_records("apart") if run.name == "part")
    assert back.parent_id == next(run.id for run in runs.values() if run.recipe == "mine")


def test_a_folder_of_an_earlier_version_is_read(lab: Lab, other: Lab, tmp_path: Path) -> None:
    run = lab.start_run("of format 1", project=lab.new_project("format 1").name)
    run.log({"loss": 0.5})
    run.finish()
    run.save_artifact("plain.txt", "hello")
    folder = tmp_path / "out"
    lab.export_runs(folder, runs=[run])
    for name, absent in {
        "runs": ["parent_id", "parent", "group"],
        "metrics": ["context"],
        "artifacts": ["kind", "step", "caption"],
    }.items():
        path = folder / f"{name}.parquet"
        table = pq.read_table(path)
        about = json.dumps({"format": 1, "lab_id": lab.info.lab_id})
        pq.write_table(table.drop_columns(absent).replace_schema_metadata({"mlship": about}), path)
    assert other.import_runs(folder).problems == ()
    assert everything(other, "format 1") == everything(lab, "format 1")


def test_damage_is_told_with_its_place_and_the_rest_arrives(lab: Lab, other: Lab, tmp_path: Path) -> None:
    fill(lab, "torn parquet")
    folder = tmp_path / "out"
    lab.export_runs(folder, "torn parquet")
    odd = next(file for file in (folder / "artifacts").iterdir() if file.stat().st_size == 256_000)
    odd.write_bytes(b"x" + odd.read_bytes()[1:])
    metrics = folder / "metrics.parquet"
    metrics.write_bytes(metrics.read_bytes()[:-100])
    told = other.import_runs(folder)
    assert (told.runs, told.artifacts) == (RUNS, ARTIFACTS - 1)
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


def test_an_exported_model_goes_along_and_a_damaged_one_stops_nobody(
    lab: Lab, lab_server: LabServer, other: Lab, tmp_path: Path
) -> None:
    lab.new_project("shipped", "text_classification", classes=["ham", "spam"])
    sound, damaged = (lab.start_run(name, project="shipped") for name in ("sound", "damaged"))
    for seed, run in enumerate((sound, damaged), 1):
        run.log({"loss": 0.5})
        run.finish()
        tar = text_bundle(tmp_path / run.record.name, seed)
        lab_server.client.put(f"runs/{run.id}/bundle", content=tar).raise_for_status()
    digest = damaged.refresh().bundle
    assert digest is not None
    model = lab_server.data_dir / "bundles" / digest / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"?")

    exported = lab.export_runs(tmp_path / "out", "shipped")
    assert (exported.runs, exported.points, exported.problem_count) == (2, 2, 1)
    assert exported.problems[0].place == f"run {damaged.id}, exported model"
    assert "checksum" in exported.problems[0].reason
    imported = other.import_runs(tmp_path / "out")
    assert (imported.runs, imported.points, imported.problems) == (2, 2, ())
    bundles = {run.name: run.bundle for run in other.run_records("shipped")}
    assert bundles == {"sound": sound.refresh().bundle, "damaged": None}
