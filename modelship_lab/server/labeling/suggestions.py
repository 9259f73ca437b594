"""Suggestions: what a model or rule proposes. They order the queue and are never counted as labels."""

import asyncio

import pyarrow as pa
import pyarrow.compute as pc

from modelship_lab.records.errors import InvalidData, InvalidInput, NotFound
from modelship_lab.records.labeling import NewSuggestions, Project, SavedSuggestions
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.labels import listed
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.labeling.queue import LabelQueue
from modelship_lab.server.storage.arrow_streams import read_stream
from modelship_lab.server.storage.database import Database, Transaction, now

SCHEMA = pa.schema(
    [
        ("sample_id", pa.int64()),
        ("label", pa.string()),
        ("confidence", pa.float64()),
        ("uncertainty", pa.float64()),
    ]
)


class Suggestions:
    """The suggestions of all projects, one for each sample at most."""

    def __init__(self, database: Database, events: EventLog, queue: LabelQueue) -> None:
        self._database = database
        self._events = events
        self._queue = queue

    async def save(self, project: Project, new: NewSuggestions, caller: Caller) -> SavedSuggestions:
        """Save suggestions; those that the same samples had are replaced.

        Raises:
            InvalidInput: a label is not a class of the project.
            NotFound: a sample is not one of the project's.
            Conflict: the project is not one of labeling.
        """
        require(caller, "label", project)
        table = await asyncio.to_thread(
            lambda: pa.Table.from_pylist([one.model_dump() for one in new.suggestions], SCHEMA)
        )
        return await self._save(project, table, new.source, caller)

    async def save_stream(
        self, project: Project, body: bytes, source: str, caller: Caller
    ) -> SavedSuggestions:
        """`save` from an Arrow IPC stream with the columns of `SCHEMA`; `uncertainty` may be left out.

        Raises:
            InvalidData: it is not such a stream.
        """
        require(caller, "label", project)
        if not source or len(source) > 200:
            raise InvalidInput("Name what suggests with `source`, in 1 to 200 characters.")
        return await self._save(project, await asyncio.to_thread(_read, body), source, caller)

    async def _save(self, project: Project, table: pa.Table, source: str, caller: Caller) -> SavedSuggestions:
        project.require_task()
        rows = await asyncio.to_thread(_complete, project, table)
        if rows.num_rows == 0:
            return SavedSuggestions(saved=0)

        def work(transaction: Transaction) -> int:
            unknown = transaction.rows_with(
                "SELECT sample_id FROM suggested_rows WHERE sample_id NOT IN "
                "(SELECT id FROM samples WHERE project_id = ?) LIMIT 1",
                {"suggested_rows": rows},
                project.id,
            )
            if unknown:
                raise NotFound(f"Project '{project.name}' has no sample {unknown[0]['sample_id']}.")
            transaction.rows_with(
                "DELETE FROM suggestions WHERE project_id = ? "
                "AND sample_id IN (SELECT sample_id FROM suggested_rows)",
                {"suggested_rows": rows},
                project.id,
            )
            # In the order of the samples, so that block ranges find them.
            transaction.rows_with(
                "INSERT INTO suggestions (project_id, sample_id, label, confidence, uncertainty, source, created_at) "
                "SELECT ?, sample_id, label, confidence, uncertainty, ?, ? "
                "FROM suggested_rows ORDER BY sample_id",
                {"suggested_rows": rows},
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
            return int(rows.num_rows)

        return SavedSuggestions(saved=await self._database.write(work))


def _read(body: bytes) -> pa.Table:
    try:
        table = read_stream(body, SCHEMA.names, optional={"uncertainty"})
        if "uncertainty" not in table.column_names:
            table = table.append_column("uncertainty", pa.nulls(table.num_rows, pa.float64()))
        return table.select(SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowException, KeyError, ValueError, OSError):
        raise InvalidData(
            "An Arrow IPC stream with the columns sample_id int64, label string, confidence float64 "
            "and, if you like, uncertainty float64 is expected."
        ) from None


def _complete(project: Project, table: pa.Table) -> pa.Table:
    """Checked suggestions, the last of each sample, with an uncertainty."""
    if any(table[name].null_count for name in ("sample_id", "label", "confidence")):
        raise InvalidInput("A suggestion has a sample_id, a label and a confidence: none may be null.")
    foreign = table.filter(pc.invert(pc.is_in(table["label"], pa.array(project.classes, pa.string()))))
    if foreign.num_rows:
        raise InvalidInput(
            f"'{foreign['label'][0].as_py()[:200]}' is not a class of this project. "
            f"The classes are: {listed(project.classes)}."
        )
    uncertainty = pc.coalesce(table["uncertainty"], pc.subtract(1.0, table["confidence"]))
    for name, values in (("confidence", table["confidence"]), ("uncertainty", uncertainty)):
        # Not a number is in no range.
        inside = pc.and_(pc.greater_equal(values, 0.0), pc.less_equal(values, 1.0))
        if table.num_rows and not pc.all(inside).as_py():
            raise InvalidInput(f"{name} lies between 0 and 1.")
    table = table.set_column(SCHEMA.get_field_index("uncertainty"), "uncertainty", uncertainty)
    positions = pa.array(range(table.num_rows), pa.int64())
    last = table.append_column("position", positions).group_by("sample_id").aggregate([("position", "max")])
    return table.take(last["position_max"])
