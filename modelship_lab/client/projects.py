"""A project: its files, labels, suggestions and snapshots."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack
from urllib.parse import quote

from modelship_lab.client import exports, imports
from modelship_lab.client.checked import checked
from modelship_lab.client.connection import ARROW
from modelship_lab.client.imports import ImportColumns, OnProgress
from modelship_lab.client.model_help import ModelHelp
from modelship_lab.client.project_queue import ProjectQueue, value_of
from modelship_lab.client.project_samples import ProjectSamples, filter_of
from modelship_lab.client.snapshots import SnapshotData
from modelship_lab.records.base import Page, Task
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.labeling import (
    Export,
    ExportFormat,
    Import,
    ImportFormat,
    LabelingSettings,
    NewExport,
    NewLabel,
    NewLabels,
    NewSnapshot,
    NewSuggestions,
    Progress,
    Project,
    ProjectChange,
    Quality,
    QueueOrder,
    SampleFilter,
    SampleStatus,
    SavedLabels,
    SavedSuggestions,
    Snapshot,
    Undo,
    Undone,
    Value,
)

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from modelship_lab.client.jobs import JobHandle
    from modelship_lab.client.lab import Lab
    from modelship_lab.client.runs import RunHandle

_MOST_LABELS = 10_000
"""Labels in one request."""


class ProjectHandle(ModelHelp, ProjectQueue, ProjectSamples):
    """One project of the lab."""

    def __init__(self, lab: "Lab", record: Project) -> None:
        self._lab = lab
        self._record = record

    def __repr__(self) -> str:
        record = self._record
        said = (record.name, record.task, ", ".join(record.classes), record.settings.unit)
        return f"Project {' · '.join(filter(None, said))}"

    @property
    def id(self) -> int:
        return self._record.id

    @property
    def name(self) -> str:
        return self._record.name

    @property
    def lab(self) -> "Lab":
        return self._lab

    @property
    def record(self) -> Project:
        """The project as it was when last read."""
        return self._record

    def change(
        self,
        *,
        name: str | None = None,
        description: str | None = None,
        is_public: bool | None = None,
        task: Task | None = None,
        classes: Iterable[str] | None = None,
        multilabel: bool | None = None,
        settings: LabelingSettings | Mapping[str, Any] | None = None,
        labelers: Iterable[str] | None = None,
    ) -> Project:
        """Change what is given.

        Args:
            is_public: whether every account of the lab may read the project.
            task: with its `classes` and whether it is `multilabel`, for a project that has none.
            settings: how it is labeled; those that are left out stay as they are. See `LabelingSettings`.
            labelers: names of the accounts that may see it and label in it besides its owner.
        """
        given = {
            "name": name,
            "description": description,
            "is_public": is_public,
            "task": task,
            "classes": None if classes is None else tuple(classes),
            "multilabel": multilabel,
            "settings": settings,
            "labelers": None if labelers is None else tuple(labelers),
        }
        change = checked(
            ProjectChange, **{field: value for field, value in given.items() if value is not None}
        )
        self._record = self._lab.connection.record(
            Project, "PATCH", f"projects/{self.id}", json=change, repeatable=True
        )
        return self._record

    def delete(self) -> None:
        """Delete the project with its samples, labels and snapshots."""
        self._lab.connection.request("DELETE", f"projects/{self.id}")

    # Samples

    def import_file(
        self,
        path: str | Path,
        *,
        format: ImportFormat | None = None,
        encoding: str = "utf-8",
        on_progress: OnProgress = imports.silent,
        **columns: Unpack[ImportColumns],
    ) -> Import:
        """Import a file or folder with its labels and predictions.

        Known are tables (CSV, TSV, JSON, JSONL, Parquet, Arrow), the formats of Label Studio, doccano, COCO, YOLO,
        CoNLL and Hugging Face's `datasets`, and folders of images with a subfolder for each class.

        Args:
            path: the file or folder.
            format: default: by the file's name, or by what lies in the folder.
            encoding: of a text file.
            on_progress: called while it goes on.
            columns: which columns of a table hold what; see `ImportColumns`.

        Returns:
            What was added, and which rows were not and why.

        Raises:
            InvalidData: the file cannot be read; nothing of it was imported.
        """
        path = Path(path).expanduser()
        options = imports.options(
            format or ("zip" if path.is_dir() else imports.format_of(path)), path.name, encoding, columns
        )
        carry = imports.import_folder if path.is_dir() else imports.import_file
        return carry(self._lab.connection, str(self.id), path, options, on_progress)

    def import_frame(
        self,
        frame: Any,
        *,
        file_name: str = "frame",
        on_progress: OnProgress = imports.silent,
        **columns: Unpack[ImportColumns],
    ) -> Import:
        """Import a polars, pandas or Arrow frame; see `import_file`.

        Args:
            file_name: what it is called in the list of imports.
        """
        options = imports.options("arrow", file_name, "utf-8", columns)
        return imports.import_frame(self._lab.connection, str(self.id), frame, options, on_progress)

    def import_images(self, folder: str | Path, *, on_progress: OnProgress = imports.silent) -> Import:
        """Import a folder of images; the names of subfolders are their labels."""
        return self.import_file(folder, format="image_folder", on_progress=on_progress)

    def export(
        self,
        path: str | Path,
        *,
        format: ExportFormat | None = None,
        status: Iterable[SampleStatus] | SampleStatus = ("labeled",),
        suggestions: bool = False,
        on_progress: OnProgress = imports.silent,
        **conditions: Any,
    ) -> Export:
        """Write the labels to a file or folder. A broken download goes on where it was.

        Args:
            path: what is made. Formats of several files come as a zip file if its name ends so, else as a folder.
            format: default: by the file's name.
            status: of the samples; by default those that people have labeled. What models and rules have labeled
                is `auto`.
            suggestions: with what is suggested for each sample.
            on_progress: called while it goes on.
            conditions: other fields of `records.labeling.SampleFilter`, e.g. `split="test"`.

        Returns:
            How many samples were written, and what the format had no place for.

        Raises:
            InvalidInput: the format has no place for labels of this kind; the message names those that have.
        """
        path = Path(path).expanduser()
        wanted = (status,) if isinstance(status, str) else tuple(status)
        new = checked(
            NewExport,
            format=format or exports.format_of(path),
            samples=checked(SampleFilter, status=wanted, **conditions),
            suggestions=suggestions,
        )
        return exports.export(self._lab.connection, str(self.id), path, new, on_progress)

    # Labels

    def label(self, order: QueueOrder = "uncertainty") -> Any:
        """The labeling widget, in a notebook."""
        return self._lab.verbs.label(self, order)

    def save_labels(
        self, labels: Mapping[int, Any] | Iterable[NewLabel | Mapping[str, Any] | tuple[int, Any]]
    ) -> SavedLabels:
        """Save labels, as the labeling widget does.

        Args:
            labels: sample id to class, classes or number, or pairs of them, or `NewLabel` records (or their fields)
                for skipping, flagging, durations and sources. A label without a key gets one.

        Returns:
            How many were saved, and the progress after it.

        Raises:
            InvalidInput: a class or sample that the project does not have; then none of them is saved.
        """
        pairs = labels.items() if isinstance(labels, Mapping) else labels
        new = [_new_label(label) for label in pairs]
        if not new:
            raise InvalidInput("There is no label to save.")
        answers = []
        for start in range(0, len(new), _MOST_LABELS):
            body = NewLabels(labels=tuple(new[start : start + _MOST_LABELS]))
            # The keys make it repeatable.
            answers.append(
                self._lab.connection.record(
                    SavedLabels, "POST", f"projects/{self.id}/labels", json=body, repeatable=True
                )
            )
        return SavedLabels(
            saved=sum(answer.saved for answer in answers),
            duplicates=sum(answer.duplicates for answer in answers),
            labels=tuple(label for answer in answers for label in answer.labels),
            progress=answers[-1].progress,
        )

    def labels(self) -> "pl.DataFrame":
        """All decisions, undone ones too, in the order in which they were saved."""
        return self._lab.frame(f"projects/{self.id}/labels", {})

    def undo(self, label_id: int | None = None, *, batch: str | None = None) -> Undone:
        """Undo the newest act (a decision, a bulk), or the decision or batch named."""
        undo = Undo(label_id=label_id, batch=batch, key=uuid.uuid4().hex)
        return self._lab.connection.record(
            Undone, "POST", f"projects/{self.id}/labels/undo", json=undo, repeatable=True
        )

    def progress(self) -> Progress:
        """How far the labeling is."""
        return self._lab.connection.record(Progress, "GET", f"projects/{self.id}/progress")

    def quality(self) -> Quality:
        """How good the human labels are: agreement between people, with known answers, and with themselves."""
        return self._lab.connection.record(Quality, "GET", f"projects/{self.id}/quality")

    # Suggestions

    def suggest_labels(self, suggestions: Any, source: str) -> SavedSuggestions:
        """Store suggestions of a model, rule or person.

        Args:
            suggestions: `records.labeling.NewSuggestion` (or its fields), or a frame with the columns
                `sample_id`, `label` (or `labels`, lists of classes, in a multilabel project; or `number`), `confidence` and,
                optionally, `uncertainty`, `margin` and `entropy`.
            source: who suggests, e.g. `run:12`.
        """
        path = f"projects/{self.id}/suggestions"
        if isinstance(suggestions, Sequence):
            body = checked(NewSuggestions, source=source, suggestions=tuple(suggestions))
            return self._lab.connection.record(SavedSuggestions, "PUT", path, json=body)
        import pyarrow as pa

        table = _with_content(imports.as_table(suggestions))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return self._lab.connection.record(
            SavedSuggestions,
            "PUT",
            path,
            params={"source": source},
            content=bytes(sink.getvalue()),
            headers={"Content-Type": ARROW},
        )

    # Snapshots and training

    def snapshot(
        self,
        description: str = "",
        *,
        include_auto: bool = False,
        splits: Mapping[str, float] | None = None,
        seed: int = 0,
        **conditions: Any,
    ) -> SnapshotData:
        """Freeze the labels with their samples as the next snapshot.

        Args:
            description: what is special about it.
            include_auto: also what models and rules labeled by themselves.
            splits: shares, e.g. `{"train": 0.8, "test": 0.2}`, for the samples that came without a split. What has
                the same group or content lies in one split, and stays there in later snapshots.
            seed: other seeds give other splits.
            conditions: fields of `records.labeling.SampleFilter`, e.g. `selection="may"`; default: all samples.

        Raises:
            Conflict: nothing of what is meant is labeled.
            NotFound: there is no selection of this name.
        """
        info = self._lab.connection.record(
            Snapshot,
            "POST",
            f"projects/{self.id}/snapshots",
            json=checked(
                NewSnapshot,
                description=description,
                samples=filter_of(conditions),
                include_auto=include_auto,
                splits=dict(splits or {}),
                seed=seed,
            ),
        )
        return SnapshotData(info, self._lab.connection, self._lab.snapshot_cache)

    def snapshots(self) -> list[Snapshot]:
        """All snapshots of the project."""
        return self._lab.whole(Page[Snapshot], f"projects/{self.id}/snapshots")

    def train(
        self,
        recipe: str | None = None,
        *,
        module: Any = None,
        datamodule: Any = None,
        background: bool = False,
        **options: Any,
    ) -> "RunHandle | JobHandle":
        """Train a model in a thread of this process, or in the background.

        Args:
            recipe: default: the one for the project's task.
            module: instead of a recipe, one's own LightningModule, or a function that returns one (and its data);
                see `learning.own_module.start`, which says what else there is: `snapshot`, `resume`, `name`, `tags`.
            datamodule: the data of the module.
            background: as a job on the lab server's machine, which outlives this process; see
                `Lab.train_in_background` for more to say, e.g. where the files go.
            options: of the recipe, or of `learning.own_module.OwnModuleOptions`.

        Raises:
            InvalidInput: a module together with a recipe or in the background, or options that do not fit.
        """
        if module is not None or datamodule is not None:
            if recipe is not None or background:
                raise InvalidInput(
                    "A module of your own takes the place of the recipe, and trains in this process."
                )
            own: RunHandle = self._lab.verbs.train_module(self, module, datamodule, options)
            return own
        if background:
            return self._lab.train_in_background(self, recipe, options)
        run: RunHandle = self._lab.verbs.train(self, recipe, options)
        return run

    def runs(self) -> "pl.DataFrame":
        """The project's runs with their main figures, the newest first."""
        return self._lab.runs(project=self.name)


def _new_label(label: Any) -> NewLabel:
    if isinstance(label, NewLabel):
        return label
    fields = dict(label) if isinstance(label, Mapping) else {"sample_id": label[0], **value_of(label[1])}
    return checked(NewLabel, **{"key": uuid.uuid4().hex, **fields})


def _with_content(table: "pa.Table") -> "pa.Table":
    """A table of suggestions whose sets of classes or numbers are JSON, as they are sent."""
    kind = next((name for name in ("labels", "number") if name in table.column_names), None)
    if kind is None:
        return table
    import pyarrow as pa

    said = table[kind].to_pylist()
    content = [
        checked(Value, **{kind: one if kind == "number" else tuple(one or ())}).content for one in said
    ]
    return table.drop_columns(kind).append_column("content", pa.array(content, pa.string()))


def quoted(name: str | int) -> str:
    """A name or id as one part of a path."""
    return quote(str(name), safe="")
