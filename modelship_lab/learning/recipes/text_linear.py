"""text-linear: hashed n-grams into an EmbeddingBag.

With one score for each class and token it is the logistic regression on TF-IDF that is hard to beat
on small data (Wang and Manning, "Baselines and Bigrams", 2012), trained by gradient steps; with
more classes it is fastText's classifier (Joulin et al., "Bag of Tricks", 2016) with TF-IDF weights.
"""

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

    def __init__(self, buckets: int, classes: int, dimensions: int | None) -> None:
        super().__init__()
        self.tokens = nn.EmbeddingBag(buckets, dimensions or classes, mode="sum", padding_idx=0)
        # Tokens that training never sees must not say anything.
        nn.init.zeros_(self.tokens.weight)
        self.output = nn.Linear(dimensions, classes) if dimensions else None
        self.bias = None if dimensions else nn.Parameter(torch.zeros(classes))
        self.register_buffer("importance", torch.zeros(buckets))

    def adapt(self, rows: Rows, chosen: Tensor) -> None:
        """Inverse document frequencies, smoothed: log((1 + rows) / (1 + rows with the token)) + 1.

        A token that no training row has weighs nothing.
        """
        tokens = rows.inputs["tokens"]
        assert isinstance(tokens, TokenLists)
        offsets, ids = tokens.offsets.cpu().numpy(), tokens.ids.cpu().numpy()
        buckets = len(self.importance)
        counts = csr_matrix((np.ones(len(ids), bool), ids, offsets), (len(tokens), buckets))[
            chosen.cpu().numpy()
        ]
        counts.sum_duplicates()
        documents = np.bincount(counts.indices, minlength=buckets)
        weights = np.where(documents > 0, np.log((1 + len(chosen)) / (1 + documents)) + 1, 0)
        self.importance.copy_(torch.from_numpy(weights))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of token ids, int64 (rows, length)."""
        weights = functional.embedding(tokens, self.importance.unsqueeze(1)).squeeze(2)
        weights = weights / weights.square().sum(1, keepdim=True).sqrt().clamp_min(1e-6)
        if self.training:
            pooled = (
                _WeightedSum.apply(tokens, weights, self.tokens.weight)  # type: ignore[no-untyped-call]
                if tokens.device.type == "cpu"
                else self.tokens(tokens, per_sample_weights=weights)
            )
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


class _WeightedSum(torch.autograd.Function):
    """What EmbeddingBag gives, in main memory: its own gradient sorts all tokens, which takes most of a step."""

    @staticmethod
    def forward(context: Any, tokens: Tensor, weights: Tensor, vectors: Tensor) -> Tensor:
        context.save_for_backward(tokens, weights)
        context.buckets = len(vectors)
        return functional.embedding_bag(tokens, vectors, mode="sum", per_sample_weights=weights)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        tokens, weights = context.saved_tensors
        rows, length = tokens.shape
        ends = np.arange(rows + 1) * length
        matrix = csr_matrix((weights.numpy().ravel(), tokens.numpy().ravel(), ends), (rows, context.buckets))
        return None, None, torch.from_numpy(matrix.T @ gradient.numpy())
