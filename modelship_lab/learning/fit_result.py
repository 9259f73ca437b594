"""What comes out of a fit."""

from dataclasses import dataclass

from modelship_lab.learning.checkpoint import Checkpoint
from modelship_lab.records.evaluation import Evaluation

__all__ = ["FitResult"]


@dataclass(frozen=True)
class FitResult:
    """What came out of a fit."""

    checkpoint: Checkpoint
    evaluation: Evaluation
    summary: dict[str, float]
    stopped: bool
    """Whether it ended early because somebody asked."""
