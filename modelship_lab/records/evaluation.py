"""How a run's model did on its held-out rows."""

from typing import Literal

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
    """A held-out sample that the model got wrong, the most confident first, or the farthest from its number."""

    sample_id: int
    actual: str
    """Its class, its classes, or its number."""
    predicted: str
    confidence: float
    """Probability of the worst wrong decision; of a number how far it is off, as a share of the test's numbers' spread."""
    preview: str = ""


class Evaluation(Record):
    """How a run's model did on the held-out rows. Stored as the artifact `evaluation.json`."""

    task: Task
    kind: Literal["label", "labels", "number"] = "label"
    """What is predicted of each sample: one class, several classes, or a number."""
    classes: tuple[str, ...]
    rows: int
    accuracy: float | None
    """Share of the samples with the right class, or with all classes right. None for numbers, like the next three."""
    macro_f1: float | None
    log_loss: float | None
    """Mean over the samples; of several classes, over these too."""
    baseline_accuracy: float | None
    """Accuracy of always predicting the commonest training class, or the classes that most training samples have."""
    mae: float | None = None
    """Mean absolute error of numbers; None for classes, like the next three."""
    rmse: float | None = None
    r2: float | None = None
    """Share of the variance that is explained."""
    baseline_mae: float | None = None
    """Mean absolute error of always predicting the training numbers' median."""
    confusion: tuple[tuple[int, ...], ...]
    """Row: actual class, column: predicted class; empty unless each sample has one class."""
    per_class: tuple[ClassReport, ...]
    roc: tuple[Curve, ...]
    precision_recall: tuple[Curve, ...]
    worst: tuple[WorstError, ...]
