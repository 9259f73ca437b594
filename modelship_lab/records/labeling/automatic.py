"""Automatic labels: from which confidence on they are right often enough, and how often they are."""

from modelship_lab.records.base import Record
from modelship_lab.records.labeling.quality import Rate


class ThresholdChoice(Record):
    """A confidence, how often the suggestions of a class were right from there on, and what it would do."""

    name: str | None
    """The class; None for all of them together."""
    known: int
    """Suggestions of it whose answer is known."""
    threshold: float | None
    """None when there is no such confidence, or too little is known to say."""
    precision: Rate
    """Of the known suggestions that reach the threshold; of all of them when there is none."""
    accepted: int
    """Suggestions of it that the threshold, if it were set, would make automatic labels."""
    review: int
    """Suggestions of it for samples that nobody has decided about, which would go on waiting for somebody."""


class Thresholds(Record):
    """Thresholds chosen for a wanted precision, or one that was given, by what is known from people and gold."""

    precision: float | None
    """None where the threshold was given."""
    overall: ThresholdChoice
    classes: tuple[ThresholdChoice, ...]


class OriginAudit(Record):
    """The automatic labels of one model version or rule, and what people said who did not see them."""

    origin: str
    labels: int
    """Automatic labels of it that count now."""
    audited: int
    errors: Rate
    """How many of the audited ones were wrong: an estimate for all of them, with its 95 % interval."""


class AuditReport(Record):
    """How often automatic labels are wrong, by blind audit."""

    origins: tuple[OriginAudit, ...]
