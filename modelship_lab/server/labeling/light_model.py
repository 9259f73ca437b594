"""The light model of each project: it learns while people label, in rounds, and suggests."""

import asyncio
import logging
from collections import Counter
from pathlib import Path
from typing import Any

from modelship_lab.records.errors import Conflict, LabError
from modelship_lab.records.events import Event
from modelship_lab.records.jobs import UNDER_WAY, Job
from modelship_lab.records.labeling import Project
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import LAB, Caller
from modelship_lab.server.jobs.jobs import Jobs, Work
from modelship_lab.server.labeling import job_files, suggestion_rows
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.labeling.projects import Projects
from modelship_lab.server.labeling.suggestions import Suggestions
from modelship_lab.server.storage.blobs import Blobs
from modelship_lab.server.storage.database import Cursor, Database

log = logging.getLogger(__name__)

CANDIDATES = 20_000
"""Undecided samples for which a round suggests; of more, a random choice that is another one in each round."""

MOST_LABELS = 20_000
"""Labels from which is learned, the newest ones."""

STORED_AT_ONCE = 10_000
"""Suggestions in one transaction, so that no label waits long for its own."""

LEARNABLE = ("label", "labels")


class LightModel:
    """Has the light model learn again after every so many human labels, see `LabelingSettings.retrain_every`.

    A round is a job. There are never two of one project at once: labels that come during a round count for
    the next one.
    """

    def __init__(
        self,
        database: Database,
        events: EventLog,
        blobs: Blobs,
        projects: Projects,
        suggestions: Suggestions,
        jobs: Jobs,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._projects = projects
        self._suggestions = suggestions
        self._jobs = jobs
        self._new: Counter[int] = Counter()
        """Labels since each project's last round, or since the server's start; never fewer than there are."""
        self._busy: set[int] = set()
        self._rounds: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        events.listen(self._hear)

    def start(self) -> None:
        """Begin to count."""
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """Begin no round any more; those that run are jobs, and end as such."""
        self._loop = None
        for task in self._rounds:
            task.cancel()

    async def begin(self, project: Project, everything: bool, caller: Caller) -> Job:
        """Begin a round.

        Args:
            everything: suggest for all undecided samples.

        Raises:
            Conflict: one is under way, or what is labeled cannot be learned by this model.
        """
        require(caller, "label", project)
        if project.kind not in LEARNABLE:
            raise Conflict(
                f"The light model learns classes of whole samples; '{project.name}' has {project.kind}."
            )
        if project.id in self._busy:
            raise Conflict(
                f"A round of '{project.name}' is under way; it is one of the project's jobs.",
                [{"field": "kind", "reason": UNDER_WAY}],
            )
        self._busy.add(project.id)
        try:
            job = await self._begin(project, everything, caller)
        except BaseException:
            self._busy.discard(project.id)
            raise
        task = asyncio.create_task(self._settle(project.id, job.id))
        self._rounds.add(task)
        task.add_done_callback(self._rounds.discard)
        return job

    async def _begin(self, project: Project, everything: bool, caller: Caller) -> Job:
        number, newest = await self._database.read(lambda cursor: _next_round(cursor, project.id))
        self._new[project.id] = 0
        source = f"light:{number}"

        async def prepare(folder: Path) -> None:
            labels, _ = await job_files.write_samples(
                self._database, folder / "samples.arrow", _samples(project, number, everything)
            )
            if not labels:
                raise Conflict(f"Nothing in '{project.name}' is labeled yet: there is nothing to learn from.")
            undecided = await self._database.read(lambda cursor: _count_undecided(cursor, project.id))
            job_files.write_order(folder, project, self._blobs, seed=number, undecided=undecided)

        async def store(folder: Path) -> dict[str, Any]:
            auto = 0
            with job_files.opened_table(folder / "suggestions.arrow") as table:
                for start in range(0, table.num_rows, STORED_AT_ONCE):
                    # Its thresholds may be others than when the round began.
                    present = self._projects.require(project.id, LAB, "read", f"project {project.id}")
                    rows = await asyncio.to_thread(
                        suggestion_rows.checked, present, table.slice(start, STORED_AT_ONCE)
                    )
                    saved = await self._suggestions.save_rows(present, rows, source, caller)
                    auto += saved.auto
            return {**job_files.read_result(folder), "source": source, "auto": auto}

        params = {"source": source, "round": number, "newest_label": newest, "everything": everything}
        return await self._jobs.begin(
            Work("light_model", params, prepare, store), project.id, project.owner_id, caller
        )

    async def _settle(self, project_id: int, job_id: int) -> None:
        """Wait for a round's end; the labels of its time may make another one due."""
        await self._jobs.ended(job_id)
        self._busy.discard(project_id)
        await self._consider(project_id)

    def _hear(self, event: Event) -> None:
        if event.type == "labels.saved" and self._loop is not None and not self._loop.is_closed():
            project_id = int(event.topic.partition(":")[2])
            self._loop.call_soon_threadsafe(self._count, project_id, event.payload.get("saved", 0))

    def _count(self, project_id: int, saved: int) -> None:
        self._new[project_id] += saved
        if project_id not in self._busy:
            task = asyncio.create_task(self._consider(project_id))
            self._rounds.add(task)
            task.add_done_callback(self._rounds.discard)

    async def _consider(self, project_id: int) -> None:
        """Begin a round if it is due."""
        try:
            project = self._projects.require(project_id, LAB, "read", f"project {project_id}")
            every = project.settings.retrain_every
            if every is None or project.kind not in LEARNABLE or self._new[project_id] < every:
                return
            human = await self._database.read(lambda cursor: _human_since(cursor, project_id))
            # What was counted may have been automatic; what came before the server's start was not counted.
            self._new[project_id] = human
            if human >= every and project_id not in self._busy:
                await self.begin(project, False, LAB)
        except LabError as error:
            log.info("No round of the light model of project %d: %s", project_id, error.message)


def _samples(project: Project, number: int, everything: bool) -> list[tuple[str, tuple[Any, ...]]]:
    """Labeled samples, then those to be suggested for."""
    content = job_files.content_of(project)
    limit = "" if everything else f"ORDER BY hash(s.id, {number:d}) LIMIT {CANDIDATES:d}"
    labeled = (
        f"SELECT s.id AS sample_id, {content} AS content, coalesce(st.classes, [st.label]) AS classes "
        "FROM samples s JOIN sample_states st ON st.sample_id = s.id "
        f"WHERE s.project_id = ? AND st.status = 'labeled' ORDER BY st.label_id DESC LIMIT {MOST_LABELS:d}"
    )
    undecided = (
        f"SELECT s.id AS sample_id, {content} AS content, NULL::VARCHAR[] AS classes FROM samples s "
        "WHERE s.id IN (SELECT s.id FROM samples s WHERE s.project_id = ? "
        f"AND s.id NOT IN (SELECT sample_id FROM sample_states WHERE project_id = ?) {limit}) "
        # So what is stored together lies together.
        "ORDER BY s.id"
    )
    return [(labeled, (project.id,)), (undecided, (project.id, project.id))]


def _count_undecided(cursor: Cursor, project_id: int) -> int:
    count: int = cursor.value(
        "SELECT count(*) FROM samples WHERE project_id = ? "
        "AND id NOT IN (SELECT sample_id FROM sample_states WHERE project_id = ?)",
        project_id,
        project_id,
    )
    return count


def _next_round(cursor: Cursor, project_id: int) -> tuple[int, int]:
    """The number of the next round, and the newest label before it."""
    (found,) = cursor.tuples(
        "SELECT (SELECT count(*) FROM jobs WHERE project_id = ? AND kind = 'light_model') + 1, "
        "(SELECT coalesce(max(id), 0) FROM labels)",
        project_id,
    )
    return found[0], found[1]


def _human_since(cursor: Cursor, project_id: int) -> int:
    """Labels that people have saved since the last round began."""
    newest = cursor.value(
        "SELECT max((params->>'newest_label')::BIGINT) FROM jobs WHERE project_id = ? AND kind = 'light_model'",
        project_id,
    )
    count: int = cursor.value(
        "SELECT count(*) FROM labels WHERE project_id = ? AND id > ? AND source = 'human' AND action = 'label' "
        "AND undoes IS NULL",
        project_id,
        newest or 0,
    )
    return count
