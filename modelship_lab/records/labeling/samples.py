"""Samples, what is suggested for them, and which of them are meant."""

from typing import Annotated, Any, Literal

from pydantic import Field

from modelship_lab.records.base import Id, Record
from modelship_lab.records.labeling.values import Fraction, Value

SampleStatus = Literal["unlabeled", "labeled", "auto", "skipped", "flagged"]
"""`auto`: a model or rule labeled it by itself; nobody has looked at it yet."""

MAX_IDS = 100_000
"""Samples that one request can name one by one."""


class Suggestion(Value):
    """What a model, rule or person proposes for a sample. Never counted as a label."""

    confidence: Fraction
    uncertainty: Fraction
    """1 minus the confidence of the likeliest class (least confidence), unless the source says otherwise."""
    source: str


SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""What tells a split, as the name of a folder or file or in data, in small letters, and the split."""


class Sample(Value):
    """One thing to be labeled, with what counts as its label. Exactly one of text, image and row is there."""

    id: int
    project_id: int
    status: SampleStatus
    text: str | None = None
    image: str | None = None
    """The content address of the encoded image: `GET blobs/{image}`."""
    row: dict[str, Any] | None = None
    group: str | None = None
    """Samples of one group belong together (one patient, one author): they never lie in two splits."""
    name: str | None = None
    """What it was called where it came from: a file name, an id."""
    split: str | None = None
    """The part of the data that it belongs to, if that was given with it: `train`, `validation`, `test`."""
    note: str | None = None
    """The newest note about it."""
    suggestion: Suggestion | None = None


class SampleFilter(Record):
    """Which samples of a project are meant; every condition that is given must hold."""

    status: tuple[SampleStatus, ...] = ()
    """One of these."""
    label: str | None = None
    """This class occurs in the label that counts."""
    suggested: str | None = None
    """This class occurs in the suggestion."""
    search: str = Field(default="", max_length=1000)
    """Occurs in the text, in a field, or in the name, in any case."""
    source: str | None = None
    """The label that counts comes from here: `human`, `import`, `gold`, `rule`, `model`."""
    origin: str | None = None
    """The label that counts was made by this model version or rule."""
    author: str | None = None
    """The label that counts was saved by this account."""
    group: str | None = None
    split: str | None = None
    import_id: Id | None = None
    min_confidence: Fraction | None = None
    """The suggestion is at least this sure."""
    max_confidence: Fraction | None = None
    below_threshold: bool | None = None
    """Whether the suggestion is too unsure to become a label by itself (`LabelingSettings.threshold`)."""
    noted: bool | None = None
    """Whether it has a note."""
    selection: str | None = None
    """One of the saved selection of this name."""
    ids: Annotated[tuple[Id, ...], Field(max_length=MAX_IDS)] | None = None
    """One of these."""
    excluded: Annotated[tuple[Id, ...], Field(max_length=MAX_IDS)] | None = None
    """None of these."""


SampleColumn = Literal[
    "id", "status", "label", "confidence", "uncertainty", "length", "name", "group", "updated_at"
]


class SampleOrder(Record):
    """In which order samples are listed."""

    by: SampleColumn = "id"
    descending: bool = False


class SampleCount(Record):
    """How many samples a filter means."""

    count: int


SelectionName = Annotated[str, Field(min_length=1, max_length=200)]


class NewSelection(Record):
    """Samples that are remembered under a name: those that are meant now, not those that will be."""

    name: SelectionName
    samples: SampleFilter


class SampleSelection(Record):
    """A saved selection of samples."""

    name: str
    project_id: int
    count: int
    samples: SampleFilter
    """What was asked for when it was saved."""


class NewGroup(Record):
    """Samples that belong together under a name; None: to nobody any more."""

    name: str | None = Field(min_length=1, max_length=200)
    sample_ids: Annotated[tuple[Id, ...], Field(min_length=1, max_length=MAX_IDS)]


class NewGroups(Record):
    """Which samples belong together. What is not named stays as it is."""

    groups: Annotated[tuple[NewGroup, ...], Field(min_length=1, max_length=MAX_IDS)]


class NewSuggestion(Value):
    """A proposal for one sample."""

    sample_id: Id
    confidence: Fraction
    uncertainty: Fraction | None = None
    margin: Fraction | None = None
    """1 minus the difference between the two likeliest classes; for the order `margin`."""
    entropy: Fraction | None = None
    """Entropy of the distribution over all classes, 1 when all are equally likely; for the order `entropy`."""


class NewSuggestions(Record):
    source: str = Field(min_length=1, max_length=200)
    suggestions: tuple[NewSuggestion, ...] = Field(max_length=100_000)


class SavedSuggestions(Record):
    """`auto` of them were sure enough to become labels by themselves; see `LabelingSettings.threshold`."""

    saved: int
    auto: int = 0
    outgrown: int = 0
    """Automatic labels that stand and would not be accepted now; told when stored suggestions are accepted."""
