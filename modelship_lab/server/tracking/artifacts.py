"""Files of a run: content-addressed, the newest of a name counts."""

import asyncio
from pathlib import Path

from modelship_lab.records.base import Page
from modelship_lab.records.errors import InvalidInput, NotFound
from modelship_lab.records.tracking import Artifact
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.storage.blobs import Blobs
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now


class Artifacts:
    """The artifacts of all runs."""

    def __init__(self, database: Database, events: EventLog, blobs: Blobs) -> None:
        self._database = database
        self._events = events
        self._blobs = blobs

    async def save(
        self, run_id: int, name: str, file: Path, size: int, content_type: str, caller: Caller
    ) -> Artifact:
        """Take a finished file as the artifact `name` of a run; one that has the name already is replaced.

        Raises:
            InvalidInput: the name is empty or too long.
            NotFound: there is no such run.
        """
        if not name.strip() or len(name) > 200:
            raise InvalidInput("The name of an artifact has 1 to 200 characters.")
        digest = await asyncio.to_thread(self._blobs.adopt, file)

        def work(transaction: Transaction) -> Artifact:
            _require_run(transaction, run_id)
            transaction.execute("DELETE FROM artifacts WHERE run_id = ? AND name = ?", run_id, name)
            row = transaction.row(
                "INSERT INTO artifacts (run_id, name, size, digest, content_type, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?) RETURNING *",
                run_id,
                name,
                size,
                digest,
                content_type or "application/octet-stream",
                now(),
            )
            self._events.record(
                transaction,
                "artifact.saved",
                f"run:{run_id}",
                caller,
                caller.account_id,
                name=name,
                size=size,
            )
            assert row is not None
            return Artifact(**row)

        return await self._database.write(work)

    async def page(self, run_id: int) -> Page[Artifact]:
        """All artifacts of a run, by name."""

        def work(cursor: Cursor) -> Page[Artifact]:
            _require_run(cursor, run_id)
            found = cursor.rows("SELECT * FROM artifacts WHERE run_id = ? ORDER BY name", run_id)
            items = tuple(Artifact(**row) for row in found)
            return Page(items=items, total=len(items), limit=len(items), offset=0)

        return await self._database.read(work)

    async def find(self, run_id: int, name: str) -> tuple[Artifact, Path]:
        """An artifact and its file.

        Raises:
            NotFound: the run has none of this name.
        """

        def work(cursor: Cursor) -> Artifact:
            row = cursor.row("SELECT * FROM artifacts WHERE run_id = ? AND name = ?", run_id, name)
            if row is None:
                raise NotFound(f"Run {run_id} has no artifact '{name}'.")
            return Artifact(**row)

        artifact = await self._database.read(work)
        return artifact, self._blobs.path(artifact.digest)


def _require_run(cursor: Cursor, run_id: int) -> None:
    if cursor.value("SELECT 1 FROM runs WHERE id = ?", run_id) is None:
        raise NotFound(f"There is no run {run_id}.")
