"""What is in a table of labeled texts: repetitions, languages, leakage, labels that may be wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modelship_lab.client.near_duplicates import groups_of, near_texts
from modelship_lab.learning.split import LEAST_OF_A_CLASS

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Findings", "LabelError", "Leak", "look"]

ALIKE = 0.8
"""Part of their word triples that texts share which are nearly the same."""
MOST_COMPARED = 50_000
MOST_LEARNED = 20_000
MOST_TOLD = 20
MOST_OF_A_GROUP = 6
FOLDS = 5
_SEED = 42
_SURE = 0.5
_SPLIT = "split"
_TRAIN = frozenset({"train", "training"})


@dataclass(frozen=True)
class LabelError:
    """A label that a model contradicts which has not seen it."""

    row: int
    text: str
    label: str
    likely: str
    confidence: float
    """Of the model, in the given label."""


@dataclass(frozen=True)
class Leak:
    """A row of a part that is held out, and the row of the training part that is nearly the same."""

    row: int
    part: str
    training_row: int
    text: str


@dataclass(frozen=True)
class Findings:
    """What was found; rows are counted from 1."""

    words: np.ndarray
    """Of each text, int64 (rows)."""
    labels: list[str]
    duplicates: int
    near_duplicates: int
    groups: list[list[tuple[int, str, str]]]
    """The largest groups of texts that are (nearly) the same: row, label, text."""
    contradictions: list[list[tuple[int, str, str]]]
    """Texts that stand there with several classes."""
    parts: dict[str, int]
    """Rows of each part, if there are parts."""
    leaks: list[Leak]
    leaking: int | None
    crossing: float
    """Part of the test rows that would have a near copy in the training part if rows were split at random, 80 to 20."""
    languages: dict[str, int]
    language_method: str
    errors: list[LabelError]
    error_count: int | None
    error_method: str
    accuracy: float | None
    """Of the model that the labels were compared with, on rows that it has not seen."""
    longest: list[tuple[int, int, str]]
    """Row, words, text."""
    strange: list[tuple[int, str, str]]
    """Row, what is strange, text."""


def look(rows: "pl.DataFrame", split_column: str | None = None) -> Findings:
    """Look through rows with a `row`, a `text` and a `label`.

    Args:
        split_column: which part of the data a row belongs to. Default: the column `split`, if there is one.
    """
    import polars as pl

    column = split_column or (_SPLIT if _SPLIT in rows.columns else None)
    texts, labels, numbers = rows["text"].to_list(), rows["label"].to_list(), rows["row"].to_list()
    words = rows["text"].str.count_matches(r"\w+").to_numpy().astype(np.int64)
    some = rows["text"].head(MOST_COMPARED)
    exact = rows.filter(~pl.col("text").is_first_distinct()).height
    pairs, _ = near_texts(some, ALIKE)
    leaders = groups_of(len(some), pairs)
    together = [group for group in _groups(leaders) if len(group) > 1]
    near = sum(len(group) - len({texts[place] for place in group}) for group in together)
    repeated = sum(len(group) - 1 for group in together)
    parts = [str(part).strip().lower() for part in rows[column].to_list()] if column else []
    leaks, leaking = _leaks(together, parts, numbers, texts) if column else ([], None)
    torn = [
        group
        for group in _groups(_same(rows["text"]))
        if len(group) > 1 and len({labels[place] for place in group}) > 1
    ]

    def shown(groups: Sequence[Sequence[int]]) -> list[list[tuple[int, str, str]]]:
        largest = sorted(groups, key=lambda group: -len(group))[:MOST_TOLD]
        return [
            [(numbers[place], labels[place], texts[place]) for place in group[:MOST_OF_A_GROUP]]
            for group in largest
        ]

    languages, language_method = _languages(texts)
    errors, error_count, error_method, accuracy = _label_errors(numbers, texts, labels)
    order = np.argsort(-words, kind="stable")[:5]
    return Findings(
        words=words,
        labels=labels,
        duplicates=exact,
        near_duplicates=max(repeated - near, 0),
        groups=shown(together),
        contradictions=shown(torn),
        parts={} if not column else _counts(parts),
        leaks=leaks,
        leaking=leaking,
        crossing=_crossing(leaders),
        languages=languages,
        language_method=language_method,
        errors=errors,
        error_count=error_count,
        error_method=error_method,
        accuracy=accuracy,
        longest=[(numbers[place], int(words[place]), texts[place]) for place in order],
        strange=_strange(numbers, texts, words),
    )


def _groups(leaders: np.ndarray) -> list[list[int]]:
    """Positions that belong together, by what leads them."""
    order = np.argsort(leaders, kind="stable")
    starts = np.flatnonzero(np.diff(leaders[order], prepend=-1))
    return [part.tolist() for part in np.split(order, starts[1:])] if len(order) else []


def _same(texts: "pl.Series") -> np.ndarray:
    return np.asarray(texts.rank("dense").to_numpy(), np.int64)


def _counts(words: Sequence[str]) -> dict[str, int]:
    found, counts = np.unique(np.asarray(words, dtype=object).astype(str), return_counts=True)
    return dict(sorted(zip(found.tolist(), counts.tolist(), strict=True), key=lambda one: (-one[1], one[0])))


def _leaks(
    groups: Sequence[Sequence[int]], parts: Sequence[str], numbers: Sequence[int], texts: Sequence[str]
) -> tuple[list[Leak], int]:
    found = []
    for group in groups:
        trained = next((place for place in group if parts[place] in _TRAIN), None)
        if trained is not None:
            found += [
                Leak(numbers[place], parts[place], numbers[trained], texts[place])
                for place in group
                if parts[place] not in _TRAIN
            ]
    return found[:MOST_TOLD], len(found)


def _crossing(leaders: np.ndarray) -> float:
    """What a random split would do to groups that belong together."""
    if not len(leaders):
        return 0.0
    is_test = np.random.default_rng(_SEED).random(len(leaders)) < 0.2
    trained = np.unique(leaders[~is_test])
    return float(np.isin(leaders[is_test], trained).mean()) if is_test.any() else 0.0


def _languages(texts: Sequence[str]) -> tuple[dict[str, int], str]:
    try:
        from py3langid import classify
    except ImportError:
        return {}, 'Languages are told by py3langid: pip install "modelship-lab[quality]".'
    step = max(1, len(texts) // 5000)
    chosen = texts[::step]
    found = _counts([classify(text)[0] for text in chosen])
    told = "all texts" if step == 1 else f"every {step}th text"
    return found, f"Told by py3langid for {told}; of short texts it is often wrong."


def _label_errors(
    numbers: Sequence[int], texts: Sequence[str], labels: Sequence[str]
) -> tuple[list[LabelError], int | None, str, float | None]:
    """Labels that TF-IDF with logistic regression contradicts, each row by a model that has not seen it."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    counts = _counts(labels)
    known = {name for name, count in counts.items() if count >= max(LEAST_OF_A_CLASS, FOLDS)}
    places = [place for place, label in enumerate(labels) if label in known]
    if len(known) < 2:
        return [], None, f"They are looked for where at least two classes have {FOLDS} rows or more.", None
    places = places[:: max(1, len(places) // MOST_LEARNED)][:MOST_LEARNED]
    names = sorted(known)
    given = np.asarray([names.index(labels[place]) for place in places])
    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), max_features=50_000),
        LogisticRegression(C=10.0, max_iter=200),
    )
    try:
        held_out = cross_val_predict(
            model,
            [texts[place] for place in places],
            given,
            cv=StratifiedKFold(FOLDS, shuffle=True, random_state=_SEED),
            method="predict_proba",
        )
    except ValueError:
        # No text has a word in it.
        return [], None, "The texts have no words that could be compared.", None
    found, method = _issues(given, held_out)
    score = held_out[np.arange(len(given)), given]
    order = found[np.argsort(score[found], kind="stable")]
    errors = [
        LabelError(
            numbers[places[place]],
            texts[places[place]],
            names[given[place]],
            names[int(held_out[place].argmax())],
            float(score[place]),
        )
        for place in order[:MOST_TOLD]
    ]
    return errors, len(found), method, float((held_out.argmax(1) == given).mean())


def _issues(given: np.ndarray, held_out: np.ndarray) -> tuple[np.ndarray, str]:
    compared = f"Each label is compared with what TF-IDF and logistic regression say that have not seen it ({FOLDS} folds)"
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        # Without confident learning: another class is likelier than not, and the given one is unlikely.
        best = held_out.max(1)
        own = held_out[np.arange(len(given)), given]
        method = f"{compared}: found are those that it gives less than half the probability of another class."
        return np.flatnonzero((best > _SURE) & (own < best / 2)), method
    found = np.flatnonzero(find_label_issues(given, held_out, n_jobs=1))
    return found, f"{compared}, by confident learning (cleanlab)."


def _strange(numbers: Sequence[int], texts: Sequence[str], words: np.ndarray) -> list[tuple[int, str, str]]:
    found = []
    for number, text, count in zip(numbers, texts, words.tolist(), strict=True):
        reason = ""
        if "\ufffd" in text or "Ã" in text or "â€" in text:
            reason = "read with a wrong encoding"
        elif "<" in text and (text.count("</") + text.count("<br")) > 1:
            reason = "holds HTML"
        elif count == 0:
            reason = "has no word"
        if reason:
            found.append((number, reason, text))
            if len(found) == MOST_TOLD:
                break
    return found
