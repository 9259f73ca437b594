"""How good labels are: agreement between people, with known answers, and with oneself."""

from modelship_lab.records.base import Record


class Rate(Record):
    """How often something was right."""

    right: int
    total: int
    rate: float | None
    """None when there was nothing to be right about."""
    low: float | None
    """Ends of the 95 % interval (Wilson's score)."""
    high: float | None


class LabelerQuality(Record):
    """The labels of one person."""

    author: str
    labels: int
    """Human decisions that still stand."""
    seconds_per_label: float | None
    """Median."""
    gold: Rate
    """On samples whose answer is known."""
    repeats: Rate
    """The same answer when the same sample came once more, blindly."""


class PairAgreement(Record):
    """Two people who labeled the same samples."""

    first: str
    second: str
    samples: int
    agreement: float
    """Share of the samples about which they say the same; for spans and boxes the F1 of one against the other."""
    kappa: float | None
    """Cohen's; None for spans and boxes, and where chance alone explains everything."""


class ClassAgreement(Record):
    """One class in samples that several people labeled."""

    name: str
    samples: int
    """In which somebody found it."""
    agreement: float | None
    """How often another person finds it as well where one does (positive specific agreement)."""


class Quality(Record):
    """How good the human labels of a project are."""

    samples: int
    """Labeled by two people or more."""
    disagreements: int
    """About these they say different things."""
    krippendorff_alpha: float | None
    """1 is perfect, 0 is chance; classes and sets of classes as nominal data, numbers as interval data; else None."""
    fleiss_kappa: float | None
    """Of the samples that the same number of people labeled (the most frequent number)."""
    fleiss_samples: int
    labelers: tuple[LabelerQuality, ...]
    pairs: tuple[PairAgreement, ...]
    classes: tuple[ClassAgreement, ...]
