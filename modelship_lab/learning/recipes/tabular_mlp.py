"""tabular-mlp: a multilayer perceptron on numbers and embedded categories."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from modelship_lab.bundles.preprocessing import category_name
from modelship_lab.learning.network import Network
from modelship_lab.learning.rows import Rows
from modelship_lab.learning.samples import Samples
from modelship_lab.records.bundle import TableEncoding
from modelship_lab.records.errors import InvalidData
from modelship_lab.records.recipe_options import TabularMlpOptions

__all__ = ["TabularMlp", "encoding", "network", "preprocessing"]

MOST_CATEGORIES = 1000
LEAST_ROWS = 2
"""A value in fewer training rows counts as unknown: nothing can be learned from one row."""
FAR = 6.0
"""Standardized numbers beyond this are cut, so that one outlier does not rule a row."""

QUANTILE_ROWS = 20_000
"""About so many rows tell the quantiles."""


def preprocessing(options: TabularMlpOptions, samples: Samples, rows: np.ndarray) -> TableEncoding:
    """As `encoding`."""
    return encoding(samples, rows)


def encoding(samples: Samples, rows: np.ndarray, most_categories: int = MOST_CATEGORIES) -> TableEncoding:
    """Numbers stay numbers; texts and truth values become categories.

    A feature with one value only, or whose texts are nearly all different (names, ids), says nothing
    that could be learned and is left out.

    Args:
        samples: the table.
        rows: positions of the training rows.
        most_categories: values of a feature beyond the commonest count as unknown.

    Raises:
        InvalidData: no feature is left.
    """
    chosen = samples.taken(rows)
    numeric: list[str] = []
    categories: dict[str, tuple[str, ...]] = {}
    typical: dict[str, float | str | None] = {}
    for name, values in chosen.columns().items():
        if isinstance(values, np.ndarray):
            finite = values[np.isfinite(values)]
            if np.unique(finite).size > 1 or 0 < finite.size < len(values):
                numeric.append(name)
                typical[name] = float(np.median(finite))
        elif _is_categorical(chosen.table.column(name).type):
            counts = Counter(map(category_name, values))
            missing = counts.pop(None, 0)
            known = [value for value, count in counts.most_common(most_categories) if count >= LEAST_ROWS]
            if known and (len(counts) > 1 or missing):
                categories[name] = tuple(sorted(str(value) for value in known))
                typical[name] = known[0]
    if not numeric and not categories:
        raise InvalidData(
            "No feature of the snapshot can be learned from: each has a single value, is empty, or has "
            "texts that hardly ever repeat. Import columns with numbers or categories."
        )
    return TableEncoding(
        features=samples.features, numeric=tuple(numeric), categories=categories, typical=typical
    )


def _is_categorical(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind))


def network(options: TabularMlpOptions, preprocessing: TableEncoding, classes: int) -> "TabularMlp":
    return TabularMlp(
        preprocessing,
        classes,
        width=options.width,
        layers=options.layers,
        dropout=options.dropout,
        bins=options.bins,
        members=options.members,
    )


class TabularMlp(Network):
    """Missing numbers become the median, numbers are standardized, categories embedded; then hidden layers.

    Every number comes with a flag that says whether it was missing, if it ever was in training, and with how far it
    reaches into each of its quantiles: with these a network finds thresholds as trees do (Gorishniy et al., "On
    Embeddings for Numerical Features", 2022).

    Several members see the features with signs of their own, share the hidden layers and answer each for itself; they
    are trained side by side, and the mean of their logits counts (Gorishniy et al., "TabM", 2025).

    Args:
        spec: the features.
        classes: how many.
        width: units of each hidden layer.
        layers: hidden layers.
        dropout: share of units left out in training.
        bins: quantiles that each number is told in; 0: none.
        members: how many answer.
    """

    median: Tensor
    mean: Tensor
    deviation: Tensor
    offsets: Tensor
    is_ever_missing: Tensor
    edges: Tensor

    def __init__(
        self,
        spec: TableEncoding,
        classes: int,
        *,
        width: int,
        layers: int,
        dropout: float,
        bins: int = 0,
        members: int = 1,
    ) -> None:
        super().__init__()
        numbers = len(spec.numeric)
        for name, value in {"median": 0.0, "mean": 0.0, "deviation": 1.0, "is_ever_missing": 0.0}.items():
            self.register_buffer(name, torch.full((numbers,), value))
        self.register_buffer("edges", torch.linspace(-1.0, 1.0, bins + 1).repeat(numbers, 1))
        self.bins = bins
        sizes = [len(known) + 1 for known in spec.categories.values()]
        # One table holds all features, each behind the one before: one look-up instead of many.
        self.register_buffer("offsets", torch.tensor(np.cumsum([0, *sizes])[:-1], dtype=torch.int64))
        dimensions = max((min(32, round(1.6 * size**0.56)) for size in sizes), default=0)
        self.categories = nn.Embedding(sum(sizes), dimensions) if sizes else None
        if self.categories is not None:
            nn.init.normal_(self.categories.weight, std=0.1)
        hidden: list[nn.Module] = []
        inputs = (2 + bins) * numbers + dimensions * len(sizes)
        self.signs = nn.Parameter(torch.randint(0, 2, (members, inputs)) * 2.0 - 1)
        for _ in range(layers):
            hidden += [nn.Linear(inputs, width), nn.LayerNorm(width), nn.SiLU(), nn.Dropout(dropout)]
            inputs = width
        self.hidden = nn.Sequential(*hidden)
        self.outputs = nn.ModuleList(nn.Linear(inputs, classes) for _ in range(members))

    def adapt(self, rows: Rows, chosen: Tensor) -> None:
        """Median, mean and standard deviation of each number."""
        if not len(self.median):
            return
        numeric = rows.take(chosen)["numeric"].double()
        # Of an even count `nanmedian` takes the lower middle; any middle will do for filling in.
        median = numeric.nanmedian(0).values
        filled = torch.where(numeric.isnan(), median, numeric)
        self.median.copy_(median)
        self.mean.copy_(filled.mean(0))
        deviation = filled.std(0) if len(filled) > 1 else torch.ones_like(median)
        self.deviation.copy_(torch.where(deviation > 0, deviation, 1.0))
        self.is_ever_missing.copy_(numeric.isnan().any(0))
        if self.bins:
            some = filled[:: max(1, len(filled) // QUANTILE_ROWS)]
            shares = torch.linspace(0, 1, self.bins + 1, dtype=some.dtype, device=some.device)
            self.edges.copy_(some.quantile(shares, dim=0).T)

    def forward(self, numeric: Tensor | None = None, categories: Tensor | None = None) -> Tensor:
        """Logits of numbers, float32 (rows, n) with NaN for missing, and codes, int64 (rows, m)."""
        return self._answers(numeric, categories).mean(1)

    def loss(
        self, inputs: dict[str, Tensor], targets: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """The mean of the members' losses: what one gets wrong the others do not make good."""
        answers = self._answers(**inputs)
        return loss(answers.flatten(0, 1), targets.repeat_interleave(answers.shape[1], 0))

    def _answers(self, numeric: Tensor | None = None, categories: Tensor | None = None) -> Tensor:
        """Logits of each member (rows, members, classes)."""
        parts: list[Tensor] = []
        if numeric is not None:
            missing = numeric.isnan()
            filled = torch.where(missing, self.median, numeric)
            parts += [
                ((filled - self.mean) / self.deviation).clamp(-FAR, FAR),
                missing.to(filled.dtype) * self.is_ever_missing,
            ]
            if self.bins:
                parts.append(self._reached(filled).flatten(1))
        if categories is not None:
            assert self.categories is not None
            parts.append(self.categories(categories + self.offsets).flatten(1))
        hidden = self.hidden(torch.cat(parts, 1).unsqueeze(1) * self.signs)
        return torch.stack([output(hidden[:, member]) for member, output in enumerate(self.outputs)], 1)

    def _reached(self, numbers: Tensor) -> Tensor:
        """How far numbers reach into their quantiles, from 0 to 1: float32 (rows, n, bins)."""
        low, high = self.edges[:, :-1], self.edges[:, 1:]
        # Where a value is so common that it fills a quantile, this is whether a number is above it.
        return ((numbers.unsqueeze(2) - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)
