"""Decisions about samples."""

from typing import Literal, Self

from pydantic import Field, model_validator

from modelship_lab.records.base import Id, Record, UtcTime
from modelship_lab.records.labeling.queue import Purpose
from modelship_lab.records.labeling.samples import Sample, SampleFilter
from modelship_lab.records.labeling.values import Fraction, Value

LabelAction = Literal["label", "skip", "flag", "note"]
"""A note says something about a sample and decides nothing."""

LabelSource = Literal["human", "import", "gold", "rule", "model"]

AUTOMATIC: frozenset[LabelSource] = frozenset({"rule", "model"})
"""A label from here gives its sample the status `auto`, never `labeled`."""


class Decision(Value):
    """What is decided about a sample, and how that came about."""

    action: LabelAction = "label"
    note: str = Field(default="", max_length=10_000)
    """Why it was skipped or flagged, or what there is to say about the sample."""
    source: LabelSource = "human"
    origin: str = Field(default="", max_length=200)
    """What made an automatic label: a model version, a rule."""
    confidence: Fraction | None = None
    """How sure that was."""
    purpose: Purpose = "label"
    """Why the sample was handed out."""


class NewLabel(Decision):
    """A decision about one sample.

    `key` makes saving repeatable: the same key saves once, however often it is sent.
    """

    sample_id: Id
    key: str = Field(min_length=8, max_length=64)
    duration_ms: int | None = Field(default=None, ge=0, lt=1 << 63)


class NewLabels(Record):
    labels: tuple[NewLabel, ...] = Field(min_length=1, max_length=10_000)


class Label(Decision):
    """A saved decision about one sample; the newest that is not undone counts."""

    id: int
    project_id: int
    sample_id: int
    author: str
    duration_ms: int | None
    key: str
    batch: str = ""
    """What it was saved together with in one act (a bulk, the automatic labels of a model): undone together, too."""
    undone: bool
    created_at: UtcTime


class Progress(Record):
    """How far the labeling of a project is."""

    total: int
    labeled: int
    """By people, or imported."""
    auto: int = 0
    """By models and rules, that nobody has looked at."""
    skipped: int
    flagged: int
    unlabeled: int
    by_class: dict[str, int]
    """Labeled samples in which each class occurs, automatic ones not counted."""
    auto_by_class: dict[str, int] = {}
    seconds_per_label: float | None
    """Median of the last 100 human labels."""
    remaining_s: float | None


class SavedLabels(Record):
    """The answer to saving labels. `duplicates` were saved by an earlier request with the same keys."""

    saved: int
    duplicates: int
    labels: tuple[Label, ...]
    progress: Progress


class NewBulk(Decision):
    """One decision about many samples at once; one undo takes it back."""

    samples: SampleFilter
    expected: int | None = Field(default=None, ge=0)
    """How many samples the caller was told that these are: if others came in between, nothing is saved."""
    key: str = Field(min_length=8, max_length=64)


class SavedBulk(Record):
    """`batch` names the act, to undo it."""

    saved: int
    batch: str
    progress: Progress


class Revoke(Record):
    """Take back automatic labels: all of one model version or rule, or those that no longer reach the thresholds."""

    origin: str | None = Field(default=None, min_length=1, max_length=200)
    outgrown: bool = False
    key: str = Field(min_length=8, max_length=64)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.origin is None) != self.outgrown:
            raise ValueError("give an origin, or `outgrown`")
        return self


class Undo(Record):
    """Undo the caller's newest act (a decision, a bulk), or the decision or batch named.

    The batch of a revocation brings the automatic labels back about whose samples nothing was said since.
    """

    label_id: Id | None = None
    batch: str | None = Field(default=None, min_length=1, max_length=64)
    key: str = Field(min_length=8, max_length=64)


class Undone(Record):
    """The act that was taken back: its newest decision, that decision's sample, and how many decisions it was."""

    label: Label
    sample: Sample
    count: int = 1
    progress: Progress


class NewGold(Value):
    """The known answer for a sample: it counts as its label, and labelers are measured by it."""

    sample_id: Id


class NewGolds(Record):
    gold: tuple[NewGold, ...] = Field(min_length=1, max_length=10_000)


class SavedGold(Record):
    saved: int
    progress: Progress
