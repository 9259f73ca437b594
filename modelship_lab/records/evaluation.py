"""How a run's model did on its held-out rows."""

from modelship_lab.records.base import Record, Task
from modelship_lab.records.bundle import ModelKind


class ClassReport(Record):
    label: str
    precision: float
    recall: float
    f1: float
    support: int
    threshold: float | None = None
    """The probability from which a sample is said to have it; None where the likeliest class decides."""


class Curve(Record):
    """Points of a ROC curve (x false positive rate, y true positive rate) or PR curve (x recall, y precision)."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    area: float


class WorstError(Record):
    """A held-out sample that the model got wrong, the most confident first, or the farthest from its number."""

    sample_id: int
    actual: str
    """Its class, its classes, or its number."""
    predicted: str
    confidence: float
    """Probability of the worst wrong decision; of a number how far it is off, as a share of the test's numbers' spread."""
    preview: str = ""


class Calibration(Record):
    """How often the model is right when it is so sure."""

    error: float
    """Expected calibration error: the mean distance between confidence and accuracy over the bins, by their rows."""
    confidence: tuple[float, ...]
    """Of each bin the mean probability of what was predicted."""
    accuracy: tuple[float, ...]
    rows: tuple[int, ...]


class Slice(Record):
    """Held-out rows that have something in common, in which the model does worse than in all."""

    name: str
    """What they have in common, e.g. `length: 120 characters or more`."""
    rows: int
    score: float
    """Accuracy; of numbers the mean absolute error."""
    low: float
    """Between `low` and `high` the score of such rows lies with 95 % confidence."""
    high: float


class Baseline(Record):
    """What a simpler model reaches on the same held-out rows."""

    name: str
    accuracy: float | None
    """None for numbers, like the next one."""
    macro_f1: float | None
    mae: float | None
    """None for classes, like the next two."""
    rmse: float | None = None
    r2: float | None = None
    train_rows: int
    """Training rows that it was given: of very many only a part."""
    seconds: float


class Evaluation(Record):
    """How a run's model did on the held-out rows. Stored as the artifact `evaluation.json`."""

    task: Task
    kind: ModelKind = "label"
    """What is predicted of each sample: one class, several classes, or a number."""
    classes: tuple[str, ...]
    unit: str = ""
    """What numbers and their errors are counted in; empty for classes, and where nobody has said."""
    rows: int
    accuracy: float | None
    """Share of the samples with the right class, or with all classes right. None for numbers, like the next three."""
    macro_f1: float | None
    micro_f1: float | None = None
    """Of all decisions about classes together; None unless a sample may have several, like the next one."""
    hamming_loss: float | None = None
    """Share of the decisions about classes that are wrong."""
    log_loss: float | None
    """Mean over the samples; of several classes, over these too."""
    baseline_accuracy: float | None
    """Accuracy of always predicting the commonest training class, or the classes that most training samples have."""
    mae: float | None = None
    """Mean absolute error of numbers; None for classes, like the next four."""
    median_absolute_error: float | None = None
    rmse: float | None = None
    r2: float | None = None
    """Share of the variance that is explained."""
    baseline_mae: float | None = None
    """Mean absolute error of always predicting the training numbers' median."""
    pairs: tuple[tuple[float, float], ...] = ()
    """Of numbers: the actual and the predicted one of some rows, evenly chosen; none for classes."""
    confusion: tuple[tuple[int, ...], ...]
    """Row: actual class, column: predicted class; empty unless each sample has one class."""
    per_class: tuple[ClassReport, ...]
    roc: tuple[Curve, ...]
    precision_recall: tuple[Curve, ...]
    worst: tuple[WorstError, ...]
    calibration: Calibration | None = None
    """None for numbers."""
    slices: tuple[Slice, ...] = ()
    """The worst first: those that are worse beyond what is to be expected by chance of so many."""
    baselines: tuple[Baseline, ...] = ()


class Significance(Record):
    """How two runs differ on the samples that were held out in both, by a paired bootstrap (Efron and Tibshirani, 1993)."""

    run: int
    other: int
    metric: str
    """`accuracy`, or `mae` where numbers are predicted."""
    rows: int
    """Samples that both were tested on, with the same answer expected."""
    only_run: int
    """Samples that only the first was tested on."""
    only_other: int
    changed: int
    """Samples that have another label in the one than in the other; they are left out."""
    score: float
    other_score: float
    difference: float
    """The other's score less the first one's."""
    low: float
    """Between `low` and `high` the difference lies with 95 % confidence."""
    high: float
    p_value: float
    """How probable so large a difference would be, were there none."""

    def __str__(self) -> str:
        said = (
            f"Run {self.other} less run {self.run} on {self.rows:,} held-out samples of both: {self.metric} "
            f"{self.difference:+.4f} (95 % between {self.low:+.4f} and {self.high:+.4f}), p = {self.p_value:.3f}"
        )
        differing = self.only_run + self.only_other + self.changed
        return f"{said}; {differing:,} samples were not the same and are left out" if differing else said
