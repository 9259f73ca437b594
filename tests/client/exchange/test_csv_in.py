"""Importing CSV files of metrics."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from modelship_lab.client import Lab
from modelship_lab.records.errors import InvalidData


def points_of(lab: Lab, project: str) -> dict[str, list[tuple[Any, ...]]]:
    return {
        run.name: list(lab.run(run.id).metrics_frame().drop("context").iter_rows())
        for run in lab.run_records(project)
    }


def at(second: float) -> datetime:
    """A time as frames have it: in UTC, without a zone."""
    return datetime.fromtimestamp(1_700_000_000 + second, UTC).replace(tzinfo=None)


def test_a_line_for_each_point(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    file.write_text(
        "run,name,step,time,value\n"
        "a,loss,0,2023-11-14T22:13:20Z,0.5\n"
        '"b, c",loss,1,1700000001000,inf\n'
        "a,loss,2,1700000002.5,NaN\n"
        "a,loss,x,1700000003,0.1\n"
        "a,loss\n"
        "a,loss,4,1700000004,many\n"
        ",größe,5,1700000005,-1e-3\n",
    )
    project = lab.new_project("long csv").name
    transfer = lab.import_runs(file, project)
    found = points_of(lab, project)
    assert found["b, c"] == [("loss", 1, at(1), math.inf)]
    assert found["long"] == [("größe", 5, at(5), -0.001)]
    (first, second) = found["a"]
    assert first == ("loss", 0, at(0), 0.5)
    assert second[:3] == ("loss", 2, at(2.5)) and math.isnan(second[3])
    told = {problem.place: problem.reason for problem in transfer.problems}
    assert told.keys() == {f"{file}:{line}" for line in (5, 6, 7)}
    assert "step" in told[f"{file}:5"] and "'many'" in told[f"{file}:7"]
    assert lab.import_runs(file, project).points == 0
    with file.open("a") as more:
        more.write("a,loss,3,1700000006,0.25\n")
    assert lab.import_runs(file, project).points == 1
    assert points_of(lab, project)["a"][-1] == ("loss", 3, at(6), 0.25)


def test_a_column_for_each_metric(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "wide.csv"
    file.write_text("\ufeffstep;time;loss;acc;comment\n10;1700000000;0.5;;good\n20;1700000001;0.25;0.75;\n")
    project = lab.new_project("wide csv").name
    transfer = lab.import_runs(file, project)
    assert points_of(lab, project)["wide"] == [
        ("loss", 10, at(0), 0.5),
        ("loss", 20, at(1), 0.25),
        ("acc", 20, at(1), 0.75),
    ]
    assert transfer.left_out == {"columns without a number": 1}
    bare = tmp_path / "bare.tsv"
    bare.write_text("loss\tacc\n1\t2\n3\t4\n")
    lab.import_runs(bare, project)
    assert [point[:2] + point[3:] for point in points_of(lab, project)["bare"]] == [
        ("loss", 0, 1.0), ("acc", 0, 2.0), ("loss", 1, 3.0), ("acc", 1, 4.0),
    ]  # fmt: skip


def test_a_column_for_the_context(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "contexts.csv"
    file.write_text(
        "name,context,step,value\n"
        "loss,,0,1\n"
        "loss,val,0,2\n"
        'loss,"{""subset"": ""val"", ""rank"": ""0""}",0,3\n'
        'loss,"{""subset"": [1]}",0,4\n'
        "loss,val,0,5\n"
    )
    project = lab.new_project("csv contexts").name
    transfer = lab.import_runs(file, project)
    (run,) = lab.run_records(project)
    frame = lab.run(run.id).metrics_frame().sort("value")
    assert frame.select("context", "value").rows() == [
        ("{}", 1), ('{"subset":"val"}', 2), ('{"rank":"0","subset":"val"}', 3), ('{"subset":"val"}', 5),
    ]  # fmt: skip
    (problem,) = transfer.problems
    assert problem.place == f"{file}:5" and "context" in problem.reason
    assert lab.import_runs(file, project).points == 0
    wide = tmp_path / "wide.csv"
    wide.write_text("step;context;loss;acc\n0;val;1;2\n0;;3;4\n")
    lab.import_runs(wide, project)
    (run,) = (run for run in lab.run_records(project) if run.name == "wide")
    assert sorted(row[:3] + row[4:] for row in lab.run(run.id).metrics_frame().iter_rows()) == [
        ("acc", '{"subset":"val"}', 0, 2), ("acc", "{}", 0, 4),
        ("loss", '{"subset":"val"}', 0, 1), ("loss", "{}", 0, 3),
    ]  # fmt: skip


def test_what_holds_no_metrics_is_told(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "words.csv"
    file.write_text("a,b\nx,y\n")
    with pytest.raises(InvalidData, match=r"words\.csv holds no metrics"):
        lab.import_runs(file)
    file.write_bytes(b"")
    with pytest.raises(InvalidData, match=r"words\.csv cannot be read"):
        lab.import_runs(file)
