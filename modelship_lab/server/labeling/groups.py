"""Which samples belong together, so that they never lie in two splits."""

import pyarrow as pa

from modelship_lab.records.errors import InvalidInput, NotFound
from modelship_lab.records.labeling import NewGroups, Project, SampleCount
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.storage.database import Database, Transaction


class Groups:
    """The groups of the samples of all projects."""

    def __init__(self, database: Database, events: EventLog) -> None:
        self._database = database
        self._events = events

    async def save(self, project: Project, new: NewGroups, caller: Caller) -> SampleCount:
        """Put samples into groups; one that was in another is in the new one from now on. Returns how many.

        Raises:
            InvalidInput: a sample is named twice.
            NotFound: a sample is not one of the project's.
        """
        require(caller, "label", project)
        ids = [sample_id for group in new.groups for sample_id in group.sample_ids]
        if len(set(ids)) < len(ids):
            raise InvalidInput("A sample belongs to one group: one is named twice.")
        names = [group.name for group in new.groups for _ in group.sample_ids]
        rows = pa.table({"id": pa.array(ids, pa.int64()), "name": pa.array(names, pa.string())})

        def work(transaction: Transaction) -> SampleCount:
            with transaction.registered({"grouped_samples": rows}):
                unknown = transaction.value(
                    "SELECT id FROM grouped_samples WHERE id NOT IN (SELECT id FROM samples WHERE project_id = ?) "
                    "LIMIT 1",
                    project.id,
                )
                if unknown is not None:
                    raise NotFound(f"Project '{project.name}' has no sample {unknown}.")
                transaction.execute(
                    "UPDATE samples SET group_name = w.name FROM grouped_samples w "
                    "WHERE samples.id = w.id AND samples.project_id = ?",
                    project.id,
                )
            self._events.record(
                transaction,
                "samples.grouped",
                f"project:{project.id}",
                caller,
                project.owner_id,
                samples=len(ids),
            )
            return SampleCount(count=len(ids))

        return await self._database.write(work)
