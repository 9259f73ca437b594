"""Files of a run: content-addressed, one for each name and step."""

import asyncio
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from modelship_lab.records.artifacts import MAX_ARTIFACT_NAME, Artifact, ArtifactKind, TableRows
from modelship_lab.records.base import Page
from modelship_lab.records.errors import InvalidInput, NotFound
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.storage.blobs import Blobs
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now
from modelship_lab.server.tracking.parquet_rows import parquet_rows, require_parquet
from modelship_lab.server.tracking.runs import Runs


@dataclass(frozen=True)
class Upload:
    """A finished file, and what is said of it."""

    file: Path
    size: int
    content_type: str
    kind: ArtifactKind = "file"
    step: int | None = None
    caption: str = ""


class Artifacts:
    """The artifacts of all runs."""

    def __init__(self, database: Database, events: EventLog, blobs: Blobs, runs: Runs) -> None:
        self._database = database
        self._events = events
        self._blobs = blobs
        self._runs = runs

    async def save(self, run_id: int, name: str, upload: Upload, caller: Caller) -> Artifact:
        """Take a file as the artifact `name` of a run; one of the same name and step is replaced.

        Raises:
            InvalidInput: the name is no path of folders and a file.
            InvalidData: a table that is no Parquet file.
            NotFound: there is no such run for the caller.
            PermissionDenied: they may only read it.
        """
        # First, so that nothing is kept that is then refused.
        await self._runs.get(run_id, caller, "train")
        _require_name(name)
        if upload.kind == "table":
            await asyncio.to_thread(require_parquet, upload.file)
        digest = await asyncio.to_thread(self._blobs.adopt, upload.file)

        def work(transaction: Transaction) -> Artifact:
            ownership = self._runs.require(transaction, run_id, caller, "train")
            transaction.execute(
                "DELETE FROM artifacts WHERE run_id = ? AND name = ? AND step IS NOT DISTINCT FROM ?",
                run_id,
                name,
                upload.step,
            )
            row = transaction.row(
                "INSERT INTO artifacts (run_id, name, size, digest, content_type, created_at, kind, step, caption) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
                run_id,
                name,
                upload.size,
                digest,
                upload.content_type or "application/octet-stream",
                now(),
                upload.kind,
                upload.step,
                upload.caption,
            )
            self._events.record(
                transaction,
                "artifact.saved",
                f"run:{run_id}",
                caller,
                ownership.owner_id,
                name=name,
                size=upload.size,
                kind=upload.kind,
                step=upload.step,
            )
            assert row is not None
            return Artifact(**row)

        return await self._database.write(work)

    async def page(
        self, run_id: int, caller: Caller, kind: ArtifactKind | None = None, name: str | None = None
    ) -> Page[Artifact]:
        """The artifacts of a run, by name and step.

        Args:
            name: only those of this name, one for each step.

        Raises:
            NotFound: there is no such run for the caller.
        """
        await self._runs.get(run_id, caller)

        def work(cursor: Cursor) -> Page[Artifact]:
            found = cursor.rows(
                "SELECT * FROM artifacts WHERE run_id = ? AND coalesce(kind = ?, true) AND coalesce(name = ?, true) "
                "ORDER BY name, step NULLS FIRST",
                run_id,
                kind,
                name,
            )
            items = tuple(Artifact(**row) for row in found)
            return Page(items=items, total=len(items), limit=len(items), offset=0)

        return await self._database.read(work)

    async def find(
        self, run_id: int, name: str, caller: Caller, step: int | None = None
    ) -> tuple[Artifact, Path]:
        """An artifact and its file.

        Args:
            step: default: the newest.

        Raises:
            NotFound: there is no such run for the caller, or it has none of this name and step.
        """
        await self._runs.get(run_id, caller)

        def work(cursor: Cursor) -> Artifact:
            row = cursor.row(
                "SELECT * FROM artifacts WHERE run_id = ? AND name = ? AND coalesce(step = ?, ?::BIGINT IS NULL) "
                "ORDER BY step DESC NULLS LAST LIMIT 1",
                run_id,
                name,
                step,
                step,
            )
            if row is None:
                raise _missing(run_id, name, step)
            return Artifact(**row)

        artifact = await self._database.read(work)
        return artifact, self._blobs.path(artifact.digest)

    async def rows(
        self, run_id: int, name: str, step: int | None, limit: int, offset: int, caller: Caller
    ) -> TableRows:
        """Some rows of a table.

        Raises:
            NotFound: there is no such run for the caller, or it has no artifact of this name and step.
            InvalidData: it is no Parquet file, or one that is too large to be looked into.
        """
        _, path = await self.find(run_id, name, caller, step)
        return await asyncio.to_thread(parquet_rows, path, limit, offset)

    async def delete(self, run_id: int, name: str, step: int | None, caller: Caller) -> None:
        """Delete an artifact; its file stays as long as others may have the same.

        Args:
            step: default: all of this name.

        Raises:
            NotFound: there is no such run for the caller, or it has none of this name and step.
            PermissionDenied: they may only read it.
        """

        def work(transaction: Transaction) -> None:
            ownership = self._runs.require(transaction, run_id, caller, "train")
            gone = transaction.column(
                "DELETE FROM artifacts WHERE run_id = ? AND name = ? AND coalesce(step = ?, ?::BIGINT IS NULL) "
                "RETURNING id",
                run_id,
                name,
                step,
                step,
            )
            if not gone:
                raise _missing(run_id, name, step)
            self._events.record(
                transaction,
                "artifact.deleted",
                f"run:{run_id}",
                caller,
                ownership.owner_id,
                name=name,
                step=step,
            )

        await self._database.write(work)

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


def _require_name(name: str) -> None:
    reason = ""
    if not name.strip() or len(name) > MAX_ARTIFACT_NAME:
        reason = f"it has 1 to {MAX_ARTIFACT_NAME} characters"
    elif any(part in ("", ".", "..") for part in name.split("/")):
        reason = "its folders and its file have names, none of them '.' or '..'"
    elif any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        reason = "it has no control characters"
    if reason:
        raise InvalidInput(
            f"{name[:100]!r} is no name of an artifact: {reason}.", [{"field": "name", "reason": reason}]
        )


def _missing(run_id: int, name: str, step: int | None) -> NotFound:
    at = "" if step is None else f" at step {step}"
    return NotFound(f"Run {run_id} has no artifact '{name[:200]}'{at}.")
