"""Samples that are unlike what is labeled, and unlike each other.

Farthest-first traversal, the greedy solution of the k-centre problem: T. F. Gonzalez, "Clustering to minimize the
maximum intercluster distance", 1985; for what to label next: O. Sener and S. Savarese, "Active learning for
convolutional neural networks: a core-set approach", 2018.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from modelship_lab.server.storage.database import Cursor

CANDIDATES = 4096
"""Samples among which the farthest are looked for, at random: with more the answer is hardly another."""

CENTRES = 1024
"""Of what is decided already, the newest."""

CHOSEN = 256


def farthest_first(cursor: Cursor, project_id: int) -> list[tuple[int, str]]:
    """Samples that nobody has decided about, each the farthest from what is decided and from those before it.

    Returns:
        At most `CHOSEN` of them, each with its reason; none when there are no embeddings.
    """
    encoder = cursor.value(
        "SELECT encoder FROM embeddings WHERE project_id = ? GROUP BY encoder ORDER BY count(*) DESC, encoder LIMIT 1",
        project_id,
    )
    if encoder is None:
        return []
    candidates = cursor.column(
        "SELECT e.sample_id FROM embeddings e WHERE e.project_id = ? AND e.encoder = ? AND NOT EXISTS "
        "(SELECT 1 FROM sample_states st WHERE st.sample_id = e.sample_id AND st.project_id = ?) "
        f"ORDER BY hash(e.sample_id), e.sample_id LIMIT {CANDIDATES:d}",
        project_id,
        encoder,
        project_id,
    )
    decided = cursor.column(
        f"SELECT sample_id FROM sample_states WHERE project_id = ? ORDER BY updated_at DESC LIMIT {CENTRES:d}",
        project_id,
    )
    ids, vectors = _vectors(cursor, project_id, encoder, candidates)
    _, centres = _vectors(cursor, project_id, encoder, decided)
    if not len(ids):
        return []
    if len(centres):
        nearest = np.max(vectors @ centres.T, axis=1)
        reason = "unlike what is labeled"
    else:
        # The first one is the farthest from the middle.
        nearest = vectors @ vectors.mean(axis=0)
        reason = "unlike the others"
    chosen = []
    for _ in range(min(CHOSEN, len(ids))):
        farthest = int(np.argmin(nearest))
        chosen.append((int(ids[farthest]), reason))
        nearest = np.maximum(nearest, vectors @ vectors[farthest])
        nearest[farthest] = np.inf
    return chosen


def _vectors(
    cursor: Cursor, project_id: int, encoder: str, sample_ids: list[int]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The ids of samples that have an embedding, and those embeddings as rows of length 1."""
    found = cursor.table(
        "SELECT sample_id, vector FROM embeddings WHERE project_id = ? AND encoder = ? "
        "AND sample_id IN (SELECT unnest(?::BIGINT[])) ORDER BY hash(sample_id), sample_id",
        project_id,
        encoder,
        sample_ids,
    )
    if not found.num_rows:
        return np.empty(0, np.int64), np.empty((0, 0), np.float32)
    vectors = found["vector"].combine_chunks()
    flat = vectors.flatten().cast(pa.float32()).to_numpy(zero_copy_only=False)
    rows = flat.reshape(found.num_rows, -1)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return found["sample_id"].to_numpy(), rows / np.where(lengths > 0, lengths, 1)
