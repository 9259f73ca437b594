"""A file of labeled texts becomes a project, and a training of it."""

import asyncio
from pathlib import Path

from modelship_lab.records.data_check import LABEL_COLUMN, TEXT_COLUMN, DataCheck
from modelship_lab.records.errors import Conflict, InvalidData, InvalidInput, NotFound
from modelship_lab.records.experiments import project_names, selection_of, takes
from modelship_lab.records.jobs import NewTraining, TrainingStarted
from modelship_lab.records.labeling import (
    ImportOptions,
    NewProject,
    NewSnapshot,
    Project,
    SampleFilter,
    Snapshot,
)
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.jobs.data_files import DataFiles
from modelship_lab.server.labeling.imports import Imports
from modelship_lab.server.labeling.projects import Projects
from modelship_lab.server.labeling.snapshots import Snapshots
from modelship_lab.server.tracking.trainings import Trainings

IMPORT_PATIENCE_S = 600.0


class Experiments:
    """Begins trainings on files of the workspace."""

    def __init__(
        self,
        data_files: DataFiles,
        projects: Projects,
        imports: Imports,
        snapshots: Snapshots,
        trainings: Trainings,
    ) -> None:
        self._lock = asyncio.Lock()
        self._snapshots = snapshots
        self._data_files = data_files
        self._projects = projects
        self._imports = imports
        self._trainings = trainings

    async def train(
        self,
        path: str,
        experiment: str,
        new: NewTraining,
        caller: Caller,
        text_column: str = TEXT_COLUMN,
        label_column: str = LABEL_COLUMN,
    ) -> tuple[TrainingStarted, DataCheck]:
        """Import a file into the project of the experiment's name, which is made if need be, and begin a training on
        the rows of this file.

        Raises:
            NotFound, PermissionDenied: there is no such file in the workspace.
            InvalidData: the file cannot be read.
            InvalidInput: nothing can be learned from it; says why, for each problem.
            Conflict: the experiment's projects are others.
        """
        importing = caller.training_on_file()
        async with self._data_files.checked(path, caller, None, text_column, label_column) as (check, rows):
            require_valid(check)
            # One after the other: between import and snapshot no other file may say otherwise of the same texts.
            async with self._lock:
                project = await self._project(experiment, check, importing)
                snapshot = await self._imported(project, rows, check, importing)
        new = new.model_copy(update={"snapshot_id": snapshot.id})
        return await self._trainings.begin(project, new, caller), check

    async def _project(self, name: str, check: DataCheck, caller: Caller) -> Project:
        """The project of an experiment; data of other classes have one of their own, which is called by them, too."""
        for called in project_names(name, check):
            try:
                project = self._projects.get(called, caller, "train")
            except NotFound:
                new = NewProject(
                    name=called, task="text_classification", classes=tuple(sorted(check.classes))
                )
                return await self._projects.create(new, caller)
            if takes(project, check):
                return project
        raise Conflict(
            f"The project '{name}' is not one of the classes {', '.join(sorted(check.classes))[:200]}: name another "
            "experiment."
        )

    async def _imported(self, project: Project, rows: Path, check: DataCheck, caller: Caller) -> Snapshot:
        """A snapshot of the rows of a file, and of no others that the project has."""
        selection = selection_of(check.path)
        options = ImportOptions(
            format="jsonl",
            text="text",
            label="label",
            filename=check.path.rpartition("/")[2],
            # What the file says is what is learned, whatever an earlier one said of the same texts.
            existing="replace",
            selection=selection,
        )
        size = (await asyncio.to_thread(rows.stat)).st_size
        begun = await self._imports.begin(project, options, rows, size, caller)
        done = await self._imports.get(begun.id, caller, IMPORT_PATIENCE_S)
        if done.status != "finished":
            raise InvalidData(f"{check.path} could not be imported: {done.error or 'it took too long'}.")
        new = NewSnapshot(description=check.path, samples=SampleFilter(selection=selection))
        return await self._snapshots.create(project, new, caller)


def require_valid(check: DataCheck) -> None:
    """Raise InvalidInput with every reason for which nothing can be learned from a file."""
    wrong = [problem for problem in check.problems if problem.is_error]
    if wrong:
        details = [{"field": _field(check, problem.column), "reason": problem.message} for problem in wrong]
        raise InvalidInput(" ".join(problem.message for problem in wrong), details)


def _field(check: DataCheck, column: str | None) -> str:
    """Which setting a problem is about."""
    if column is None:
        return "data_path"
    return "text_column" if column == check.text_column else "label_column"
