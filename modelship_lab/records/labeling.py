"""Projects, samples, labels, suggestions, imports and snapshots."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from modelship_lab.records.base import Id, Record, Task, Title, UtcTime
from modelship_lab.records.errors import Conflict

ClassName = Annotated[str, Field(min_length=1, max_length=200)]


def _distinct(classes: tuple[str, ...]) -> tuple[str, ...]:
    stripped = tuple(name.strip() for name in classes)
    if len(set(stripped)) != len(stripped):
        raise ValueError("class names must differ from each other")
    if not all(stripped):
        raise ValueError("a class name is empty")
    if len(stripped) == 1:
        raise ValueError("at least two classes are needed")
    return stripped


Classes = Annotated[tuple[ClassName, ...], Field(max_length=1000), AfterValidator(_distinct)]


class _LabelingTask(Record):
    task: Task | None = None
    """What is labeled; without one, the project only holds runs and whatever else is filed under its name."""
    classes: Classes = ()

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.task is None) != (not self.classes):
            raise ValueError("task and classes belong together: give both, or neither")
        return self


class NewProject(_LabelingTask):
    """What is needed to create a project."""

    name: Title
    description: str = Field(default="", max_length=10_000)
    is_public: bool = False


class ProjectChange(_LabelingTask):
    """Fields of a project that can be changed; what is left out stays as it is.

    The task and its classes can be given once, to a project that has none.
    """

    name: Title | None = None
    description: str | None = Field(default=None, max_length=10_000)
    is_public: bool | None = None


class Project(Record):
    """A set of samples of one task with the classes they are labeled with; and what runs are filed under.

    A project need not be one of labeling: then it has neither a task nor classes.
    """

    id: int
    name: str
    task: Task | None
    classes: tuple[str, ...]
    description: str
    owner_id: int
    is_public: bool
    created_at: UtcTime
    updated_at: UtcTime

    def require_task(self) -> Task:
        """The project's task, for what is done with samples.

        Raises:
            Conflict: it has none; says what to do.
        """
        if self.task is None:
            raise Conflict(
                f"Project '{self.name}' is not one of labeling: give it a task and classes first "
                "(change the project), or use another project."
            )
        return self.task


ImportFormat = Literal["csv", "tsv", "json", "jsonl", "parquet", "arrow"]
ImportStatus = Literal["running", "finished", "failed"]


class ImportOptions(Record):
    """How the columns of an import are read.

    Text projects need `text`, image projects `image` (a column of encoded image bytes), tabular
    projects use every column except `label`, or only `features` when given.
    """

    format: ImportFormat
    text: str | None = None
    image: str | None = None
    features: tuple[str, ...] = ()
    label: str | None = None
    encoding: str = "utf-8"
    filename: str = ""


class RowProblem(Record):
    """One row that was not imported. Rows count from 1, the header not counted."""

    row: int
    reason: str


class Import(Record):
    """One import: its progress while it runs and its result afterwards."""

    id: int
    project_id: int
    filename: str
    status: ImportStatus
    rows_read: int
    samples_added: int
    labels_added: int
    duplicates: int
    bad_rows: int
    problems: tuple[RowProblem, ...]
    """The first 100 bad or duplicate rows."""
    error: str
    bytes_total: int
    created_at: UtcTime
    finished_at: UtcTime | None


SampleStatus = Literal["unlabeled", "labeled", "skipped", "flagged"]


class Suggestion(Record):
    """What a model, rule or person proposes for a sample. Never counted as a label."""

    label: str
    confidence: float = Field(ge=0, le=1)
    uncertainty: float = Field(ge=0, le=1)
    """1 minus the confidence of the likeliest class (least confidence), unless the source says otherwise."""
    source: str


class Sample(Record):
    """One thing to be labeled. Exactly one of text, image and row is there."""

    id: int
    project_id: int
    status: SampleStatus
    text: str | None = None
    image: str | None = None
    """The content address of the encoded image: `GET blobs/{image}`."""
    row: dict[str, Any] | None = None
    label: str | None = None
    suggestion: Suggestion | None = None


QueueOrder = Literal["uncertainty", "random", "sequential"]


class Queue(Record):
    """The next samples to be labeled, best first."""

    samples: tuple[Sample, ...]
    remaining: int
    """Unlabeled samples in the project, those in `samples` included."""


LabelAction = Literal["label", "skip", "flag"]
LabelSource = Literal["human", "import", "rule", "model"]


class NewLabel(Record):
    """A decision about one sample.

    `key` makes saving repeatable: the same key saves once, however often it is sent.
    """

    sample_id: Id
    action: LabelAction = "label"
    label: str | None = None
    key: str = Field(min_length=8, max_length=64)
    duration_ms: int | None = Field(default=None, ge=0, lt=1 << 63)
    source: LabelSource = "human"


class NewLabels(Record):
    labels: tuple[NewLabel, ...] = Field(min_length=1, max_length=10_000)


class Label(Record):
    """A saved decision about one sample; the newest that is not undone counts."""

    id: int
    project_id: int
    sample_id: int
    action: LabelAction
    label: str | None
    source: LabelSource
    author: str
    duration_ms: int | None
    key: str
    undone: bool
    created_at: UtcTime


class Progress(Record):
    """How far the labeling of a project is."""

    total: int
    labeled: int
    skipped: int
    flagged: int
    unlabeled: int
    by_class: dict[str, int]
    seconds_per_label: float | None
    """Median of the last 100 human labels."""
    remaining_s: float | None


class SavedLabels(Record):
    """The answer to saving labels. `duplicates` were saved by an earlier request with the same keys."""

    saved: int
    duplicates: int
    labels: tuple[Label, ...]
    progress: Progress


class Undo(Record):
    """Undo the caller's newest decision, or the one named."""

    label_id: Id | None = None
    key: str = Field(min_length=8, max_length=64)


class Undone(Record):
    label: Label
    sample: Sample
    progress: Progress


class NewSuggestion(Record):
    sample_id: Id
    label: str
    confidence: float = Field(ge=0, le=1)
    uncertainty: float | None = Field(default=None, ge=0, le=1)


class NewSuggestions(Record):
    source: str = Field(min_length=1, max_length=200)
    suggestions: tuple[NewSuggestion, ...] = Field(max_length=100_000)


class SavedSuggestions(Record):
    saved: int


class NewSnapshot(Record):
    description: str = Field(default="", max_length=10_000)


class Snapshot(Record):
    """An immutable, numbered copy of a project's labels with their samples.

    Its file is an Arrow IPC file with the columns `sample_id` int64, `label` int32 (index into
    `classes`), `source` string, and `text` string, or `image` string (content address), or one
    column for each feature.
    """

    id: int
    project_id: int
    number: int
    task: Task
    classes: tuple[str, ...]
    features: tuple[str, ...]
    """The feature columns of a tabular snapshot."""
    rows: int
    by_class: dict[str, int]
    digest: str
    """SHA-256 of the file."""
    description: str
    created_at: UtcTime
