"""Vectors of texts that an encoder has read before, on this machine's disk."""

import hashlib
import itertools
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from modelship_lab.client.discovery import default_data_dir
from modelship_lab.learning.rows import TokenLists

__all__ = ["Embeddings"]

MOST_BYTES = 4 << 30
"""Of all vectors on disk; of more, those that were written first are removed."""


class Embeddings:
    """The vectors of one encoder, found by the content of what it read.

    Every reading adds a file; files are never changed, so that several trainings may use the folder at a time.

    Args:
        encoder: names the encoder and everything on which its vectors depend but the tokens.
        size: numbers in a vector.
        folder: of the cache; default: with the lab's other caches.
    """

    def __init__(self, encoder: str, size: int, folder: Path | None = None) -> None:
        self._root = folder or default_data_dir() / "cache" / "embeddings"
        self._folder = self._root / hashlib.sha256(encoder.encode()).hexdigest()[:32]
        self._size = size

    def of(self, tokens: TokenLists, compute: Callable[[TokenLists], np.ndarray]) -> np.ndarray:
        """float32 (rows, size).

        Args:
            tokens: what the encoder reads.
            compute: gives the vectors of those that it has not read yet.
        """
        keys = _keys(tokens)
        vectors = np.empty((len(keys), self._size), np.float32)
        is_missing = np.ones(len(keys), bool)
        for file in sorted(self._folder.glob("*.npz")):
            try:
                with np.load(file, allow_pickle=False) as part:
                    known, found = part["keys"], part["vectors"]
            except (OSError, ValueError, KeyError, EOFError):
                # Removed by another training, or half of a file after a crash of the machine.
                continue
            if found.shape[1:] != (self._size,) or not len(known):
                continue
            places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
            is_known = is_missing & (known[places] == keys)
            vectors[is_known] = found[places[is_known]]
            is_missing &= ~is_known
        rows = np.flatnonzero(is_missing)
        # Equal texts are read once.
        first, inverse = np.unique(keys[rows], return_index=True, return_inverse=True)[1:]
        if len(rows):
            new = compute(_chosen(tokens, rows[first]))
            vectors[rows] = new[inverse]
            self._write(keys[rows[first]], new)
        return vectors

    def _write(self, keys: np.ndarray, vectors: np.ndarray) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        name = self._folder / uuid.uuid4().hex
        with name.with_suffix(".part").open("wb") as file:
            np.savez(file, keys=keys, vectors=vectors)
        name.with_suffix(".part").rename(name.with_suffix(".npz"))
        self._make_room()

    def _make_room(self) -> None:
        files = sorted(self._root.glob("*/*.npz"), key=lambda file: -file.stat().st_mtime)
        total = 0
        for file in files:
            total += file.stat().st_size
            if total > MOST_BYTES:
                file.unlink(missing_ok=True)


def _keys(tokens: TokenLists) -> np.ndarray:
    """16 bytes for each list of tokens: BLAKE2b of its ids."""
    ids = np.ascontiguousarray(tokens.ids.cpu().numpy(), np.int32).data.cast("B")
    ends = (tokens.offsets.cpu().numpy() * 4).tolist()
    digests = b"".join(
        hashlib.blake2b(ids[start:end], digest_size=16).digest() for start, end in itertools.pairwise(ends)
    )
    return np.frombuffer(digests, "S16")


def _chosen(tokens: TokenLists, rows: np.ndarray) -> TokenLists:
    starts, ends = tokens.offsets[:-1][torch.from_numpy(rows)], tokens.offsets[1:][torch.from_numpy(rows)]
    lengths = ends - starts
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    inner = torch.arange(int(offsets[-1]), device=offsets.device) - offsets[:-1].repeat_interleave(lengths)
    return TokenLists(tokens.ids[starts.repeat_interleave(lengths) + inner], offsets)
