"""Runs in a folder of Parquet files, as `parquet_out` writes it.

runs.parquet       a row for each run; environment and summary are JSON; parent_id is the id of another row, or
                   of a run that stayed in the lab, and parent names it beyond this lab
params.parquet     run_id, name, value; a value is JSON
metrics.parquet    run_id, name, context, step, time, value: every point; a context is JSON
artifacts.parquet  run_id, name, step, kind, caption, size, digest, content_type
artifacts/         the artifacts' content by digest (SHA-256)
bundles/           exported models by digest, each an uncompressed tar
"""

import hashlib
import json
import re
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelship_lab.client.exchange.transfer import SourceFile, SourceRun, Tally, lab_origin, schema
from modelship_lab.records.errors import InvalidData
from modelship_lab.records.metrics import context_text

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

_FORMAT = 2
"""1 had neither parents, groups and contexts nor kinds, steps and captions of artifacts."""
_SINCE_2 = {"parent_id", "parent", "group"}
_METADATA = b"mlship"
_DIGEST = re.compile(r"[0-9a-f]{16,128}")


def run_schema(lab_id: str) -> "pa.Schema":
    import pyarrow as pa

    time = pa.timestamp("us", tz="UTC")
    columns: list[Any] = [("id", pa.int64())]
    columns += [(name, pa.string()) for name in ("name", "project", "recipe", "status")]
    columns += [("tags", pa.list_(pa.string())), ("notes", pa.string()), ("snapshot_id", pa.int64())]
    columns += [(name, pa.string()) for name in ("environment", "summary", "error", "bundle")]
    columns += [("parent_id", pa.int64()), ("parent", pa.string()), ("group", pa.string())]
    columns += [("started_at", time), ("ended_at", time), ("updated_at", time)]
    about = json.dumps({"format": _FORMAT, "lab_id": lab_id}).encode()
    return pa.schema(columns, metadata={_METADATA: about})


def param_schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([("run_id", pa.int64()), ("name", pa.string()), ("value", pa.string())])


def artifact_schema() -> "pa.Schema":
    import pyarrow as pa

    texts = [(name, pa.string()) for name in ("kind", "caption", "digest", "content_type")]
    numbers = [(name, pa.int64()) for name in ("step", "size")]
    return pa.schema([("run_id", pa.int64()), ("name", pa.string()), *numbers, *texts])


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
            if about.get("format") not in range(1, _FORMAT + 1):
                raise ValueError("it was not made by `mlship runs export`, or by a later version")
            if missing := set(run_schema("").names) - set(table.column_names) - _SINCE_2:
                raise ValueError(f"it has no column {min(missing)}")
            rows = table.to_pylist()
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
        parent = row.get("parent") or ""
        return SourceRun(
            id=f"{lab_id}/{number}",
            name=row["name"],
            origin={
                "kind": "lab",
                "lab": lab_id,
                "run": number,
                "snapshot_id": row["snapshot_id"],
                **({"parent": parent} if parent else {}),
            },
            parent=parent,
            group=row.get("group") or "",
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
                yield SourceFile(
                    artifact["name"],
                    path,
                    artifact["content_type"],
                    artifact.get("kind", "file"),
                    artifact.get("step"),
                    artifact.get("caption", ""),
                )
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
                columns = [name for name in schema().names if name in self._metrics.schema_arrow.names]
                table = self._metrics.read_row_group(group, columns=columns)
                if "context" not in columns:
                    table = table.add_column(1, "context", pa.repeat(context_text({}), len(table)))
                table = table.cast(schema())
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
