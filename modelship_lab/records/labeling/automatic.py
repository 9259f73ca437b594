"""Automatic labels: from which confidence on they are right often enough, and how often they are."""

from modelship_lab.records.base import Record
from modelship_lab.records.labeling.quality import Rate


class ThresholdChoice(Record):
    """From which confidence on the suggestions of a class were right as often as was wanted."""

    name: str | None
    """The class; None for all of them together."""
    known: int
    """Suggestions of it whose answer is known."""
    threshold: float | None
    """None when there is no such confidence, or too little is known to say."""
    precision: Rate
    """Of the known suggestions that reach the threshold; of all of them when there is none."""


class Thresholds(Record):
    """Thresholds chosen for a wanted precision, by what is known from people and gold."""

    precision: float
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
