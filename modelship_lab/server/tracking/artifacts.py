"""Files of a run: content-addressed, the newest of a name counts."""

import asyncio
from pathlib import Path

from modelship_lab.records.artifacts import Artifact
from modelship_lab.records.base import Page
from modelship_lab.records.errors import InvalidInput, NotFound
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.storage.blobs import Blobs
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now
from modelship_lab.server.tracking.runs import Runs


class Artifacts:
    """The artifacts of all runs."""

    def __init__(self, database: Database, events: EventLog, blobs: Blobs, runs: Runs) -> None:
        self._database = database
        self._events = events
        self._blobs = blobs
        self._runs = runs

    async def save(
        self, run_id: int, name: str, file: Path, size: int, content_type: str, caller: Caller
    ) -> Artifact:
        """Take a finished file as the artifact `name` of a run; one that has the name already is replaced.

        Raises:
            InvalidInput: the name is empty or too long.
            NotFound: there is no such run for the caller.
            PermissionDenied: they may only read it.
        """
        # First, so that nothing is kept that is then refused.
        await self._runs.get(run_id, caller, "train")
        if not name.strip() or len(name) > 200:
            raise InvalidInput("The name of an artifact has 1 to 200 characters.")
        digest = await asyncio.to_thread(self._blobs.adopt, file)

        def work(transaction: Transaction) -> Artifact:
            ownership = self._runs.require(transaction, run_id, caller, "train")
            transaction.execute("DELETE FROM artifacts WHERE run_id = ? AND name = ?", run_id, name)
            row = transaction.row(
                "INSERT INTO artifacts (run_id, name, size, digest, content_type, created_at, kind, step, caption) "
                "VALUES (?, ?, ?, ?, ?, ?, 'file', NULL, '') RETURNING *",
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
                ownership.owner_id,
                name=name,
                size=size,
            )
            assert row is not None
            return Artifact(**row)

        return await self._database.write(work)

    async def page(self, run_id: int, caller: Caller) -> Page[Artifact]:
        """All artifacts of a run, by name.

        Raises:
            NotFound: there is no such run for the caller.
        """
        await self._runs.get(run_id, caller)

        def work(cursor: Cursor) -> Page[Artifact]:
            found = cursor.rows("SELECT * FROM artifacts WHERE run_id = ? ORDER BY name", run_id)
            items = tuple(Artifact(**row) for row in found)
            return Page(items=items, total=len(items), limit=len(items), offset=0)

        return await self._database.read(work)

    async def find(self, run_id: int, name: str, caller: Caller) -> tuple[Artifact, Path]:
        """An artifact and its file.

        Raises:
            NotFound: there is no such run for the caller, or it has none of this name.
        """
        await self._runs.get(run_id, caller)

        def work(cursor: Cursor) -> Artifact:
            row = cursor.row("SELECT * FROM artifacts WHERE run_id = ? AND name = ?", run_id, name)
            if row is None:
                raise NotFound(f"Run {run_id} has no artifact '{name}'.")
            return Artifact(**row)

        artifact = await self._database.read(work)
        return artifact, self._blobs.path(artifact.digest)

    async def holds(self, digest: str, caller: Caller) -> bool:
        """Whether the file of this digest is that of a run that the caller may see."""
        condition, parameters = policy.visible(caller, "r.owner_id", "coalesce(p.is_public, false)")
        found = await self._database.read(
            lambda cursor: cursor.value(
                "SELECT 1 FROM artifacts a JOIN runs r ON r.id = a.run_id "
                f"LEFT JOIN projects p ON p.id = r.project_id WHERE a.digest = ? AND {condition} LIMIT 1",
                digest,
                *parameters,
            )
        )
        return found is not None
