"""What labeling's jobs read and leave in their folders."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from modelship_lab.records.labeling import Project
from modelship_lab.server.labeling.samples import CONTENT_COLUMN
from modelship_lab.server.storage.blobs import Blobs
from modelship_lab.server.storage.database import Cursor, Database

SAMPLES = pa.schema([("sample_id", pa.int64()), ("content", pa.string()), ("classes", pa.list_(pa.string()))])
"""Samples as a job's process reads them; `classes` are null for those that nobody has labeled."""


async def write_samples(
    database: Database, file: Path, queries: list[tuple[str, tuple[Any, ...]]]
) -> list[int]:
    """Write the samples that the queries select, in the columns of `SAMPLES`; returns how many each found."""

    def work(cursor: Cursor) -> list[int]:
        counts = []
        with (
            pa.OSFile(str(file), "wb") as sink,
            pa.ipc.new_file(sink, SAMPLES) as writer,
            cursor.snapshot(),
        ):
            for sql, parameters in queries:
                counts.append(0)
                for batch in cursor.batches(sql, *parameters):
                    writer.write_table(pa.Table.from_batches([batch]).cast(SAMPLES))
                    counts[-1] += batch.num_rows
        return counts

    return await database.read(work, long=True)


def write_order(folder: Path, project: Project, blobs: Blobs, **more: Any) -> None:
    """Tell a job's process what the samples are, where images lie, and whatever else it needs."""
    order = {
        "content": CONTENT_COLUMN[project.require_task()],
        "kind": project.kind,
        "classes": project.classes,
        "blobs": str(blobs.folder),
        **more,
    }
    (folder / "job.json").write_bytes(orjson.dumps(order))


def content_of(project: Project) -> str:
    """The content of the samples `s` as the text that is written."""
    column = CONTENT_COLUMN[project.require_task()]
    return "s.fields::VARCHAR" if column == "fields" else f"s.{column}"


def read_result(folder: Path) -> dict[str, Any]:
    """What a job's process says of what it did."""
    result: dict[str, Any] = orjson.loads((folder / "result.json").read_bytes())
    return result


@contextmanager
def opened_table(file: Path) -> Iterator[pa.Table]:
    """The table that a job's process has left; it stays on disk."""
    with pa.memory_map(str(file)) as source:
        yield pa.ipc.open_file(source).read_all()
