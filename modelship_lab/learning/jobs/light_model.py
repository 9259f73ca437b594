"""The light model: logistic regression on hashed words, fields or small pictures, fast enough to learn while people label."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedKFold

from modelship_lab.bundles.certainty import certainty, certainty_of_sets
from modelship_lab.bundles.reading import Reading
from modelship_lab.learning.jobs.features import Content, features_of
from modelship_lab.records.errors import Conflict

BATCH = 5_000
"""Samples that are looked at together; what bounds the memory."""
MOST_SEEN = 20_000
"""Samples by which words are weighed."""
FOLDS = 5
MANY = 5_000
"""With more labels than this there are fewer folds: the time for each is longer, and the last few labels matter less."""
FOLDS_OF_MANY = 3

Tell = Callable[[float, str], None]


def run(folder: Path, tell: Tell) -> None:
    """Learn from the labeled samples in `samples.arrow`, and write what is suggested to `suggestions.arrow`.

    The labeled ones get predictions of models that have not seen them (k-fold cross-validation), so that
    thresholds can be chosen by them.

    Raises:
        Conflict: there are too few labels.
    """
    job = orjson.loads((folder / "job.json").read_bytes())
    with pa.memory_map(str(folder / "samples.arrow")) as source:
        samples = pa.ipc.open_file(source).read_all()
        labeled = samples.filter(samples["classes"].is_valid())
        open_ones = samples.filter(samples["classes"].is_null())
        features = features_of(job["content"], Path(job["blobs"]))
        tell(0.0, f"looking at {samples.num_rows:,} samples")
        texts = labeled["content"].to_pylist()
        features.fit(texts + open_ones["content"].slice(0, max(0, MOST_SEEN - len(texts))).to_pylist())
        answers = Answers(labeled["classes"].to_pylist(), job["classes"], job["kind"] == "labels")
        rows = sparse.vstack([features.rows(part) for part in _parts(texts)], format="csr")
        tell(0.05, f"learning from {len(texts):,} labels")
        strength = strength_of(job["content"])
        held_out = answers.held_out(rows, strength, job["seed"])
        accuracy = answers.accuracy(held_out)
        model = _Model(rows, answers.known, strength, answers.is_multilabel)
        what = f"{open_ones.num_rows:,} undecided samples"
        if job["undecided"] > open_ones.num_rows:
            what = f"a random {open_ones.num_rows:,} of {job['undecided']:,} undecided samples"
        with (
            pa.OSFile(str(folder / "suggestions.arrow"), "wb") as sink,
            pa.ipc.new_file(sink, SUGGESTIONS) as writer,
        ):
            writer.write_table(answers.suggestions(labeled["sample_id"], held_out))
            for start in range(0, open_ones.num_rows, BATCH):
                part = open_ones.slice(start, BATCH)
                predicted = model.probabilities(features.rows(part["content"].to_pylist()))
                writer.write_table(answers.suggestions(part["sample_id"], predicted))
                done = start + part.num_rows
                tell(0.2 + 0.8 * done / open_ones.num_rows, f"suggesting: {done:,} of {what}")
    result = {"labels": len(texts), "suggestions": samples.num_rows, "accuracy": accuracy}
    (folder / "result.json").write_bytes(orjson.dumps(result))


def strength_of(content: Content) -> float:
    """How far the model follows single samples, as scikit-learn's `C`."""
    return 10.0 if content == "text" else 1.0


SUGGESTIONS = pa.schema(
    [
        ("sample_id", pa.int64()),
        ("label", pa.string()),
        ("content", pa.string()),
        ("confidence", pa.float64()),
        ("uncertainty", pa.float64()),
        ("margin", pa.float64()),
        ("entropy", pa.float64()),
    ]
)


class Answers:
    """What people said, as numbers, and what a model says, as suggestions.

    Args:
        given: the classes of each labeled sample.
        classes: all of the project.
        is_multilabel: whether any number of them may apply.

    Raises:
        Conflict: everything that was said is the same.
    """

    def __init__(self, given: Sequence[Sequence[str]], classes: Sequence[str], is_multilabel: bool) -> None:
        self.is_multilabel = is_multilabel
        self._classes = np.array(classes, object)
        place = {name: number for number, name in enumerate(classes)}
        table = np.zeros((len(given), len(classes)), bool)
        for row, names in enumerate(given):
            table[row, [place[name] for name in names]] = True
        if is_multilabel:
            # Of a class that applies always or never nothing can be learned.
            self._learned = np.flatnonzero(table.any(0) & ~table.all(0))
            self._constant = table.all(0).astype(np.float64) if len(given) else np.zeros(len(classes))
            self.known = table[:, self._learned].astype(np.int64)
        else:
            self._learned, self.known = np.unique(table.argmax(1), return_inverse=True)
        if len(self._learned) < (1 if is_multilabel else 2):
            raise Conflict(
                "There is nothing to learn yet: all labels are the same. Label some of another class."
            )

    @property
    def learned_classes(self) -> np.ndarray:
        """Names of the classes that the columns of predictions stand for."""
        names: np.ndarray = self._classes[self._learned]
        return names

    def held_out(self, rows: sparse.csr_matrix, strength: float, seed: int) -> np.ndarray:
        """Probabilities of each labeled sample by a model that has not seen it."""
        folds = FOLDS if rows.shape[0] <= MANY else FOLDS_OF_MANY
        folds = min(folds, rows.shape[0])
        plain = self.is_multilabel or np.bincount(self.known).min() < folds
        splitter = (KFold if plain else StratifiedKFold)(folds, shuffle=True, random_state=seed)
        result = np.zeros((rows.shape[0], len(self._learned)))
        for learned, tested in splitter.split(rows, None if plain else self.known):
            model = _Model(rows[learned], self.known[learned], strength, self.is_multilabel)
            result[np.ix_(tested, model.places)] = model.probabilities(rows[tested])
        return result

    def accuracy(self, predicted: np.ndarray) -> float:
        """Share of labeled samples of which all is predicted as people said."""
        if self.is_multilabel:
            return float(((predicted >= 0.5) == self.known).all(1).mean())
        return float((predicted.argmax(1) == self.known).mean())

    def suggestions(self, sample_ids: pa.ChunkedArray, predicted: np.ndarray) -> pa.Table:
        """Rows of `SUGGESTIONS`."""
        predicted = np.clip(predicted, 0.0, 1.0)
        if self.is_multilabel:
            probabilities = np.tile(self._constant, (len(predicted), 1))
            probabilities[:, self._learned] = predicted
            columns = _of_sets(probabilities, self._classes)
        else:
            columns = _of_classes(predicted, self._classes[self._learned])
        return pa.table({"sample_id": sample_ids, **columns}).select(SUGGESTIONS.names).cast(SUGGESTIONS)


def _of_classes(probabilities: np.ndarray, classes: np.ndarray) -> dict[str, Any]:
    return {
        "label": pa.array(classes[probabilities.argmax(1)], pa.string()),
        "content": pa.nulls(len(probabilities), pa.string()),
        **certainty(probabilities),
    }


def _of_sets(probabilities: np.ndarray, classes: np.ndarray) -> dict[str, Any]:
    reading = Reading("labels", tuple(classes))
    names = map(sorted, reading.said(probabilities))
    return {
        "label": pa.nulls(len(probabilities), pa.string()),
        "content": pa.array([orjson.dumps({"labels": one}).decode() for one in names], pa.string()),
        **certainty_of_sets(probabilities, reading.applying(probabilities)),
    }


class _Model:
    """Logistic regression, one against the rest where any number of classes may apply.

    Only columns that occur in the learned rows are kept: of a quarter of a million hashed words a few
    hundred labeled texts have some thousand, and learning takes as much less time.
    """

    def __init__(
        self, rows: sparse.csr_matrix, known: np.ndarray, strength: float, is_multilabel: bool
    ) -> None:
        self._columns = np.flatnonzero(rows.getnnz(0))
        kept = rows[:, self._columns]
        tasks = known.T if is_multilabel else [known]
        self._models = [_fitted(kept, task, strength) for task in tasks]
        self._is_multilabel = is_multilabel
        self.places = np.arange(known.shape[1]) if is_multilabel else np.unique(known)
        """Which classes the columns of `probabilities` are."""

    def probabilities(self, rows: sparse.csr_matrix) -> np.ndarray:
        kept = rows[:, self._columns]
        if self._is_multilabel:
            return np.column_stack([_second(model, kept) for model in self._models])
        (model,) = self._models
        if isinstance(model, int):
            return np.ones((kept.shape[0], 1))
        probabilities: np.ndarray = model.predict_proba(kept)
        return probabilities


def _fitted(rows: sparse.csr_matrix, known: np.ndarray, strength: float) -> LogisticRegression | int:
    """The model, or the one answer that there is."""
    if len(answers := np.unique(known)) == 1:
        return int(answers[0])
    return LogisticRegression(C=strength, max_iter=200).fit(rows, known)


def _second(model: LogisticRegression | int, rows: sparse.csr_matrix) -> np.ndarray:
    if isinstance(model, int):
        return np.full(rows.shape[0], float(model))
    return np.asarray(model.predict_proba(rows)[:, 1])


def _parts(contents: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(contents), BATCH):
        yield contents[start : start + BATCH]
