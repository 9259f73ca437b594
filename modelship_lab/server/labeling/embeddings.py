"""Embeddings of a project's samples: made by a job, kept for the queue's diversity and for the map."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from modelship_lab.records.errors import Conflict
from modelship_lab.records.jobs import Encoder, Job
from modelship_lab.records.labeling import Project
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.jobs.jobs import Jobs, Work
from modelship_lab.server.labeling import job_files
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.labeling.queue import LabelQueue
from modelship_lab.server.storage.arrow_streams import write_stream
from modelship_lab.server.storage.blobs import Blobs
from modelship_lab.server.storage.database import Cursor, Database, Transaction

STORED_AT_ONCE = 20_000
"""Embeddings in one transaction, so that no label waits long for its own."""

READ_AT_ONCE = 50_000


class Embeddings:
    """Has the samples of projects embedded. A project has one set of embeddings, the newest.

    Args:
        folder: for the files that are on their way to somebody.
    """

    def __init__(self, database: Database, blobs: Blobs, queue: LabelQueue, jobs: Jobs, folder: Path) -> None:
        self._folder = folder
        self._database = database
        self._blobs = blobs
        self._queue = queue
        self._jobs = jobs

    async def begin(self, project: Project, encoder: Encoder, caller: Caller) -> Job:
        """Have all samples of a project embedded; what was there before is replaced at the end.

        Raises:
            Conflict: the project is not one of labeling, or the encoder is not for its samples.
        """
        require(caller, "label", project)
        content = job_files.content_of(project)
        if encoder == "minilm" and content != "s.text":
            raise Conflict("The encoder 'minilm' is for texts; use 'hashed'.")

        async def prepare(folder: Path) -> None:
            query = (
                f"SELECT s.id AS sample_id, {content} AS content, NULL::VARCHAR[] AS classes "
                "FROM samples s WHERE s.project_id = ? ORDER BY s.id"
            )
            await job_files.write_samples(self._database, folder / "samples.arrow", [(query, (project.id,))])
            job_files.write_order(folder, project, self._blobs, seed=project.id, encoder=encoder)

        async def store(folder: Path) -> dict[str, Any]:
            with job_files.opened_table(folder / "embeddings.arrow") as table:
                for start in range(0, table.num_rows, STORED_AT_ONCE):
                    part = table.slice(start, STORED_AT_ONCE)
                    await self._store(project, encoder, part, is_first=start == 0)
            return job_files.read_result(folder)

        work = Work("embeddings", {"encoder": encoder}, prepare, store)
        return await self._jobs.begin(work, project.id, project.owner_id, caller)

    async def write_table(self, project: Project, with_vectors: bool, caller: Caller) -> Path:
        """Write the samples that were embedded to a file as an Arrow IPC stream, in their order.

        Columns: `sample_id`, their place `x`, `y`, and their `vector`.

        Returns:
            A new file, which is the caller's to remove.
        """
        require(caller, "read", project)
        columns = "sample_id, x, y" + (", vector" if with_vectors else "")

        def work(cursor: Cursor) -> Path:
            with cursor.snapshot():
                parts = _parts(cursor, columns, project)
                first = next(parts)
                return write_stream(self._folder, first.schema, chain([first], parts))

        return await self._database.read(work, long=True)

    async def _store(self, project: Project, encoder: Encoder, rows: pa.Table, *, is_first: bool) -> None:
        def work(transaction: Transaction) -> None:
            if is_first:
                transaction.execute("DELETE FROM embeddings WHERE project_id = ?", project.id)
            # Samples may have gone meanwhile, with their project.
            transaction.rows_with(
                "INSERT INTO embeddings (sample_id, project_id, encoder, vector, x, y) "
                "SELECT e.sample_id, s.project_id, ?, e.vector, e.x, e.y FROM embedded e "
                "JOIN samples s ON s.id = e.sample_id WHERE s.project_id = ? ORDER BY e.sample_id",
                {"embedded": rows},
                encoder,
                project.id,
            )
            transaction.after_commit(lambda: self._queue.refresh(project.id))

        await self._database.write(work)


def _parts(cursor: Cursor, columns: str, project: Project) -> Iterator[pa.Table]:
    """Embeddings in the order of their samples, as many at once as memory should hold; one part at least."""
    after = 0
    while True:
        part = cursor.table(
            f"SELECT {columns} FROM embeddings WHERE project_id = ? AND sample_id > ? "
            f"ORDER BY sample_id LIMIT {READ_AT_ONCE:d}",
            project.id,
            after,
        )
        if part.num_rows or not after:
            yield part
        if part.num_rows < READ_AT_ONCE:
            return
        after = part["sample_id"][-1].as_py()
