"""text-linear: hashed n-grams into an EmbeddingBag.

With one score for each class and token it is the logistic regression on TF-IDF that is hard to beat
on small data (Wang and Manning, "Baselines and Bigrams", 2012), trained by gradient steps; with
more classes it is fastText's classifier (Joulin et al., "Bag of Tricks", 2016) with TF-IDF weights.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from modelship_lab.learning.network import Network
from modelship_lab.learning.rows import Rows, TokenLists
from modelship_lab.learning.samples import Samples
from modelship_lab.records.bundle import TextHashing
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.recipe_options import TextLinearOptions

__all__ = ["TextLinear", "network", "preprocessing"]

DIRECT_CLASSES = 64
"""Up to so many classes every token has its own score for each of them."""
MOST_WEIGHTS = 2**28
"""A gigabyte of weights; ONNX files end at two."""
LEAST_LENGTH = 1e-6
"""Of a text's vector: one without a known word stays 0."""
DEEP_LEARNING_RATE = 0.1
"""Share of the learning rate when an output layer follows: there a step in the one changes the other's effect."""


def preprocessing(options: TextLinearOptions, samples: Samples, rows: np.ndarray) -> TextHashing:
    """Hashing needs to see no data."""
    return TextHashing(
        buckets=options.buckets, max_ngram=options.max_ngram, max_length=options.max_length, lowercase=True
    )


def network(options: TextLinearOptions, preprocessing: TextHashing, classes: int) -> "TextLinear":
    dimensions = options.dimensions
    if dimensions is None and classes > DIRECT_CLASSES:
        dimensions = DIRECT_CLASSES
    if preprocessing.buckets * (dimensions or classes) > MOST_WEIGHTS:
        raise InvalidInput(
            f"{preprocessing.buckets:,} buckets with {dimensions or classes} numbers each are too many for one "
            f"model. Choose fewer buckets or dimensions: at most {MOST_WEIGHTS:,} numbers in all."
        )
    return TextLinear(preprocessing.buckets, classes, dimensions)


class TextLinear(Network):
    """The weighted sum of the tokens' vectors, and a linear layer if the vectors are not scores already.

    Args:
        buckets: token ids are below this; 0 is padding.
        classes: how many.
        dimensions: length of a token's vector, or None for its scores.
    """

    importance: Tensor
    is_light = True

    def __init__(self, buckets: int, classes: int, dimensions: int | None) -> None:
        super().__init__()
        self.tokens = nn.EmbeddingBag(buckets, dimensions or classes, mode="sum", padding_idx=0)
        # Tokens that training never sees must not say anything.
        nn.init.zeros_(self.tokens.weight)
        self.output = nn.Linear(dimensions, classes) if dimensions else None
        self.bias = None if dimensions else nn.Parameter(torch.zeros(classes))
        self.register_buffer("importance", torch.zeros(buckets))
        self._documents: csr_matrix | None = None

    def prepared(self, rows: Rows, check: Callable[[], None]) -> Rows:
        """In main memory the texts become rows of a sparse matrix, from which batches are taken: their weights never
        change, and nothing is filled up to the longest text."""
        if self.importance.device.type != "cpu":
            return rows
        self._documents = self._counted(rows)
        return Rows({"documents": torch.arange(len(rows))})

    def adapt(self, rows: Rows, chosen: Tensor) -> None:
        """Inverse document frequencies, smoothed: log((1 + rows) / (1 + rows with the token)) + 1.

        A token that no training row has weighs nothing.
        """
        documents = self._counted(rows) if self._documents is None else self._documents
        self.importance.copy_(torch.from_numpy(_rarity(documents[chosen.cpu().numpy()])))
        if self._documents is not None:
            # In place, as there may be hundreds of megabytes.
            np.take(self.importance.numpy(), documents.indices, out=documents.data, mode="clip")
            squares = csr_matrix(
                (np.square(documents.data), documents.indices, documents.indptr), documents.shape
            ).sum(1)
            lengths = np.sqrt(np.asarray(squares).ravel()).clip(LEAST_LENGTH)
            documents.data /= np.repeat(lengths, np.diff(documents.indptr))

    def _counted(self, rows: Rows) -> csr_matrix:
        """Which row has which tokens, each time that it has one."""
        tokens = rows.inputs["tokens"]
        assert isinstance(tokens, TokenLists)
        offsets, ids = tokens.offsets.cpu().numpy(), tokens.ids.cpu().numpy()
        return csr_matrix((np.ones(len(ids), np.float32), ids, offsets), (len(rows), len(self.importance)))

    def forward(self, tokens: Tensor | None = None, documents: Tensor | None = None) -> Tensor:
        """Logits of token ids, int64 (rows, length), or of what `prepared` has made of them."""
        if documents is not None:
            assert self._documents is not None
            pooled = _Product.apply(self._documents[documents.numpy()], self.tokens.weight)  # type: ignore[no-untyped-call]
        else:
            assert tokens is not None
            weights = functional.embedding(tokens, self.importance.unsqueeze(1)).squeeze(2)
            weights = weights / weights.square().sum(1, keepdim=True).sqrt().clamp_min(LEAST_LENGTH)
            if self.training:
                pooled = self.tokens(tokens, per_sample_weights=weights)
            else:
                # The same sum as a product of matrices: EmbeddingBag would be exported as a loop over rows.
                vectors = functional.embedding(tokens, self.tokens.weight)
                pooled = torch.matmul(weights.unsqueeze(1), vectors).squeeze(1)
        logits: Tensor = pooled + self.bias if self.output is None else self.output(pooled)
        return logits

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        factor = 1.0 if self.output is None else DEEP_LEARNING_RATE
        tokens = self.tokens.weight
        others = [weight for weight in self.parameters() if weight is not tokens]
        return [
            {"params": [tokens], "weight_decay": weight_decay, "learning_rate_factor": factor},
            {"params": others, "weight_decay": 0.0, "learning_rate_factor": factor},
        ]


def _rarity(documents: csr_matrix) -> np.ndarray:
    """Of each token how telling it is, float64 (tokens), by the documents that have it."""
    documents.sum_duplicates()
    having = np.bincount(documents.indices, minlength=documents.shape[1])
    return np.where(having > 0, np.log((1 + documents.shape[0]) / (1 + having)) + 1, 0.0)


class _Product(torch.autograd.Function):
    """A sparse matrix of scipy times the tokens' vectors; only these have a gradient."""

    @staticmethod
    def forward(context: Any, documents: csr_matrix, vectors: Tensor) -> Tensor:
        context.documents = documents
        return torch.from_numpy(documents @ vectors.detach().numpy())

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, torch.from_numpy(context.documents.T @ gradient.numpy())
