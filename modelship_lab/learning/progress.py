"""How far a training is, and the file from which it goes on; known without torch."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["STATE", "Progress"]

STATE = "training_state.ckpt"
"""The artifact from which a training goes on; `learning.training_state` writes it."""


@dataclass(frozen=True)
class Progress:
    """How far a fit is."""

    stage: Literal["preparing", "training", "evaluating"]
    step: int = 0
    steps: int = 0
    """Of the whole training, if it does not stop early."""
    epoch: int = 0
    epochs: int = 0
