"""Jobs: work that goes on in a process of its own, beside the server."""

from typing import Annotated, Any, Literal

from pydantic import Field

from modelship_lab.records.base import Id, Record, UtcTime
from modelship_lab.records.model_export import ModelFormat
from modelship_lab.records.tracking import Run

JobKind = Literal["light_model", "embeddings", "label_errors", "training", "export"]
"""light_model: learns from the labels there are and suggests; embeddings: where samples lie among each other;
label_errors: which labels may be wrong; training: fits a model, and logs to a run; export: makes a bundle of a
run's model."""

OUTLIVING: frozenset[JobKind] = frozenset({"training", "export"})
"""Jobs whose process goes on without the server: the next one adopts it. Others end with the server."""

UNDER_WAY = "under way"
"""The reason in a refusal to begin a job of which a project can have one at a time."""

JobStatus = Literal["waiting", "running", "finished", "failed", "cancelled"]
"""`cancelled`: ended early because somebody asked, also with `stop` of its run."""

ENDED: frozenset[JobStatus] = frozenset({"finished", "failed", "cancelled"})

Encoder = Literal["hashed", "minilm"]
"""hashed: counted words, pixels or fields, brought to 64 numbers; minilm: a sentence encoder (an optional package)."""

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

LOG_LEVELS: tuple[LogLevel, ...] = ("DEBUG", "INFO", "WARNING", "ERROR")
"""The least important first."""


class NewJob(Record):
    """What is to be done in a project."""

    kind: Literal["light_model", "embeddings", "label_errors"]
    everything: bool = False
    """light_model: suggest for every undecided sample, and not for a random choice where there are many."""
    encoder: Encoder = "hashed"
    """embeddings: what makes them."""


class NewTraining(Record):
    """What is to be trained in the background."""

    recipe: str | None = Field(default=None, max_length=100)
    """Default: the one to begin with for the project's task."""
    options: dict[str, Any] = {}
    """Of the recipe; defaults for what is left out."""
    snapshot_id: Id | None = None
    """What to train on; default: a new one of the labels as they are now."""
    name: str = Field(default="", max_length=200)
    """Of the run; default: the recipe's."""
    tags: tuple[str, ...] = ()
    output: str | None = Field(default=None, max_length=1000)
    """A folder of the workspace that gets the model and the checkpoints, too."""
    resume: Id | str | None = None
    """A run that has ended, or a folder of the workspace with a checkpoint: training goes on from there."""
    log_level: LogLevel = "INFO"
    """What is written to the job's log at least."""


class NewModelExport(Record):
    """What is to be made of a run's model in the background."""

    formats: Annotated[tuple[ModelFormat, ...], Field(min_length=1, max_length=10)] = ("onnx",)
    source: str | None = Field(default=None, max_length=1000)
    """The folder of the workspace that the model was named by, if it was."""
    output: str | None = Field(default=None, max_length=1000)
    """A folder of the workspace that gets the files, too; other formats than onnx are of no use without."""
    optimize: bool = False
    """Also a model with an optimized graph, and one with weights of 8 bits."""
    compare: bool = True
    """Load each file anew, and compare its answers on rows that were held out."""


class JobProgress(Record):
    """How far a job is, as its process says."""

    progress: float = Field(ge=0, le=1)
    message: str = Field(default="", max_length=500)
    """What it is at, for people."""
    epoch: int | None = None
    """Of a training: counted from 1."""
    epochs: int | None = None
    step: int | None = None
    """Of a training: how many are done."""
    steps: int | None = None
    """Of the whole training, if it does not stop early."""
    remaining_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """About how long it takes yet."""
    figures: dict[str, float | None] = {}
    """Of a training: the newest of its losses and scores, e.g. `val_accuracy`; None where it is no number."""


class Job(Record):
    """One piece of work, and how far it is."""

    id: int
    kind: JobKind
    project_id: int | None
    project: str | None
    owner_id: int
    """The account that the project belongs to."""
    author: str
    params: dict[str, Any]
    status: JobStatus
    position: int | None = None
    """While it waits: how many come before it."""
    cancel_requested: bool = False
    """Whether it was asked to end; a training then saves a checkpoint first."""
    progress: float
    """From 0 to 1."""
    message: str
    """What it is at, for people."""
    run_id: int | None = None
    """The run that it logs to, or whose model it exports."""
    epoch: int | None = None
    epochs: int | None = None
    step: int | None = None
    steps: int | None = None
    estimated_end_at: UtcTime | None = None
    result: dict[str, Any]
    """What came of it; of one that failed `error_code`, the code of its error in `records.errors`."""
    error: str
    """Why it failed, if it did."""
    created_at: UtcTime
    started_at: UtcTime | None
    ended_at: UtcTime | None

    @property
    def error_code(self) -> str:
        """Code of the error by which it failed; empty if it did not, or nobody knows."""
        return str(self.result.get("error_code", "")) if self.status == "failed" else ""


class TrainingStarted(Record):
    """A training that waits for its turn or runs, and the run that it logs to."""

    job: Job
    run: Run


class LogLine(Record):
    """One line of a job's log."""

    time: UtcTime
    level: LogLevel
    message: str
