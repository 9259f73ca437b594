"""Where samples lie among each other: 64 numbers for each, and a place on a map."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
from scipy import sparse
from sklearn.decomposition import PCA, TruncatedSVD

from modelship_lab.learning.jobs.features import Features, features_of
from modelship_lab.records.errors import Conflict

SIZE = 64
BATCH = 5_000
MOST_SEEN = 20_000
"""Samples by which the directions are found in which samples differ most."""

MOST_READ = 1_000
"""Of these by a sentence encoder, which reads about a hundred a second."""

EMBEDDINGS = pa.schema(
    [("sample_id", pa.int64()), ("vector", pa.list_(pa.float32())), ("x", pa.float32()), ("y", pa.float32())]
)


def run(folder: Path, tell: Callable[[float, str], None]) -> None:
    """Embed the samples in `samples.arrow` and write them to `embeddings.arrow`.

    Raises:
        Conflict: there are too few samples.
    """
    job = orjson.loads((folder / "job.json").read_bytes())
    with pa.memory_map(str(folder / "samples.arrow")) as source:
        samples = pa.ipc.open_file(source).read_all()
        if samples.num_rows < 3:
            raise Conflict("There are too few samples to say where they lie among each other.")
        tell(0.0, f"looking at {samples.num_rows:,} samples")
        chosen = np.sort(np.random.default_rng(job["seed"]).permutation(samples.num_rows)[:MOST_SEEN])
        seen = samples["content"].take(pa.array(chosen)).to_pylist()
        encoder: Hashed | Sentences = (
            Sentences()
            if job["encoder"] == "minilm"
            else Hashed(features_of(job["content"], Path(job["blobs"])))
        )
        first = encoder.fit(seen, job["seed"])
        flat = PCA(2, random_state=job["seed"]).fit(first)
        tell(0.2, "finding where they lie")
        with (
            pa.OSFile(str(folder / "embeddings.arrow"), "wb") as sink,
            pa.ipc.new_file(sink, EMBEDDINGS) as writer,
        ):
            for start in range(0, samples.num_rows, BATCH):
                part = samples.slice(start, BATCH)
                vectors = encoder.vectors(part["content"].to_pylist())
                places = flat.transform(vectors).astype(np.float32)
                writer.write_table(_table(part["sample_id"], vectors, places))
                done = start + part.num_rows
                tell(0.2 + 0.8 * done / samples.num_rows, f"{done:,} of {samples.num_rows:,} samples")
    (folder / "result.json").write_bytes(
        orjson.dumps({"samples": samples.num_rows, "encoder": job["encoder"]})
    )


class Sentences:
    """A sentence encoder's vectors; it has learned from other texts."""

    def __init__(self) -> None:
        # Loads torch, which counting words does not need.
        from modelship_lab.learning.sentence_encoder import SentenceEncoder

        self._encoder = SentenceEncoder()

    def fit(self, contents: list[str], seed: int) -> np.ndarray:
        """The vectors of some samples, by which the map is drawn."""
        return self.vectors(contents[:MOST_READ])

    def vectors(self, contents: list[str]) -> np.ndarray:
        """One row of length 1 for each sample."""
        return self._encoder.vectors(contents)


class Hashed:
    """Counted words, pixels or fields, brought to the directions in which samples differ most.

    Latent semantic analysis: Deerwester et al., "Indexing by Latent Semantic Analysis" (1990).
    """

    def __init__(self, features: Features) -> None:
        self._features = features
        self._columns = np.zeros(0, np.int64)
        self._reduce: TruncatedSVD | None = None

    def fit(self, contents: list[str], seed: int) -> np.ndarray:
        """Look at some samples; returns their vectors."""
        self._features.fit(contents)
        parts = [
            self._features.rows(contents[start : start + BATCH]) for start in range(0, len(contents), BATCH)
        ]
        rows = sparse.vstack(parts, format="csr")
        # A word that occurs once tells nothing about how samples lie among each other.
        self._columns = np.flatnonzero(rows.getnnz(0) > 1)
        if len(self._columns) == 0:
            raise Conflict("The samples have nothing in common by which they could be compared.")
        kept = rows[:, self._columns]
        size = min(SIZE, kept.shape[1] - 1)
        if size >= 2:
            self._reduce = TruncatedSVD(size, n_iter=2, random_state=seed).fit(kept)
        return self._shortened(kept)

    def vectors(self, contents: list[str]) -> np.ndarray:
        """One row of length 1 for each sample."""
        return self._shortened(self._features.rows(contents)[:, self._columns])

    def _shortened(self, rows: sparse.csr_matrix) -> np.ndarray:
        dense = rows.toarray() if self._reduce is None else self._reduce.transform(rows)
        length = np.linalg.norm(dense, axis=1, keepdims=True)
        vectors = np.zeros((len(dense), max(2, dense.shape[1])), np.float32)
        vectors[:, : dense.shape[1]] = dense / np.maximum(length, 1e-9)
        return vectors


def _table(sample_ids: pa.ChunkedArray, vectors: np.ndarray, places: np.ndarray) -> pa.Table:
    offsets = pa.array(np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1])
    lists = pa.ListArray.from_arrays(offsets, pa.array(vectors.reshape(-1)))
    columns = [sample_ids, lists, pa.array(places[:, 0]), pa.array(places[:, 1])]
    return pa.Table.from_arrays(columns, names=EMBEDDINGS.names).cast(EMBEDDINGS)
