"""What is to be looked at next, and why."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from modelship_lab.records.base import Record, UtcTime
from modelship_lab.records.labeling.samples import Sample, SampleFilter

QueueOrder = Literal[
    "uncertainty", "margin", "entropy", "diversity", "random", "sequential", "below_threshold"
]
"""`below_threshold` has those samples alone whose suggestion is too unsure to become a label by itself."""

Purpose = Literal["label", "overlap", "review", "adjudication", "audit", "repeat", "gold", "error", "request"]
"""Why a decision is asked for.

label: nobody has decided; overlap: another person's opinion is wanted; review: somebody checks a label;
adjudication: people disagree; audit: an automatic label is checked blindly; repeat: the same person once more, blindly;
gold: the answer is known; error: the label may be wrong; request: somebody asked for it.
"""

BLIND: frozenset[Purpose] = frozenset({"overlap", "audit", "repeat", "gold"})
"""For these a sample is shown without its label and suggestion."""

MEASURES: frozenset[Purpose] = frozenset({"repeat", "gold"})
"""A decision for these tells about the labeler; what counts as the sample's label stays as it is."""


Holder = Annotated[str, Field(max_length=64)]
"""Who has samples in hand: a random text for each session of labeling; empty: the caller."""


class QueuedSample(Sample):
    """A sample that is handed out, and why this one."""

    purpose: Purpose = "label"
    reason: str = ""
    """For people: `confidence 52 %`, `random`, `ann and ben disagree`."""
    detail: str = ""
    """What there is to say about that: what each of them said, what somebody asked."""


class Queue(Record):
    """The next samples to be looked at, best first."""

    samples: tuple[QueuedSample, ...]
    remaining: int
    """Unlabeled samples in the project, those in `samples` included."""
    waiting: dict[Purpose, int] = {}
    """Samples that are asked for by purpose, for this caller."""


RequestPurpose = Literal["review", "audit", "repeat", "error", "request"]

REQUESTED: tuple[RequestPurpose, ...] = get_args(RequestPurpose)
"""What people can ask for; everything else comes by itself."""


class NewRequests(Record):
    """Send samples to the queue, so that somebody looks at them (again)."""

    samples: SampleFilter
    purpose: RequestPurpose = "request"
    detail: str = Field(default="", max_length=1000)
    """Why, for people."""
    at_most: int | None = Field(default=None, ge=1)
    """A random choice of this many of them."""


class RequestBatch(Record):
    """What waits of the samples that were asked for in one act."""

    batch: str
    """To withdraw it; empty for what the project's settings ask for."""
    purpose: Purpose
    detail: str
    author: str
    """Who asked for it."""
    waiting: int
    created_at: UtcTime


class Release(Record):
    """Give back what a holder has in hand, so that others get it at once."""

    holder: Holder = ""


class SavedRequests(Record):
    """`waiting` are those that were asked for before; `batch` names what was added, to withdraw it."""

    added: int
    waiting: int
    batch: str
