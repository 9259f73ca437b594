"""Which rows a module of somebody's own is tested on, so that two runs are compared row by row."""

import hashlib
from collections import Counter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import SequentialSampler

__all__ = ["OwnRows"]

SAMPLE_IDS = "sample_ids"
"""The attribute by which the data set of the loader may name the samples that its rows are, in their order."""


class OwnRows:
    """Ids of the rows that a loader gives: those that its data set names; else numbers below 0 that follow from what a
    row holds, so that the same row has the same one in runs of the same data module.

    Args:
        loader: of batches.
    """

    def __init__(self, loader: Any) -> None:
        named = getattr(getattr(loader, "dataset", None), SAMPLE_IDS, None)
        # In another order than theirs nobody knows which row is whose.
        is_in_order = isinstance(getattr(loader, "sampler", None), SequentialSampler)
        self._named = None if named is None or not is_in_order else np.asarray(named, np.int64).ravel()
        self._found: list[int] = []
        self._seen: Counter[bytes] = Counter()

    def add(self, inputs: tuple[Tensor, ...], rows: int) -> None:
        """Take note of a batch."""
        if any(one.ndim == 0 or len(one) != rows for one in inputs):
            return
        parts = [
            one.detach().cpu().reshape(rows, -1).contiguous().view(torch.uint8).numpy() for one in inputs
        ]
        for row in range(rows):
            digest = hashlib.blake2b(digest_size=8)
            for part in parts:
                digest.update(part[row].tobytes())
            content = digest.digest()
            # Rows that hold the same are different ones all the same.
            digest.update(self._seen[content].to_bytes(8, "big"))
            self._seen[content] += 1
            self._found.append(-1 - (int.from_bytes(digest.digest(), "big") >> 1))

    def ids(self, rows: int) -> np.ndarray | None:
        """The ids of all rows, int64 (rows), none twice; None if the batches do not say which row is which."""
        found = self._named if self._named is not None else np.array(self._found, np.int64)
        return found if len(found) == rows and len(np.unique(found)) == rows else None
