"""Runs of an MLflow SQLite file (`mlflow.db`)."""

import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelship_lab.client.exchange.mlflow_run import MlflowRun, artifact_folder, files_below, source_run
from modelship_lab.client.exchange.transfer import SourceFile, SourceRun, Tally, points_table
from modelship_lab.records.errors import InvalidData

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH = 100_000
_LARGEST = 1.7976931348623157e308
"""What MLflow writes for an infinity, which its databases do not all know."""
_ELSEWHERE = {
    "logged_models": "logged models",
    "registered_models": "registered models",
    "trace_info": "traces",
    "inputs": "links to data sets",
}
"""Tables of what is not a run."""
_FACTS = ("user_id", "source_type", "source_name", "source_version", "entry_point_name", "artifact_uri")


class MlflowDatabase:
    """Reads the runs of an MLflow SQLite file; a tracking server may go on writing to it.

    Args:
        path: of the file.
        tally: what is left out, and what cannot be read, is said there.
        artifacts: the folder that a tracking server keeps artifacts in; default: `mlartifacts` beside the file.
    """

    kind = "mlflow"

    def __init__(self, path: Path, tally: Tally, artifacts: Path | None = None) -> None:
        self._path = path
        self._tally = tally
        self._root = artifacts or path.parent
        self._served = artifacts or path.parent / "mlartifacts"
        self._experiments: dict[int, str] = {}

    def runs(self) -> Iterator[SourceRun]:
        try:
            with closing(self._open()) as database:
                self._experiments = dict(_rows(database, "SELECT experiment_id, name FROM experiments"))
                runs = self._read_runs(database)
                self._count(database)
        except sqlite3.DatabaseError as error:
            raise InvalidData(f"{self._path} is not an MLflow database that can be read: {error}.") from error
        for facts in runs:
            if facts.get("lifecycle_stage") == "deleted":
                self._tally.leave_out("deleted runs")
                continue
            yield self._run(facts)

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
        # One damaged text must not cost the others.
        database.text_factory = lambda raw: raw.decode(errors="replace")
        return database

    def _read_runs(self, database: sqlite3.Connection) -> list[dict[str, Any]]:
        cursor = database.execute("SELECT * FROM runs ORDER BY start_time, run_uuid")
        names = [column[0] for column in cursor.description]
        found: list[dict[str, Any]] = []
        try:
            found.extend(dict(zip(names, row, strict=True)) for row in cursor)
        except sqlite3.DatabaseError as error:
            if not found:
                raise
            self._tally.problem(f"{self._path}, table runs after {len(found):,} rows", str(error))
        return found

    def _count(self, database: sqlite3.Connection) -> None:
        tables = {name for (name,) in _rows(database, "SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table, what in _ELSEWHERE.items():
            if table in tables:
                ((count,),) = _rows(database, f"SELECT count(*) FROM {table}")
                self._tally.leave_out(what, count)
        try:
            ((self._tally.points_total,),) = _rows(database, "SELECT count(*) FROM metrics")
        except sqlite3.DatabaseError:
            self._tally.points_total = 0  # The damage is told where it is met.

    def _run(self, facts: dict[str, Any]) -> SourceRun:
        identity = facts["run_uuid"]
        place = f"{self._path}, run {identity}"
        return source_run(
            MlflowRun(
                id=identity,
                name=facts.get("name") or "",
                status=facts.get("status") or "",
                experiment=self._experiments.get(facts["experiment_id"], str(facts["experiment_id"])),
                start_time=facts.get("start_time"),
                end_time=facts.get("end_time"),
                params=self._words("params", identity),
                tags=self._words("tags", identity),
                facts={name: facts.get(name) for name in _FACTS},
                points=lambda: self._points(identity),
                files=lambda: self._files(facts.get("artifact_uri") or "", place),
            ),
            place,
            self._tally,
        )

    def _words(self, table: str, identity: str) -> dict[str, str]:
        found: dict[str, str] = {}
        try:
            with closing(self._open()) as database:
                query = f"SELECT key, value FROM {table} WHERE run_uuid = ? ORDER BY rowid"
                for key, value in database.execute(query, (identity,)):
                    found[key] = "" if value is None else str(value)
        except sqlite3.DatabaseError as error:
            self._tally.problem(f"{self._path}, run {identity}, {table}", str(error))
        return found

    def _points(self, identity: str) -> Iterator["pa.Table"]:
        read = 0
        rows: list[Any] = []
        try:
            with closing(self._open()) as database:
                columns = {row[1] for row in _rows(database, "PRAGMA table_info(metrics)")}
                step = "step" if "step" in columns else "0"
                is_nan = "is_nan" if "is_nan" in columns else "0"
                cursor = database.execute(
                    f"SELECT key, {step}, timestamp, value, {is_nan} FROM metrics WHERE run_uuid = ? ORDER BY rowid",
                    (identity,),
                )
                while True:
                    # Not `fetchmany`, which hands out nothing when it meets the damage.
                    rows.extend(islice(cursor, _BATCH))
                    if not rows:
                        return
                    yield _table(rows)
                    read += len(rows)
                    rows = []
        except sqlite3.DatabaseError as error:
            place = f"{self._path}, run {identity}, metrics after {read + len(rows):,} points"
            self._tally.problem(place, str(error))
        if rows:
            yield _table(rows)

    def _files(self, uri: str, place: str) -> Iterator[SourceFile]:
        folder = artifact_folder(uri, self._root, self._served)
        if folder is not None:
            yield from files_below(folder, self._tally)
        elif uri and not _is_empty(uri, self._path.parent):
            self._tally.leave_out("runs whose artifacts are not in a folder given by --artifacts")


def _is_empty(uri: str, base: Path) -> bool:
    """Whether a local run surely has no artifacts: MLflow makes their folder with the first one."""
    local = uri.removeprefix("file://") if uri.startswith("file:") else uri
    return ":" not in local and not (base / local).exists()


def _rows(database: sqlite3.Connection, query: str) -> list[Any]:
    return database.execute(query).fetchall()


def _table(rows: Sequence[tuple[str, int, int, float, bool]]) -> "pa.Table":
    import numpy as np

    names, steps, times, values, nans = zip(*rows, strict=True)
    value = np.array([math.nan if one is None else one for one in values], dtype=np.float64)
    value[value >= _LARGEST] = np.inf
    value[value <= -_LARGEST] = -np.inf
    value[np.array(nans, dtype=bool)] = np.nan
    return points_table(names, steps, np.array(times, dtype=np.int64) * 1000, value)
