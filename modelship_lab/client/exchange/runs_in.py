"""Runs of other systems into the lab: once, however often they are imported."""

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelship_lab.client.checked import checked
from modelship_lab.client.connection import ARROW
from modelship_lab.client.exchange.metrics_csv import MetricsCsv
from modelship_lab.client.exchange.mlflow_database import MlflowDatabase
from modelship_lab.client.exchange.mlflow_files import MlflowFiles
from modelship_lab.client.exchange.nesting import parents_first
from modelship_lab.client.exchange.parquet_folder import ParquetFolder
from modelship_lab.client.exchange.tensorboard import TensorBoard
from modelship_lab.client.exchange.transfer import (
    ORIGIN,
    OnMoved,
    Source,
    SourceFile,
    SourceRun,
    Tally,
    Transfer,
    silent,
)
from modelship_lab.client.runs import RunHandle, as_json
from modelship_lab.records.artifacts import Artifact
from modelship_lab.records.errors import Conflict, InvalidInput, NotFound, PayloadTooLarge
from modelship_lab.records.metrics import LoggedMetrics
from modelship_lab.records.tracking import ENDED, MAX_DEPTH, NewRun, Run, RunChange

if TYPE_CHECKING:
    import pyarrow as pa

    from modelship_lab.client.lab import Lab

BATCH_POINTS = 100_000
"""Most points in one request."""
_LONGEST_RUN_NAME = 200
_LONGEST_METRIC_NAME = 250
_LONGEST_NOTES = 100_000
_LONGEST_ERROR = 10_000
_SQLITE = b"SQLite format 3\0"

_SERIES = ["name", "context"]
"""What tells the series of a run apart."""
_Series = tuple[str, str]


def import_runs(
    lab: "Lab",
    path: Path,
    project: str | int | None = None,
    artifacts: Path | None = None,
    on_moved: OnMoved = silent,
) -> Transfer:
    """Import the runs of a file or folder; see `Lab.import_runs`."""
    tally = Tally()
    source = open_source(path, tally, artifacts)
    arrival = _Arrival(lab, source.kind, project, tally, on_moved)
    for run in parents_first(source.runs()):
        arrival.take(run)
    return tally.transfer(str(path), lab.url)


def open_source(path: Path, tally: Tally, artifacts: Path | None = None) -> Source:
    """What a file or folder holds, by its content.

    Raises:
        InvalidInput: there is none, or nothing that is known.
    """
    if not path.exists():
        raise InvalidInput(f"There is no file or folder '{path}'.")
    if path.is_dir():
        if MlflowFiles.is_one(path):
            return MlflowFiles(path, tally, artifacts)
        if ParquetFolder.is_one(path):
            return ParquetFolder(path, tally)
        if TensorBoard.is_one(path):
            return TensorBoard(path, tally)
    elif TensorBoard.is_one(path):
        return TensorBoard(path, tally)
    else:
        with path.open("rb") as file:
            begin = file.read(len(_SQLITE))
        if begin == _SQLITE:
            return MlflowDatabase(path, tally, artifacts)
        if MetricsCsv.is_one(path):
            return MetricsCsv(path, tally)
    raise InvalidInput(
        f"'{path}' is nothing that runs are imported from: an MLflow database (mlflow.db) or file store "
        "(mlruns), a folder of TensorBoard event files, a CSV file of metrics, or a folder made by "
        "`mlship runs export`."
    )


@dataclass(frozen=True)
class _Arrived:
    """A run that others can be a part of."""

    id: int
    depth: int
    """In how many runs it is nested, and itself."""
    project: str | None
    """Where it was in its source."""


class _Arrival:
    """Takes one run after the other into the lab."""

    def __init__(
        self, lab: "Lab", kind: str, project: str | int | None, tally: Tally, on_moved: OnMoved
    ) -> None:
        self._lab = lab
        self._kind = kind
        self._project = lab.project(project).id if project is not None else None
        self._tally = tally
        self._on_moved = on_moved
        self._projects: dict[str, int | None] = {}
        self._arrived: dict[str, _Arrived] = {}
        self._producer = f"import-{uuid.uuid4().hex}"
        self._sequence = 0

    def take(self, run: SourceRun) -> None:
        """Import one run; what the lab refuses of it is told, and the next one's turn comes."""
        try:
            self._take(run)
        except (InvalidInput, PayloadTooLarge) as error:
            self._tally.problem(f"run {run.id}", error.message)
        self._on_moved(self._tally.moved())

    def _take(self, run: SourceRun) -> None:
        parent = self._parent_of(run)
        own = self._own(run)
        handle = own or self._create(run, parent)
        arrived = _Arrived(handle.id, 1 if parent is None else parent.depth + 1, run.project)
        self._arrived |= dict.fromkeys((run.id, run.alias), arrived)
        if own:
            self._tally.unchanged += 1
            return
        was_running = handle.record.status not in ENDED
        stored = self._stored(handle)
        points, files = self._tally.points, self._tally.artifacts
        self._send_points(handle, run, stored)
        self._send_files(handle, run)
        if run.bundle is not None and handle.record.bundle is None:
            handle.upload_bundle(run.bundle)
        sent = self._tally.points > points or self._tally.artifacts > files
        known = not was_running or (bool(stored) and run.status not in ENDED)
        if known and not sent:
            self._tally.unchanged += 1
            return
        # Last: points make a run that was given up run again.
        self._change(handle, run)
        self._tally.runs += 1

    def _own(self, run: SourceRun) -> RunHandle | None:
        """The run itself, if it left this very lab and is still here."""
        return self._here(run.origin["run"]) if run.origin.get("lab") == self._lab.info.lab_id else None

    def _here(self, run_id: int) -> RunHandle | None:
        try:
            return self._lab.run(run_id)
        except NotFound:
            return None

    def _parent_of(self, run: SourceRun) -> _Arrived | None:
        """What the run is a part of; None if it is that of nothing, or of nothing that is here."""
        if not run.parent:
            return None
        parent = self._arrived.get(run.parent)
        if parent is None:
            lab_id, _, number = run.parent.rpartition("/")
            own = self._here(int(number)) if lab_id == self._lab.info.lab_id else None
            if own is None:
                self._tally.leave_out("links to parents that are not among the runs")
                return None
            parent = _Arrived(own.id, 1, own.record.project)
        if parent.depth >= MAX_DEPTH:
            self._tally.leave_out(f"links to parents that are nested {MAX_DEPTH} deep")
            return None
        return parent

    def _create(self, run: SourceRun, parent: _Arrived | None) -> RunHandle:
        name = run.name
        if len(name) > _LONGEST_RUN_NAME:
            self._tally.leave_out("ends of long names of runs, which their environment has in full")
        environment = {**run.environment, ORIGIN: {**run.origin, "name": run.name}}
        if ORIGIN in run.environment:
            # Where a run was made says more than which way it came.
            environment = dict(run.environment)
            if "parent" in run.origin:
                environment[ORIGIN] = {**run.environment[ORIGIN], "parent": run.origin["parent"]}
        project = self._project
        if parent is None:
            project = project or self._project_of(run)
        elif project is None and run.project != parent.project:
            self._tally.leave_out("projects of parts, which are in those of their parents here")
        new = checked(
            NewRun,
            name=name[:_LONGEST_RUN_NAME],
            project=project,
            parent_id=None if parent is None else parent.id,
            group=run.group,
            recipe=run.recipe,
            params={key: as_json(value) for key, value in run.params.items()},
            tags=run.tags,
            environment=environment,
            key=hashlib.sha256(f"{self._kind_of(run)}\0{run.id}".encode()).hexdigest(),
            started_at=run.started_at,
        )
        record = self._lab.connection.record(Run, "POST", "runs", json=new, repeatable=True)
        self._tally.leave_out(
            "links to parents of runs that were here before these", record.parent_id != new.parent_id
        )
        return RunHandle(self._lab, record)

    def _kind_of(self, run: SourceRun) -> str:
        """A run of a lab is the same by whatever way it comes."""
        return str(run.origin.get("kind", self._kind))

    def _project_of(self, run: SourceRun) -> int | None:
        if run.project is None:
            return None
        if run.project not in self._projects:
            self._projects[run.project] = self._find_project(run.project)
        return self._projects[run.project]

    def _find_project(self, name: str) -> int | None:
        if name.isdecimal():
            # The lab would take it for an id.
            self._tally.leave_out("projects named by a number, which has 'project' before it here")
            name = f"project {name}"
        for project in self._lab.projects(name):
            if project.name == name:
                return project.id
        try:
            return self._lab.new_project(name).id
        except Conflict:
            return self._lab.project(name).id
        except InvalidInput as error:
            self._tally.problem(f"project {name!r:.80}", f"its runs are in no project: {error.message}")
            return None

    def _stored(self, handle: RunHandle) -> dict[_Series, int]:
        """How many points of each metric are here already."""
        frame = handle.metrics_frame()
        return {(name, context): count for name, context, count in frame.group_by(_SERIES).len().iter_rows()}

    def _send_points(self, handle: RunHandle, run: SourceRun, stored: Mapping[_Series, int]) -> None:
        import pyarrow as pa

        for batch in _batches(self._fitting(_unseen(run.points(), dict(stored)))):
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write_table(batch)
            self._sequence += 1
            self._lab.connection.record(
                LoggedMetrics,
                "POST",
                f"runs/{handle.id}/metrics",
                params={
                    "producer": self._producer,
                    "sequence": self._sequence,
                    # Elsewhere several points of a metric may have one step.
                    "on_duplicate": "keep",
                },
                content=sink.getvalue().to_pybytes(),
                headers={"Content-Type": ARROW},
                repeatable=True,
            )
            self._tally.points += batch.num_rows
            self._on_moved(self._tally.moved())

    def _fitting(self, tables: Iterable["pa.Table"]) -> Iterator["pa.Table"]:
        """Without names that the lab cannot hold."""
        import pyarrow.compute as pc

        for table in tables:
            lengths = pc.utf8_length(table["name"])
            fits = pc.and_(pc.greater(lengths, 0), pc.less_equal(lengths, _LONGEST_METRIC_NAME))
            fitting = table if pc.all(fits).as_py() else table.filter(fits)
            self._tally.leave_out(
                f"points of metrics whose names are not of 1 to {_LONGEST_METRIC_NAME} characters",
                table.num_rows - fitting.num_rows,
            )
            yield fitting

    def _send_files(self, handle: RunHandle, run: SourceRun) -> None:
        here: dict[tuple[str, int | None], Artifact] | None = None
        for file in run.files():
            if here is None:
                here = {(one.name, one.step): one for one in handle.artifacts()}
            try:
                known = here.get((file.name, file.step))
                if known is None or not _is_same(known, file):
                    handle.save_artifact(
                        file.name,
                        file.content if isinstance(file.content, Path) else bytes(file.content),
                        file.content_type,
                        kind=file.kind,
                        step=file.step,
                        caption=file.caption,
                    )
                    self._tally.artifacts += 1
            except OSError as error:
                self._tally.problem(f"run {run.id}, artifact {file.name!r}", error.strerror or str(error))
            except (InvalidInput, PayloadTooLarge) as error:
                self._tally.problem(f"run {run.id}, artifact {file.name!r}", error.message)

    def _change(self, handle: RunHandle, run: SourceRun) -> None:
        self._tally.leave_out("ends of long notes", len(run.notes) > _LONGEST_NOTES)
        ended: dict[str, Any] = {"status": run.status}
        if run.status in ENDED and (end := run.ended_at or run.started_at) is not None:
            ended["ended_at"] = end
        change = checked(
            RunChange,
            notes=run.notes[:_LONGEST_NOTES],
            error=run.error[:_LONGEST_ERROR],
            tags=run.tags,
            params={key: as_json(value) for key, value in run.params.items()},
            summary=run.summary,
            **ended,
        )
        self._lab.connection.record(Run, "PATCH", f"runs/{handle.id}", json=change, repeatable=True)


def _is_same(artifact: Artifact, file: SourceFile) -> bool:
    """Whether an artifact of the lab has the content of a file.

    Raises:
        OSError: it cannot be read.
    """
    if not isinstance(file.content, Path):
        return hashlib.sha256(file.content).hexdigest() == artifact.digest
    if file.content.stat().st_size != artifact.size:
        return False
    with file.content.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == artifact.digest


def _unseen(tables: Iterable["pa.Table"], stored: dict[_Series, int]) -> Iterator["pa.Table"]:
    """Without the first points of each metric, as many of them as are stored."""
    import polars as pl
    import pyarrow as pa

    for table in tables:
        if not any(stored.values()):
            yield table
            continue
        series = pl.DataFrame(pl.from_arrow(table.select(_SERIES)))
        frame = series.with_columns(nth=pl.int_range(pl.len()).over(_SERIES))
        left = pl.DataFrame(
            [(*one, count) for one, count in stored.items()],
            schema={"name": pl.String, "context": pl.String, "left": pl.Int64},
            orient="row",
        )
        kept = frame.join(left, on=_SERIES, how="left", maintain_order="left").select(
            pl.col("nth") >= pl.col("left").fill_null(0)
        )
        for name, context, count in frame.group_by(_SERIES).len().iter_rows():
            stored[name, context] = max(0, stored.get((name, context), 0) - count)
        yield table.filter(pa.array(kept.to_series().to_list(), pa.bool_()))


def _batches(tables: Iterable["pa.Table"]) -> Iterator["pa.Table"]:
    """The same points in tables of `BATCH_POINTS`."""
    import pyarrow as pa

    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        if count >= BATCH_POINTS:
            whole = pa.concat_tables(waiting)
            full = count - count % BATCH_POINTS
            for start in range(0, full, BATCH_POINTS):
                yield whole.slice(start, BATCH_POINTS)
            waiting, count = [whole.slice(full)], count - full
    if count:
        yield pa.concat_tables(waiting)
