"""How a run's model did on its held-out rows."""

from modelship_lab.records.base import Record, Task


class ClassReport(Record):
    label: str
    precision: float
    recall: float
    f1: float
    support: int


class Curve(Record):
    """Points of a ROC curve (x false positive rate, y true positive rate) or PR curve (x recall, y precision)."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    area: float


class WorstError(Record):
    """A held-out sample that the model got wrong, the most confident first."""

    sample_id: int
    actual: str
    predicted: str
    confidence: float
    preview: str = ""


class Evaluation(Record):
    """How a run's model did on the held-out rows. Stored as the artifact `evaluation.json`."""

    task: Task
    classes: tuple[str, ...]
    rows: int
    accuracy: float
    macro_f1: float
    log_loss: float
    baseline_accuracy: float
    """Accuracy of always predicting the commonest training class."""
    confusion: tuple[tuple[int, ...], ...]
    """Row: actual class, column: predicted class."""
    per_class: tuple[ClassReport, ...]
    roc: tuple[Curve, ...]
    precision_recall: tuple[Curve, ...]
    worst: tuple[WorstError, ...]
