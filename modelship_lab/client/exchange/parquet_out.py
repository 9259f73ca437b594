"""Runs out of a lab to a folder of Parquet files; `parquet_folder` says what is in it."""

import json
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelship_lab.client.exchange.parquet_folder import artifact_schema, param_schema, run_schema
from modelship_lab.client.exchange.transfer import OnMoved, Tally, parent_identity, points_of, schema
from modelship_lab.records.errors import Conflict, InvalidData, NotFound, StorageFailed
from modelship_lab.records.tracking import Run

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from modelship_lab.client.lab import Lab
    from modelship_lab.client.runs import RunHandle

_ROW_GROUP = 131_072
_COMPRESSION = "zstd"


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
        parents: list[str] = []
        artifacts: list[dict[str, Any]] = []
        metrics = schema().insert(0, pa.field("run_id", pa.int64()))
        with pq.ParquetWriter(self._folder / "metrics.parquet", metrics, compression=_COMPRESSION) as writer:
            for run in runs:
                try:
                    # Before anything is noted: a run that was deleted meanwhile leaves nothing.
                    points = points_of(run)
                    parent = parent_identity(self._lab, run.record)
                    files = self._files(run)
                except NotFound as error:
                    self._tally.problem(f"run {run.id}", error.message)
                    continue
                self._put(writer, points.add_column(0, "run_id", pa.repeat(pa.scalar(run.id), len(points))))
                artifacts += files
                records.append(run.record.model_copy(update={"bundle": self._bundle(run)}))
                parents.append(parent)
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
                "parent": parent,
                "tags": list(run.tags),
                "environment": json.dumps(run.environment),
                "summary": json.dumps(run.summary),
            }
            for run, parent in zip(records, parents, strict=True)
        ]
        self._save("runs", rows, run_schema(self._lab.info.lab_id))
        self._save("params", params, param_schema())
        self._save("artifacts", artifacts, artifact_schema())

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
                self._lab.download(f"blobs/{artifact.digest}", target)
            found.append(artifact.model_dump(include=set(artifact_schema().names)))
        return found

    def _bundle(self, run: "RunHandle") -> str | None:
        """The digest of the run's exported model, which is in the folder now; None if there is none that is sound."""
        digest = run.record.bundle
        if digest is None:
            return None
        target = self._folder / "bundles" / f"{digest}.tar"
        target.parent.mkdir(exist_ok=True)
        if not target.exists():
            try:
                run.download_bundle(target)
            except (InvalidData, NotFound) as error:
                self._tally.problem(f"run {run.id}, exported model", error.message)
                return None
        return digest
