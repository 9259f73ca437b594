"""A lab that has everything that a run can have, and what must be the same wherever its runs go."""

import io
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa
from PIL import Image

from modelship_lab.client import Lab
from modelship_lab.client.connection import ARROW
from modelship_lab.client.exchange.transfer import schema
from modelship_lab.client.runs import RunHandle
from modelship_lab.records.metrics import context_text
from modelship_lab.records.tracking import NewRun, Run, RunChange

STARTED = datetime(2024, 2, 29, 23, 59, 59, 123_456, UTC)
POINTS = 6012
ARTIFACTS = 8
RUNS = 4

FACTS = {
    "name", "project", "recipe", "status", "params", "tags", "notes", "summary", "error", "group", "children",
    "started_at", "ended_at",
}  # fmt: skip


def png(red: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (red, 0, 0)).save(file, "PNG")
    return file.getvalue()


def begin(lab: Lab, new: NewRun) -> RunHandle:
    return lab.run(lab.connection.record(Run, "POST", "runs", json=new).id)


def keep(run: RunHandle, *points: tuple[str, dict[str, str], int, datetime, float]) -> None:
    """Store points, several at the same step too."""
    rows = [(name, context_text(context), *others) for name, context, *others in points]
    columns = zip(*rows, strict=True)
    table = pa.Table.from_arrays([pa.array(column) for column in columns], schema().names).cast(schema())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    run.lab.connection.request(
        "POST",
        f"runs/{run.id}/metrics",
        params={"on_duplicate": "keep"},
        content=sink.getvalue().to_pybytes(),
        headers={"Content-Type": ARROW},
    )


def fill(lab: Lab, project: str) -> None:
    """Runs with everything that a run can have: the first one has a part, which has one, too."""
    lab.new_project(project)
    run = begin(
        lab,
        NewRun(
            name="  first\nrun ", project=project, recipe="mine", tags=("a", "b=c", "ü"), started_at=STARTED,
            params={"lr": 0.1, "layers": [1, {"x": None}], "text": "0.1", "big": 2**60, "": ""},
            environment={"git": {"commit": "abc"}, "python": "3.11"}, group="sweep / 1",
        ),
    )  # fmt: skip
    for step in range(3000):
        run.log({"loss": 1 / (step + 1), "größe/x": step}, step=step)
    run.log({"odd": math.nan}, step=-5)
    run.log({"odd": math.inf, "loss": -math.inf}, step=2**62)
    assert run.flush()
    later = STARTED + timedelta(seconds=1)
    contexts: list[dict[str, str]] = [
        {"subset": "val"},
        {"subset": "val", "rank": "0"},
        {"a/b=ü": '{"x": 1}'},
    ]
    keep(
        run,
        ("odd", {}, -5, later, 1.0),
        ("odd", {}, -5, later + timedelta(seconds=1), 2.0),
        *(
            ("loss", context, step, later, value)
            for context in contexts
            for step, value in ((0, 0.5), (7, math.nan))
        ),
        # In MLflow it has the name of another one with its context.
        ("subset:val/loss", {}, 0, later, 9.0),
    )
    run.save_artifact("plain.txt", "hello")
    run.save_artifact("folder/odd #name%", bytes(range(256)) * 1000, "application/x-odd")
    for step in (1, 20):
        run.save_artifact(
            "images/a/sample.png", png(step), "image/png", kind="image", step=step, caption=f"**{step}**"
        )
    run.save_artifact("images/a/sample.png", png(0), "image/png", kind="image")
    rows = io.BytesIO()
    pl.DataFrame({"x": [1, 2]}).write_parquet(rows)
    run.save_artifact("rows", rows.getvalue(), "application/vnd.apache.parquet", kind="table", step=3)
    run.save_artifact("deep/words.txt", "ä", "text/plain", kind="text", step=-1)
    change = RunChange(
        status="interrupted", notes="Look.\n\n* once", error="lost", summary={"best": 0.5},
        ended_at=STARTED + timedelta(hours=1),
    )  # fmt: skip
    lab.connection.record(Run, "PATCH", f"runs/{run.id}", json=change)
    # Its clock was wrong: it began before the run that it is a part of.
    before = STARTED - timedelta(days=1)
    part = begin(lab, NewRun(name="part", parent_id=run.id, started_at=before, notes="A part."))
    inner = begin(lab, NewRun(name="inner", parent_id=part.id, started_at=before, group="sweep / 1"))
    for one in (part, inner):
        lab.connection.record(
            Run, "PATCH", f"runs/{one.id}", json=RunChange(status="finished", ended_at=STARTED)
        )
    with lab.start_run("second", project=project) as second:
        second.save_artifact("same content.txt", "hello")


def facts(lab: Lab, run: Run) -> dict[str, Any]:
    """What must be the same in every lab."""
    found = run.model_dump(include=FACTS)
    found["environment"] = {key: value for key, value in run.environment.items() if key != "imported_from"}
    found["parent"] = None if run.parent_id is None else lab.run(run.parent_id).record.name
    return found


def contents(lab: Lab, run: Run) -> dict[tuple[str, int | None], tuple[str, str, str, bytes]]:
    return {
        (one.name, one.step): (one.content_type, one.kind, one.caption, content(lab, one.digest))
        for one in lab.run(run.id).artifacts()
    }


def content(lab: Lab, digest: str) -> bytes:
    return lab.connection.request("GET", f"blobs/{digest}").content


def points(lab: Lab, run: Run, *, unit_us: int = 1) -> list[tuple[Any, ...]]:
    """Every point, in ascending order, with its time in units of so many microseconds."""
    frame = lab.run(run.id).metrics_frame().with_columns(pl.col("time").dt.epoch("us") // unit_us)
    return sorted((*row[:-1], repr(row[-1])) for row in frame.iter_rows())


def everything(lab: Lab, project: str, *, unit_us: int = 1) -> dict[str, Any]:
    """All that must be the same in every lab, by the names of the runs."""
    return {
        run.name: (facts(lab, run), points(lab, run, unit_us=unit_us), contents(lab, run))
        for run in lab.run_records(project)
    }
