"""Suggestions: what a model or rule proposes. They order the queue, and count only once they are accepted."""

import asyncio

import pyarrow as pa

from modelship_lab.records.errors import InvalidInput, NotFound
from modelship_lab.records.labeling import NewSuggestions, Project, SavedSuggestions
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling import suggestion_rows
from modelship_lab.server.labeling.acceptance import accept
from modelship_lab.server.labeling.labels import Labels
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.labeling.progress import ProgressCounts
from modelship_lab.server.labeling.queue import LabelQueue
from modelship_lab.server.labeling.thresholds import outgrown, require_threshold
from modelship_lab.server.storage.database import Database, Transaction, now


class Suggestions:
    """The suggestions of all projects, one for each sample at most."""

    def __init__(
        self, database: Database, events: EventLog, counts: ProgressCounts, queue: LabelQueue, labels: Labels
    ) -> None:
        self._database = database
        self._events = events
        self._counts = counts
        self._queue = queue
        self._labels = labels

    async def save(self, project: Project, new: NewSuggestions, caller: Caller) -> SavedSuggestions:
        """Save suggestions; those that the same samples had are replaced.

        Raises:
            InvalidInput: a value is not one of the project's kind, or names other classes.
            NotFound: a sample is not one of the project's.
            Conflict: the project is not one of labeling.
        """
        require(caller, "label", project)
        rows = await asyncio.to_thread(
            lambda: suggestion_rows.checked(project, suggestion_rows.of_records(new.suggestions))
        )
        return await self.save_rows(project, rows, new.source, caller)

    async def save_stream(
        self, project: Project, body: bytes, source: str, caller: Caller
    ) -> SavedSuggestions:
        """`save` from an Arrow IPC stream, see `suggestion_rows.read`.

        Raises:
            InvalidData: it is not such a stream.
        """
        require(caller, "label", project)
        if not source or len(source) > 200:
            raise InvalidInput("Name what suggests with `source`, in 1 to 200 characters.")
        rows = await asyncio.to_thread(lambda: suggestion_rows.checked(project, suggestion_rows.read(body)))
        return await self.save_rows(project, rows, source, caller)

    async def save_rows(
        self, project: Project, rows: pa.Table, source: str, caller: Caller
    ) -> SavedSuggestions:
        """`save` of rows that `suggestion_rows.checked` has seen."""
        if rows.num_rows == 0:
            return SavedSuggestions(saved=0)

        def work(transaction: Transaction) -> SavedSuggestions:
            self._counts.load(transaction, project.id)
            _require_fitting(transaction, project, rows)
            tables = {"suggested_rows": rows}
            transaction.rows_with(
                "DELETE FROM suggestions WHERE project_id = ? "
                "AND sample_id IN (SELECT sample_id FROM suggested_rows)",
                tables,
                project.id,
            )
            # In the order of the samples, so that block ranges find them.
            transaction.rows_with(
                "INSERT INTO suggestions (project_id, sample_id, label, content, classes, confidence, "
                "uncertainty, margin, entropy, source, created_at) "
                "SELECT ?, sample_id, label, content, classes, confidence, uncertainty, margin, entropy, ?, ? "
                "FROM suggested_rows ORDER BY sample_id",
                tables,
                project.id,
                source,
                now(),
            )
            self._events.record(
                transaction,
                "suggestions.saved",
                f"project:{project.id}",
                caller,
                project.owner_id,
                saved=rows.num_rows,
                source=source,
            )
            transaction.after_commit(lambda: self._queue.refresh(project.id))
            auto = accept(transaction, project, self._labels, caller, among=rows)
            return SavedSuggestions(saved=rows.num_rows, auto=auto)

        return await self._database.write(work)

    async def accept(self, project: Project, caller: Caller) -> SavedSuggestions:
        """Make labels of all stored suggestions that reach the project's thresholds.

        Raises:
            Conflict: the project has no threshold.
        """
        require(caller, "label", project)
        require_threshold(project)

        def work(transaction: Transaction) -> SavedSuggestions:
            self._counts.load(transaction, project.id)
            auto = accept(transaction, project, self._labels, caller)
            return SavedSuggestions(saved=0, auto=auto, outgrown=outgrown(transaction, project).num_rows)

        return await self._database.write(work)


def _require_fitting(transaction: Transaction, project: Project, rows: pa.Table) -> None:
    """Refuse suggestions for samples that there are not, and spans beyond the end of their text."""
    tables = {"suggested_rows": rows}
    # Finding those that there are goes by their few ids; finding those that there are not, by all samples.
    (known,) = transaction.rows_with(
        "SELECT count(*) AS count FROM samples s JOIN suggested_rows g ON g.sample_id = s.id WHERE s.project_id = ?",
        tables,
        project.id,
    )
    if known["count"] < rows.num_rows:
        unknown = transaction.rows_with(
            "SELECT sample_id FROM suggested_rows WHERE sample_id NOT IN "
            "(SELECT id FROM samples WHERE project_id = ?) LIMIT 1",
            tables,
            project.id,
        )
        raise NotFound(f"Project '{project.name}' has no sample {unknown[0]['sample_id']}.")
    if project.kind == "spans":
        beyond = transaction.rows_with(
            'SELECT g.sample_id, g."end", length(s.text) AS characters FROM suggested_rows g '
            'JOIN samples s ON s.id = g.sample_id WHERE g."end" > length(s.text) LIMIT 1',
            tables,
        )
        if beyond:
            raise InvalidInput(
                f"A span of sample {beyond[0]['sample_id']} ends at {beyond[0]['end']}, "
                f"but its text has {beyond[0]['characters']} characters."
            )
