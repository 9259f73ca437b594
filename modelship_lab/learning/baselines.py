"""What simpler models reach on the same rows: always the same answer, and the classics of scikit-learn."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn import metrics
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier

from modelship_lab.learning.objectives import Number, Objective, OneClass
from modelship_lab.learning.rows import Rows
from modelship_lab.learning.samples import Samples
from modelship_lab.learning.split import Split
from modelship_lab.records.base import medium_of
from modelship_lab.records.evaluation import Baseline

__all__ = ["baselines", "figures_of_numbers"]

MOST_ROWS = 5_000
"""Training rows that a baseline gets at most, so that it takes seconds."""
MOST_CHARACTERS = 2_000
"""Of a text."""
MOST_FEATURES = 50_000


def baselines(
    objective: Objective, samples: Samples, rows: Rows, targets: np.ndarray, split: Split, seed: int
) -> list[Baseline]:
    """Train and test them: the usual answer, and the classic one for the kind of samples; images have none.

    Args:
        objective: what is predicted.
        samples: of the snapshot.
        rows: the same, encoded.
        targets: of all rows.
        split: which rows train and test.
        seed: of the choice of training rows where there are too many.
    """
    random = np.random.default_rng(seed)
    train = split.train
    if len(train) > MOST_ROWS:
        train = np.sort(random.choice(train, MOST_ROWS, replace=False))
    known, wanted = targets[train], targets[split.test]
    found = _usual(objective, targets[split.train], wanted)
    started_s = time.perf_counter()
    if len(np.unique(known, axis=0)) < 2:
        return found
    medium = medium_of(samples.task)
    if medium == "text":
        name = "TF-IDF and " + (
            "ridge regression" if isinstance(objective, Number) else "logistic regression"
        )
        answers = _of_texts(objective, samples, train, known, split.test)
    elif medium == "table":
        name = "gradient boosting"
        answers = _of_tables(objective, rows, train, known, split.test, seed)
    else:
        return found
    seconds = time.perf_counter() - started_s
    return [*found, _judged(objective, name, answers, wanted, len(train), seconds)]


def _usual(objective: Objective, known: np.ndarray, wanted: np.ndarray) -> list[Baseline]:
    answers: dict[str, Any]
    if isinstance(objective, OneClass):
        answers = {"always the commonest class": np.bincount(known).argmax()}
    elif isinstance(objective, Number):
        # The one has the least absolute error of all constants, the other the least squared one.
        answers = {"always the median": np.median(known), "always the mean": known.mean()}
    else:
        answers = {"always the usual classes": (known.mean(0) > 0.5).astype(known.dtype)}
    return [
        _judged(objective, name, np.broadcast_to(answer, wanted.shape), wanted, len(known), 0.0)
        for name, answer in answers.items()
    ]


def _of_texts(
    objective: Objective, samples: Samples, train: np.ndarray, known: np.ndarray, test: np.ndarray
) -> np.ndarray:
    vectors = TfidfVectorizer(
        ngram_range=(1, 2),
        sublinear_tf=True,
        max_features=MOST_FEATURES,
        token_pattern=r"(?u)\S+",  # noqa: S106
    )
    fitted = vectors.fit_transform(_beginnings(samples, train))
    model: Any
    if isinstance(objective, Number):
        model = Ridge()
    else:
        model = LogisticRegression(max_iter=200)
        if not isinstance(objective, OneClass):
            model = OneVsRestClassifier(model)
    with _quiet():
        model.fit(fitted, known)
    return np.asarray(model.predict(vectors.transform(_beginnings(samples, test))))


def _beginnings(samples: Samples, rows: np.ndarray) -> Iterator[str]:
    for _, chunk in samples.taken(rows).chunks(lambda: None):
        for text in chunk.texts():
            yield text[:MOST_CHARACTERS]


def _of_tables(
    objective: Objective, rows: Rows, train: np.ndarray, known: np.ndarray, test: np.ndarray, seed: int
) -> np.ndarray:
    columns = [column.cpu().numpy() for column in rows.inputs.values()]  # type: ignore[union-attr]
    table = np.concatenate([column.reshape(len(column), -1) for column in columns], 1).astype(float)
    model: Any
    if isinstance(objective, Number):
        model = HistGradientBoostingRegressor(random_state=seed)
    else:
        model = HistGradientBoostingClassifier(random_state=seed)
        if not isinstance(objective, OneClass):
            model = OneVsRestClassifier(model)
    with _quiet():
        model.fit(table[train], known)
    return np.asarray(model.predict(table[test]))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what scikit-learn says of solvers that end early, and of a class that all rows or none have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="Label .* is present in all|Label not .* is present")
        yield


def _judged(
    objective: Objective, name: str, answers: np.ndarray, wanted: np.ndarray, rows: int, seconds: float
) -> Baseline:
    figures: dict[str, float | None] = {"accuracy": None, "macro_f1": None, "mae": None}
    if isinstance(objective, Number):
        figures |= figures_of_numbers(answers, wanted)
    else:
        right = answers == wanted
        present = np.unique(wanted) if wanted.ndim == 1 else None
        figures["accuracy"] = float((right if right.ndim == 1 else right.all(1)).mean())
        figures["macro_f1"] = float(
            metrics.f1_score(wanted, answers, labels=present, average="macro", zero_division=0)
        )
    return Baseline(name=name, train_rows=rows, seconds=seconds, **figures)


def figures_of_numbers(predicted: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """How far predicted numbers are off: `mae`, `rmse`, and `r2`, the share of the variance that is explained."""
    squared = float(((predicted - actual) ** 2).mean())
    spread = float(actual.var())
    return {
        "mae": float(np.abs(predicted - actual).mean()),
        "rmse": squared**0.5,
        "r2": 1 - squared / spread if spread else 0.0,
    }
