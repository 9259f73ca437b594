"""Immutable copies of a project's labels."""

from typing import Annotated

from pydantic import AfterValidator, Field

from modelship_lab.records.base import Record, Task, UtcTime
from modelship_lab.records.labeling.samples import SampleFilter
from modelship_lab.records.labeling.values import Fraction, Kind, Value, kind_of


def _whole(splits: dict[str, float]) -> dict[str, float]:
    if splits and abs(sum(splits.values()) - 1) > 1e-6:
        raise ValueError("the shares of the splits add up to 1")
    return splits


SplitName = Annotated[str, Field(min_length=1, max_length=50)]


class NewSnapshot(Record):
    """What goes into a snapshot."""

    description: str = Field(default="", max_length=10_000)
    samples: SampleFilter = SampleFilter()
    """Of these samples alone those that are labeled."""
    include_auto: bool = False
    """Also what models and rules labeled by themselves; `source` tells it apart."""
    splits: Annotated[dict[SplitName, Fraction], AfterValidator(_whole)] = {}
    """Share of each split, e.g. `{"train": 0.8, "test": 0.2}`, for the samples that came without one. What has the
    same group or the same content lies in one split, and stays there in later snapshots."""
    seed: int = 0
    """Other seeds give other splits."""


class Snapshot(Record):
    """An immutable, numbered copy of a project's labels with their samples.

    Its file is an Arrow IPC file with the columns `sample_id` int64, what is said (below), `source` string, `split`
    string, and `text` string, or `image` string (content address), or one column for each feature. What is said is,
    by the project's kind, `label` int32 (index into `classes`), `labels` list of int32, `spans` list of structs
    (start, end, label), `boxes` list of structs (x, y, width, height, label), or `number` float64.
    """

    id: int
    project_id: int
    number: int
    task: Task
    multilabel: bool = False
    classes: tuple[str, ...]
    unit: str = ""
    """What the project counts its numbers in."""
    features: tuple[str, ...]
    """The feature columns of a tabular snapshot."""
    rows: int
    by_class: dict[str, int]
    """Samples in which each class occurs."""
    options: NewSnapshot = NewSnapshot()
    digest: str
    """SHA-256 of the file."""
    description: str
    created_at: UtcTime

    @property
    def kind(self) -> Kind:
        """What is said about each sample."""
        return kind_of(self.task, self.multilabel)


class SampleChange(Record):
    """A sample that differs between two snapshots; None where it is not in one."""

    sample_id: int
    before: Value | None
    after: Value | None
    preview: str
    """The beginning of its text or of its fields, or the address of its image."""


class SnapshotDiff(Record):
    """What changed from one snapshot to another."""

    before: Snapshot
    after: Snapshot
    added: int
    removed: int
    relabeled: int
    moved: int
    """Samples that are in another split."""
    same: int
    changes: tuple[SampleChange, ...]
    """The first 100: what was labeled anew, then what was added, then what was removed."""
