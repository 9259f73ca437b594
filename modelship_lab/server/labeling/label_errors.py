"""Labels of a project that may be wrong: found by a job, told by its result."""

from pathlib import Path
from typing import Any

from modelship_lab.records.errors import Conflict
from modelship_lab.records.jobs import Job
from modelship_lab.records.labeling import Project
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.jobs.jobs import Jobs, Work
from modelship_lab.server.labeling import job_files
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.storage.blobs import Blobs
from modelship_lab.server.storage.database import Database

MOST_LABELS = 50_000
"""Labels that are compared, the newest ones."""


class LabelErrors:
    """Has labels looked for that models contradict which have not seen them."""

    def __init__(self, database: Database, blobs: Blobs, jobs: Jobs) -> None:
        self._database = database
        self._blobs = blobs
        self._jobs = jobs

    async def begin(self, project: Project, caller: Caller) -> Job:
        """Begin to look.

        Raises:
            Conflict: it is not a project in which each sample has one class.
        """
        require(caller, "label", project)
        if project.kind != "label":
            raise Conflict(
                f"Label errors are looked for where each sample has one class; '{project.name}' has {project.kind}."
            )

        async def prepare(folder: Path) -> None:
            content = job_files.content_of(project)
            query = (
                f"SELECT s.id AS sample_id, {content} AS content, [st.label] AS classes "
                "FROM samples s JOIN sample_states st ON st.sample_id = s.id "
                f"WHERE s.project_id = ? AND st.status = 'labeled' ORDER BY st.label_id DESC LIMIT {MOST_LABELS:d}"
            )
            await job_files.write_samples(self._database, folder / "samples.arrow", [(query, (project.id,))])
            job_files.write_order(folder, project, self._blobs, seed=project.id)

        async def store(folder: Path) -> dict[str, Any]:
            return job_files.read_result(folder)

        return await self._jobs.begin(
            Work("label_errors", {}, prepare, store), project.id, project.owner_id, caller
        )
