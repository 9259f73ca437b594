"""What is done with models in the background: trainings and exports, each a job with a run."""

import asyncio
import json
from typing import Any

from modelship_lab.records.errors import Conflict, InvalidInput, InvalidOptions, LabError, NotFound
from modelship_lab.records.jobs import Job, NewModelExport, NewTraining, TrainingStarted
from modelship_lab.records.labeling import NewSnapshot, Project
from modelship_lab.records.recipes import recipe_named, recipe_of_task
from modelship_lab.records.tracking import ENDED, NewRun, Run, RunChange
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import LAB, Caller
from modelship_lab.server.jobs.detached import Outcome
from modelship_lab.server.jobs.jobs import Jobs
from modelship_lab.server.labeling.snapshots import Snapshots
from modelship_lab.server.storage.workspace import Workspace
from modelship_lab.server.tracking.mlflow import Mlflow
from modelship_lab.server.tracking.runs import Runs

ABOUT = "run.json"
"""What a training writes beside its model: which run it is."""


class Trainings:
    """Begins trainings in the background, and sees that their runs end with them.

    Args:
        ray_address: of the Ray cluster that trains; empty: the jobs' own processes do.
    """

    def __init__(
        self,
        jobs: Jobs,
        runs: Runs,
        snapshots: Snapshots,
        workspace: Workspace,
        mlflow: Mlflow,
        ray_address: str,
    ) -> None:
        self._jobs = jobs
        self._runs = runs
        self._snapshots = snapshots
        self._ray_address = ray_address
        self._workspace = workspace
        self._mlflow = mlflow
        jobs.handle("training", self)

    async def begin(self, project: Project, new: NewTraining, caller: Caller) -> TrainingStarted:
        """Begin a training: it waits for its turn.

        Raises:
            NotFound: no such snapshot, run or checkpoint for the caller.
            InvalidInput: the project has no task, there is no such recipe or option for it, or the snapshot or run
                is another project's.
            Conflict: the run to go on with has not ended.
            PermissionDenied: the project is somebody else's, or a path lies outside of the workspace.
        """
        policy.require(caller, "train", project, f"project '{project.name}'")
        _check_recipe(project, new)
        if new.output is not None:
            self._workspace.folder(new.output)
        self._located(new.options)
        earlier = await self._resumed(project, new, caller)
        snapshot_id = new.snapshot_id if earlier is None else earlier.snapshot_id
        if snapshot_id is None:
            snapshot_id = (await self._snapshots.create(project, NewSnapshot(), caller)).id
        elif (await self._snapshots.get(snapshot_id, caller)).project_id != project.id:
            raise InvalidInput(f"Snapshot {snapshot_id} belongs to another project than {project.name}.")
        run = earlier or await self._runs.create(
            NewRun(
                name=new.name or new.recipe or "training",
                project=project.id,
                recipe=new.recipe or "",
                params=new.options,
                tags=new.tags,
                snapshot_id=snapshot_id,
            ),
            caller,
        )
        if earlier is None:
            run = await self._mlflow.begin_run(run, self._runs)
        params = {**new.model_dump(exclude={"name", "tags"}), "snapshot_id": snapshot_id}
        job = await self._jobs.begin_outliving(
            "training", params, project.id, project.owner_id, run.id, caller
        )
        return TrainingStarted(job=job, run=run)

    async def _resumed(self, project: Project, new: NewTraining, caller: Caller) -> Run | None:
        """The run that is gone on with, if that is what is wanted."""
        if isinstance(new.resume, str):
            if not self._workspace.folder(new.resume).is_dir():
                raise NotFound(f"There is no folder '{new.resume}' with a checkpoint in the lab's workspace.")
            return None
        if new.resume is None:
            return None
        if new.recipe or new.options or new.snapshot_id is not None:
            raise InvalidInput(
                "A run goes on as it began: with 'resume', leave 'recipe', 'options' and 'snapshot_id' out."
            )
        run = await self._runs.get(new.resume, caller, "train")
        if run.project_id != project.id:
            raise InvalidInput(f"Run {run.id} belongs to another project than {project.name}.")
        if run.status not in ENDED:
            raise Conflict(f"Run {run.id} is {run.status}: stop it before it is gone on with.")
        return run

    def _located(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options, with an encoder that is a folder of the workspace as the path of it.

        Raises:
            PermissionDenied: it is a path that leads out of the workspace.
            InvalidOptions: there is no encoder in the folder.
        """
        encoder = options.get("encoder")
        if not isinstance(encoder, str):
            return options
        folder = self._workspace.resolve(encoder)
        is_path = folder.is_dir() or encoder.startswith(("/", ".", "~"))
        if not is_path:
            return options
        if not (folder / "config.json").is_file():
            reason = f"there is no encoder in the folder '{encoder:.200}' of the workspace"
            raise InvalidOptions(
                f"T{reason[1:]}: it needs config.json, a tokenizer and model.safetensors, as `save_pretrained` of the "
                "library transformers writes them.",
                [{"field": "encoder", "reason": reason}],
            )
        return {**options, "encoder": str(folder)}

    def order(self, job: Job) -> dict[str, Any]:
        params = job.params
        return {
            **params,
            "run_id": job.run_id,
            "options": self._located(params["options"]),
            "ray_address": self._ray_address,
            "output": _path(self._workspace, params["output"]),
            "resume": _path(self._workspace, params["resume"]),
        }

    async def ended(self, job: Job, outcome: Outcome) -> None:
        assert job.run_id is not None
        try:
            run = await self._runs.get(job.run_id, LAB)
        except NotFound:
            return
        failure = outcome.failure
        if run.status in ENDED:
            if outcome.died and failure is not None and not run.error:
                # That its process died was seen already, but not why.
                await self._runs.change(run.id, RunChange(error=failure.message), LAB)
        elif outcome.died and failure is not None:
            await self._runs.change(run.id, RunChange(status="interrupted", error=failure.message), LAB)
        elif failure is not None:
            await self._runs.change(run.id, RunChange(status="failed", error=failure.message), LAB)
        else:
            await self._runs.change(run.id, RunChange(status="stopped"), LAB)


def _check_recipe(project: Project, new: NewTraining) -> None:
    """Refuse here what would fail in the job; what a checkpoint in a folder was begun with, the job alone can see."""
    task = project.require_task()
    if new.recipe is not None:
        recipe_named(new.recipe, task).checked(new.options)
    elif new.resume is None:
        recipe_of_task(task).checked(new.options)


class ModelExports:
    """Begins exports of models in the background."""

    def __init__(self, jobs: Jobs, runs: Runs, workspace: Workspace) -> None:
        self._jobs = jobs
        self._runs = runs
        self._workspace = workspace
        jobs.handle("export", self)

    async def begin(self, run_id: int, new: NewModelExport, caller: Caller) -> Job:
        """Begin an export of a run's model.

        Raises:
            NotFound: there is no such run for the caller.
            PermissionDenied: they may only read it, or the folder lies outside of the workspace.
            Conflict: it is in no project, or names no snapshot.
        """
        run = await self._runs.get(run_id, caller, "export")
        if new.output is not None:
            self._workspace.folder(new.output)
        if run.project_id is None or run.snapshot_id is None:
            raise Conflict(
                f"Run {run_id} names no snapshot, so there are no held-out rows to check its model on."
            )
        params = {**new.model_dump(), "snapshot_id": run.snapshot_id}
        return await self._jobs.begin_outliving(
            "export", params, run.project_id, run.owner_id, run_id, caller
        )

    async def run_in(self, path: str, caller: Caller) -> Run:
        """The run whose model a training has written to a folder of the workspace.

        Raises:
            NotFound: there is no such folder, or no model of this lab in it.
        """
        folder = self._workspace.resolve(path)
        for place in (folder / ABOUT, folder / "model" / ABOUT):
            # A link in there could lead out of the workspace.
            file = self._workspace.resolve(str(place))
            try:
                run_id = json.loads(await asyncio.to_thread(file.read_text, "utf-8"))["run_id"]
                return await self._runs.get(int(run_id), caller)
            except FileNotFoundError:
                continue
            except (OSError, ValueError, KeyError, TypeError):
                break
        raise NotFound(
            f"There is no trained model in '{path:.200}': name the folder 'model' that a training has written."
        )

    def order(self, job: Job) -> dict[str, Any]:
        return {**job.params, "run_id": job.run_id, "output": _path(self._workspace, job.params["output"])}

    async def ended(self, job: Job, outcome: Outcome) -> None:
        """Nothing: the run has ended long ago."""


def _path(workspace: Workspace, path: Any) -> Any:
    """A path of the workspace as the process on this machine takes it; what is none stays as it is."""
    try:
        return str(workspace.resolve(path)) if isinstance(path, str) else path
    except LabError:
        # A link has been changed since: the process says that there is nothing.
        return path
