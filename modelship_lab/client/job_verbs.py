"""The verbs of a lab that are about background jobs."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from modelship_lab.client.checked import checked
from modelship_lab.client.jobs import JobHandle
from modelship_lab.client.lab_part import LabPart
from modelship_lab.client.projects import quoted
from modelship_lab.client.runs import RunHandle, as_json
from modelship_lab.client.snapshots import SnapshotData
from modelship_lab.records.base import Page
from modelship_lab.records.jobs import (
    Job,
    JobKind,
    JobStatus,
    LogLevel,
    NewModelExport,
    NewTraining,
    TrainingStarted,
)

if TYPE_CHECKING:
    from modelship_lab.client.projects import ProjectHandle


class JobVerbs(LabPart):
    """What a `Lab` has for background jobs."""

    def jobs(
        self,
        project: "ProjectHandle | str | int | None" = None,
        *,
        kind: JobKind | None = None,
        status: JobStatus | None = None,
        limit: int | None = 100,
    ) -> list[Job]:
        """Background jobs, the newest first.

        Args:
            project: whose; default: of all projects that this account may see.
            kind: of all projects, those of this kind.
            status: of all projects, those in this state.
            limit: at most this many.
        """
        if project is None:
            return self._lab.pages(Page[Job], "jobs", {"kind": kind, "status": status}, limit)
        named = project if isinstance(project, str | int) else project.id
        found = self._lab.pages(Page[Job], f"projects/{quoted(named)}/jobs", limit=limit)
        return [job for job in found if kind in (None, job.kind) and status in (None, job.status)]

    def job(self, job_id: int) -> JobHandle:
        """A background job by its id.

        Raises:
            NotFound: there is none.
        """
        return JobHandle(self._lab, self._lab.connection.record(Job, "GET", f"jobs/{int(job_id)}"))

    def train_in_background(
        self,
        project: "ProjectHandle | str | int",
        recipe: str | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        snapshot: SnapshotData | int | None = None,
        name: str = "",
        tags: Iterable[str] = (),
        output: str | None = None,
        resume: RunHandle | int | str | None = None,
        log_level: LogLevel = "INFO",
    ) -> JobHandle:
        """Train on the lab server's machine, as a job that outlives this process, the browser and the server.

        Args:
            project: its name or id, or a handle.
            recipe: default: the one for the project's task.
            options: of the recipe; defaults for what is left out.
            snapshot: what to train on, or its id; default: a new one of the labels as they are now.
            name: of the run; default: the recipe's.
            tags: of the run.
            output: a folder of the server's workspace that gets the model and the checkpoints, too.
            resume: a run that has ended, or a folder of the workspace with a checkpoint, to go on from.
            log_level: what is written to the job's log at least.

        Raises:
            Conflict: nothing is labeled yet, or the run to go on with has not ended.
            PermissionDenied: a path lies outside of the workspace, or the account may not train.
        """
        new = checked(
            NewTraining,
            recipe=recipe,
            options={key: as_json(value) for key, value in (options or {}).items()},
            snapshot_id=snapshot.info.id if isinstance(snapshot, SnapshotData) else snapshot,
            name=name,
            tags=tuple(tags),
            output=output,
            resume=resume.id if isinstance(resume, RunHandle) else resume,
            log_level=log_level,
        )
        named = project if isinstance(project, str | int) else project.id
        path = f"projects/{quoted(named)}/trainings"
        return JobHandle(self._lab, self._lab.connection.record(TrainingStarted, "POST", path, json=new).job)

    def export_in_background(
        self,
        run: RunHandle | int,
        formats: Iterable[str] = ("onnx",),
        *,
        output: str | None = None,
        **options: Any,
    ) -> JobHandle:
        """Export a run's model on the lab server's machine, as a job.

        Args:
            run: or its id.
            formats: which.
            output: a folder of the server's workspace that gets the files, too.
            options: of the export.

        Raises:
            Conflict: the run has no snapshot.
        """
        new = checked(NewModelExport, formats=tuple(formats), output=output, options=options)
        run_id = run if isinstance(run, int) else run.id
        return JobHandle(
            self._lab, self._lab.connection.record(Job, "POST", f"runs/{run_id}/exports", json=new)
        )
