"""Encoded rows as tensors, and batches of them without Python for each row."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["Batch", "Batches", "Rows", "TokenLists"]

_PASSES = 1_000_003
"""Seeds are so far apart that their passes share none."""

Batch = tuple[dict[str, Tensor], Tensor]
"""The network's inputs by name, and the labels int64 (rows)."""


@dataclass(frozen=True)
class TokenLists:
    """Lists of token ids of different lengths.

    Args:
        ids: int32, all lists one after another.
        offsets: int64 (rows + 1), where each list begins and the last one ends.
    """

    ids: Tensor
    offsets: Tensor

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, rows: Tensor) -> Tensor:
        """The lists of some rows as int64 (rows, longest), filled up with 0; the longest is at least 1."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        places = torch.arange(max(1, int(lengths.max())) if len(rows) else 1, device=self.ids.device)
        if not len(self.ids):
            return torch.zeros(len(rows), 1, dtype=torch.int64, device=self.ids.device)
        there = places < lengths[:, None]
        found = self.ids[(starts[:, None] + places).clamp_(max=len(self.ids) - 1)]
        return torch.where(there, found, 0).long()

    def to(self, device: torch.device) -> "TokenLists":
        return TokenLists(self.ids.to(device), self.offsets.to(device))


class Rows:
    """Encoded rows: what a network takes, by input name."""

    def __init__(self, inputs: Mapping[str, Tensor | TokenLists]) -> None:
        self.inputs = dict(inputs)

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def take(self, rows: Tensor) -> dict[str, Tensor]:
        """The inputs of some rows, given by their positions."""
        return {
            name: column.take(rows) if isinstance(column, TokenLists) else column[rows]
            for name, column in self.inputs.items()
        }

    @property
    def nbytes(self) -> int:
        """Bytes of all of them."""
        columns = (
            column.ids if isinstance(column, TokenLists) else column for column in self.inputs.values()
        )
        return sum(column.nbytes for column in columns)

    def to(self, device: torch.device) -> "Rows":
        """The same rows in the memory of a device."""
        return Rows({name: column.to(device) for name, column in self.inputs.items()})


class Batches:
    """Some rows, batch by batch; what Lightning takes for a data loader.

    A batch is a slice of a permutation and one gather of tensors: there are no worker processes and
    nothing is done row by row.

    Args:
        rows: the encoded rows.
        labels: int64 (all rows).
        chosen: positions of the rows to go through.
        batch_size: most rows in one batch. The batches of a pass are about equally large, so that
            none is so small that its statistics are worthless.
        seed: of the order, a new one in every pass; None keeps the order.
        weights: float (chosen), how often each row is drawn, with replacement; default: each once.
    """

    def __init__(
        self,
        rows: Rows,
        labels: Tensor,
        chosen: np.ndarray,
        batch_size: int,
        seed: int | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        self._rows = rows
        self._labels = labels
        self._chosen = torch.from_numpy(chosen)
        self._count = -(-len(chosen) // batch_size)
        self._seed = seed
        self._weights = None if weights is None else torch.from_numpy(weights)
        self._passes = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Batch]:
        self._passes += 1
        return self.of_pass(self._passes - 1)

    def of_pass(self, number: int, first: int = 0) -> Iterator[Batch]:
        """The batches of one pass, whatever passes there were before.

        Args:
            number: of the pass, from 0.
            first: number of the batch to begin with.
        """
        order = self._order(number).to(self._labels.device)
        for places in order.tensor_split(self._count)[first:]:
            yield self._rows.take(places), self._labels[places]

    def _order(self, number: int) -> Tensor:
        if self._seed is None:
            return self._chosen
        random = torch.Generator().manual_seed(self._seed * _PASSES + number)
        if self._weights is not None:
            drawn = torch.multinomial(self._weights, len(self._chosen), replacement=True, generator=random)
            return self._chosen[drawn]
        return self._chosen[torch.randperm(len(self._chosen), generator=random)]
