"""Sentences as vectors by MiniLM, an optional encoder; and what they may be about, without a single label."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modelship_lab.learning.encoders import MINILM, encoder_folder
from modelship_lab.records.errors import Conflict, MissingDependency
from modelship_lab.records.labeling import SavedSuggestions

if TYPE_CHECKING:
    from modelship_lab.client import ProjectHandle

__all__ = ["SentenceEncoder", "suggest_by_names"]

MAX_TOKENS = 128
BATCH = 64
SHARPNESS = 20.0
"""By how much closer texts are to the name of their own class: cosines of this encoder differ little."""


class SentenceEncoder:
    """MiniLM (Wang et al., 2020) trained for sentences: 384 numbers for each text, of length 1.

    Raises:
        MissingDependency: `transformers` or the weights are not there; says how to get them.
    """

    def __init__(self) -> None:
        try:
            import torch
            from transformers import AutoModel, AutoTokenizer
        except ImportError:
            raise MissingDependency(
                "The sentence encoder needs an optional package: `pip install modelship-lab[huggingface]`, then "
                "restart the kernel."
            ) from None
        folder = encoder_folder(MINILM)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._model: Any = AutoModel.from_pretrained(folder).eval()
        self._torch = torch

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (texts, 384): the mean over the tokens."""
        parts = [np.zeros((0, 384), np.float32)]
        for start in range(0, len(texts), BATCH):
            tokens = self._tokenizer(
                list(texts[start : start + BATCH]),
                padding=True,
                truncation=True,
                max_length=MAX_TOKENS,
                return_tensors="pt",
            )
            with self._torch.inference_mode():
                states = self._model(**tokens).last_hidden_state
                mask = tokens["attention_mask"].unsqueeze(-1)
                mean = (states * mask).sum(1) / mask.sum(1)
                parts.append(self._torch.nn.functional.normalize(mean, dim=1).numpy())
        return np.concatenate(parts)


def suggest_by_names(project: "ProjectHandle", on_progress: Callable[[int, int], None]) -> SavedSuggestions:
    """Suggest the class whose name is closest to a text: a start where nothing is labeled yet.

    Raises:
        Conflict: the samples are no texts.
        MissingDependency: as `SentenceEncoder`.
    """
    from modelship_lab.client.suggesting import suggest_by

    record = project.record
    if record.require_task() != "text_classification":
        raise Conflict(
            f"Only texts are compared with the names of classes; '{record.name}' has other samples."
        )
    encoder = SentenceEncoder()
    names = encoder.vectors([f"This is about {name.replace('_', ' ')}." for name in record.classes])

    def predict(texts: Sequence[str]) -> np.ndarray:
        closeness = SHARPNESS * encoder.vectors(texts) @ names.T
        likely: np.ndarray = np.exp(closeness - closeness.max(1, keepdims=True))
        likely /= likely.sum(1, keepdims=True)
        return likely

    return suggest_by(project, predict, record.classes, "zero-shot:minilm", on_progress)
