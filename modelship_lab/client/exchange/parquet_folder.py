"""Runs as a folder of Parquet files: out of a lab, and into one.

runs.parquet       a row for each run; environment and summary are JSON
params.parquet     run_id, name, value; a value is JSON
metrics.parquet    run_id, name, step, time, value: every point, in order of arrival
artifacts.parquet  run_id, name, size, digest, content_type
artifacts/         the artifacts' content by digest (SHA-256)
bundles/           exported models by digest, each an uncompressed tar
"""

import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelship_lab.client.exchange.transfer import (
    OnMoved,
    SourceFile,
    SourceRun,
    Tally,
    lab_origin,
    schema,
)
from modelship_lab.records.errors import Conflict, InvalidData, NotFound, StorageFailed
from modelship_lab.records.tracking import Run

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from modelship_lab.client.lab import Lab
    from modelship_lab.client.runs import RunHandle

_FORMAT = 1
_METADATA = b"mlship"
_ROW_GROUP = 131_072
_DIGEST = re.compile(r"[0-9a-f]{16,128}")
_COMPRESSION = "zstd"


def _run_schema(lab_id: str) -> "pa.Schema":
    import pyarrow as pa

    time = pa.timestamp("us", tz="UTC")
    columns: list[Any] = [("id", pa.int64())]
    columns += [(name, pa.string()) for name in ("name", "project", "recipe", "status")]
    columns += [("tags", pa.list_(pa.string())), ("notes", pa.string()), ("snapshot_id", pa.int64())]
    columns += [(name, pa.string()) for name in ("environment", "summary", "error", "bundle")]
    columns += [("started_at", time), ("ended_at", time), ("updated_at", time)]
    about = json.dumps({"format": _FORMAT, "lab_id": lab_id}).encode()
    return pa.schema(columns, metadata={_METADATA: about})


def _param_schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([("run_id", pa.int64()), ("name", pa.string()), ("value", pa.string())])


def _artifact_schema() -> "pa.Schema":
    import pyarrow as pa

    texts = [(name, pa.string()) for name in ("digest", "content_type")]
    return pa.schema([("run_id", pa.int64()), ("name", pa.string()), ("size", pa.int64()), *texts])


def export_to_folder(
    lab: "Lab", folder: Path, runs: Iterable["RunHandle"], tally: Tally, on_moved: OnMoved
) -> None:
    """Write runs to a new folder, all at once or not at all.

    Raises:
        Conflict: there is something of this name.
        StorageFailed: the disk refuses.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"'{folder}' exists. Name a new folder: an export replaces nothing.")
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        (temporary / "artifacts").mkdir(parents=True)
        _Writer(lab, temporary, tally, on_moved).write(runs)
        temporary.replace(folder)
    except OSError as error:
        raise StorageFailed(f"'{folder}' cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class _Writer:
    """Writes the files of an export."""

    def __init__(self, lab: "Lab", folder: Path, tally: Tally, on_moved: OnMoved) -> None:
        self._lab = lab
        self._folder = folder
        self._tally = tally
        self._on_moved = on_moved
        self._waiting: list[pa.Table] = []

    def write(self, runs: Iterable["RunHandle"]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        records: list[Run] = []
        artifacts: list[dict[str, Any]] = []
        metrics = schema().insert(0, pa.field("run_id", pa.int64()))
        with pq.ParquetWriter(self._folder / "metrics.parquet", metrics, compression=_COMPRESSION) as writer:
            for run in runs:
                try:
                    # Before anything is noted: a run that was deleted meanwhile leaves nothing.
                    points = points_of(run)
                    files = self._files(run)
                    self._bundle(run)
                except NotFound as error:
                    self._tally.problem(f"run {run.id}", error.message)
                    continue
                self._put(writer, points.add_column(0, "run_id", pa.repeat(pa.scalar(run.id), len(points))))
                artifacts += files
                records.append(run.record)
                self._tally.runs += 1
                self._tally.points += points.num_rows
                self._tally.artifacts += len(files)
                self._on_moved(self._tally.moved())
            self._put(writer, None)
        params = [
            {"run_id": run.id, "name": name, "value": json.dumps(value)}
            for run in records
            for name, value in run.params.items()
        ]
        rows = [
            {
                **run.model_dump(),
                "tags": list(run.tags),
                "environment": json.dumps(run.environment),
                "summary": json.dumps(run.summary),
            }
            for run in records
        ]
        self._save("runs", rows, _run_schema(self._lab.info.lab_id))
        self._save("params", params, _param_schema())
        self._save("artifacts", artifacts, _artifact_schema())

    def _put(self, writer: "pq.ParquetWriter", points: "pa.Table | None") -> None:
        """Write row groups of a good size, whatever that of the runs is; None: write the rest."""
        import pyarrow as pa

        if points is not None:
            self._waiting.append(points)
        if self._waiting and (points is None or sum(map(len, self._waiting)) >= _ROW_GROUP):
            writer.write_table(pa.concat_tables(self._waiting), row_group_size=_ROW_GROUP)
            self._waiting = []

    def _save(self, name: str, rows: list[dict[str, Any]], columns: "pa.Schema") -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pylist(rows, columns)
        pq.write_table(table, self._folder / f"{name}.parquet", compression=_COMPRESSION)

    def _files(self, run: "RunHandle") -> list[dict[str, Any]]:
        found = []
        for artifact in run.artifacts():
            target = self._folder / "artifacts" / artifact.digest
            if not target.exists():
                run.download(artifact.name, target)
            found.append(artifact.model_dump(include=set(_artifact_schema().names)))
        return found

    def _bundle(self, run: "RunHandle") -> None:
        if run.record.bundle is None:
            return
        target = self._folder / "bundles" / f"{run.record.bundle}.tar"
        target.parent.mkdir(exist_ok=True)
        if not target.exists():
            run.download_bundle(target)


def points_of(run: "RunHandle") -> "pa.Table":
    """Every point of a run of the lab."""
    import polars as pl

    return (
        run.metrics_frame()
        .select(schema().names)
        .to_arrow(compat_level=pl.CompatLevel.oldest())
        .cast(schema())
    )


class ParquetFolder:
    """Reads a folder that `export_to_folder` has made.

    Args:
        folder: with `runs.parquet`.
        tally: what is left out, and what cannot be read, is said there.
    """

    kind = "parquet"

    def __init__(self, folder: Path, tally: Tally) -> None:
        self._folder = folder
        self._tally = tally
        self._kept: tuple[int, pa.Table] | None = None

    @staticmethod
    def is_one(folder: Path) -> bool:
        """Whether it is such a folder."""
        return (folder / "runs.parquet").is_file()

    def runs(self) -> Iterator[SourceRun]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._folder / "runs.parquet"
        try:
            table = pq.read_table(path)
            about = json.loads((table.schema.metadata or {}).get(_METADATA, b"{}"))
            lab_id = str(about.get("lab_id", ""))
            if about.get("format") != _FORMAT:
                raise ValueError("it was not made by `mlship runs export`, or by a later version")
            rows = table.select(_run_schema("").names).to_pylist()
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise InvalidData(f"{path} cannot be read: {' '.join(str(error).split())[:300]}.") from error
        params = self._by_run("params")
        artifacts = self._by_run("artifacts")
        self._tally.points_total = len(self._run_ids)
        for row in sorted(rows, key=lambda row: (row["started_at"], row["id"])):
            try:
                yield self._run(row, lab_id, params.get(row["id"], []), artifacts.get(row["id"], []))
            except (ValueError, TypeError, KeyError) as error:
                self._tally.problem(f"{path}, run {row['id']}", str(error))

    def _by_run(self, name: str) -> dict[int, list[dict[str, Any]]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._folder / f"{name}.parquet"
        found: dict[int, list[dict[str, Any]]] = {}
        try:
            for row in pq.read_table(path).to_pylist():
                found.setdefault(row["run_id"], []).append(row)
        except (pa.ArrowException, OSError, KeyError) as error:
            self._tally.problem(str(path), " ".join(str(error).split())[:300])
        return found

    def _run(
        self, row: dict[str, Any], lab_id: str, params: list[dict[str, Any]], artifacts: list[dict[str, Any]]
    ) -> SourceRun:
        if row["snapshot_id"] is not None:
            self._tally.leave_out("links to snapshots, which stay in their lab")
        environment = json.loads(row["environment"])
        lab_id, number = lab_origin(environment) or (lab_id, row["id"])
        return SourceRun(
            id=f"{lab_id}/{number}",
            name=row["name"],
            origin={"kind": "lab", "lab": lab_id, "run": number, "snapshot_id": row["snapshot_id"]},
            project=row["project"],
            recipe=row["recipe"],
            status=row["status"],
            started_at=row["started_at"],
            ended_at=row["ended_at"],
            params={param["name"]: json.loads(param["value"]) for param in params},
            tags=tuple(row["tags"]),
            notes=row["notes"],
            summary=json.loads(row["summary"]),
            error=row["error"],
            environment=environment,
            points=partial(self._points, row["id"]),
            files=partial(self._files, artifacts),
            bundle=self._bundle(row["bundle"]),
        )

    def _bundle(self, digest: str | None) -> Path | None:
        if digest is None:
            return None
        path = self._folder / "bundles" / f"{_checked_digest(digest)}.tar"
        if path.is_file():
            return path
        self._tally.problem(str(path), "the exported model is not there")
        return None

    def _files(self, artifacts: list[dict[str, Any]]) -> Iterator[SourceFile]:
        for artifact in artifacts:
            try:
                path = self._folder / "artifacts" / _checked_digest(artifact["digest"])
                with path.open("rb") as file:
                    intact = hashlib.file_digest(file, "sha256").hexdigest() == artifact["digest"]
            except (OSError, ValueError) as error:
                self._tally.problem(f"{self._folder}, artifact {artifact['name']!r}", str(error))
                continue
            if intact:
                yield SourceFile(artifact["name"], path, artifact["content_type"])
            else:
                self._tally.problem(
                    str(path), f"the content of {artifact['name']!r} is not what was exported"
                )

    @cached_property
    def _metrics(self) -> "pq.ParquetFile | None":
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._folder / "metrics.parquet"
        try:
            return pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            self._tally.problem(str(path), " ".join(str(error).split())[:300])
            return None

    @cached_property
    def _run_ids(self) -> "np.ndarray[Any, Any]":
        """The run of each point; -1 where that cannot be read."""
        import numpy as np
        import pyarrow as pa

        file = self._metrics
        found = [np.zeros(0, dtype=np.int64)]
        for group in range(0 if file is None else file.num_row_groups):
            assert file is not None
            try:
                found.append(file.read_row_group(group, columns=["run_id"])["run_id"].to_numpy())
            except (pa.ArrowException, OSError) as error:
                self._damaged(group, error)
                found.append(np.full(file.metadata.row_group(group).num_rows, -1))
        return np.concatenate(found)

    def _damaged(self, group: int, error: Exception) -> None:
        place = f"{self._folder / 'metrics.parquet'}, row group {group}"
        self._tally.problem(place, " ".join(str(error).split())[:300])

    def _points(self, run_id: int) -> Iterator["pa.Table"]:
        import numpy as np

        places = np.flatnonzero(self._run_ids == run_id)
        file = self._metrics
        if file is None or not len(places):
            return
        ends = np.cumsum([file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)])
        for group in np.unique(np.searchsorted(ends, places, side="right")).tolist():
            table = self._group(group)
            if table is not None:
                start = int(ends[group - 1]) if group else 0
                mine = places[(places >= start) & (places < ends[group])] - start
                yield table.take(mine)

    def _group(self, group: int) -> "pa.Table | None":
        """The points of one row group; the last one is kept, since the next run's may be there, too."""
        import pyarrow as pa

        if self._kept is None or self._kept[0] != group:
            assert self._metrics is not None
            try:
                table = self._metrics.read_row_group(group, columns=schema().names).cast(schema())
            except (pa.ArrowException, OSError, ValueError) as error:
                self._damaged(group, error)
                return None
            self._kept = (group, table)
        return self._kept[1]


def _checked_digest(digest: str) -> str:
    """A digest that can be the name of a file, and leads nowhere else.

    Raises:
        ValueError: it cannot.
    """
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r:.80} is not a digest")
    return digest
