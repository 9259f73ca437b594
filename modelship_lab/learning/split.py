"""Which rows train, which choose the best epoch, and which test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modelship_lab.records.errors import InvalidData
from modelship_lab.records.labeling import SPLITS, Snapshot

__all__ = ["Split", "check_counts", "check_numbers", "check_trainable", "folds", "split_rows", "split_strata"]

LEAST_OF_A_CLASS = 3
"""Labels that a class needs to be in all three parts."""


LEAST_NUMBERS = 10

TRAIN, VALIDATION, TEST = range(3)

_PARTS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


@dataclass(frozen=True)
class Split:
    """Positions of rows, int64, each row in one part."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def check_trainable(snapshot: Snapshot) -> None:
    """Raise InvalidData, saying what to label, unless there is enough to train and test on."""
    if snapshot.kind == "number":
        check_numbers(snapshot.rows)
        return
    if snapshot.kind not in ("label", "labels"):
        raise InvalidData(
            f"Snapshot {snapshot.id} says {snapshot.kind} of each sample: there is no recipe for that. "
            "Train with your own LightningModule on `lab.snapshot(...).table()`."
        )
    counts = dict.fromkeys(snapshot.classes, 0) | snapshot.by_class
    check_counts(counts, least_classes=1 if snapshot.kind == "labels" else 2)


def split_rows(
    labels: np.ndarray,
    sample_ids: np.ndarray,
    classes: Sequence[str],
    held_out: tuple[float, float],
    seed: int,
    given: Sequence[str | None] = (),
) -> Split:
    """Split rows so that every part has about the same shares of the classes.

    A row's place follows from its sample id and the seed alone, so that a later snapshot with more
    labels keeps most samples where they were: runs stay comparable.

    Args:
        labels: int (rows), indexes into `classes`.
        sample_ids: int64 (rows).
        classes: names of the classes.
        held_out: shares for validation and for the test. A class with 3 labels or more has at
            least one in each part; one with fewer is only trained on.
        seed: other seeds give other splits.
        given: the split of each row if the snapshot says it: `train`, `validation` or `test`. Where no row is given
            for the test or the validation, rows are held out for it as without.

    Raises:
        InvalidData: fewer than two classes have enough labels, or a split has a name of another kind.
    """
    counts = np.bincount(labels, minlength=len(classes))
    check_counts(dict(zip(classes, counts.tolist(), strict=True)))
    return split_strata(labels, sample_ids, held_out, seed, given)


def split_strata(
    strata: np.ndarray,
    sample_ids: np.ndarray,
    held_out: tuple[float, float],
    seed: int,
    given: Sequence[str | None] = (),
) -> Split:
    """As `split_rows`, with about the same shares of what `strata` says of each row, int (rows) from 0."""
    order = _scattered(sample_ids, seed)
    places = _given(given, len(strata))
    free = places <= TRAIN
    parts: tuple[list[np.ndarray], ...] = tuple(
        [np.flatnonzero(places == part)] if part else [] for part in range(3)
    )
    shares = [
        0.0 if (places == part).any() else share
        for part, share in zip((VALIDATION, TEST), held_out, strict=True)
    ]
    for stratum in range(int(strata.max(initial=-1)) + 1):
        rows = np.flatnonzero((strata == stratum) & free)
        rows = rows[np.argsort(order[rows], kind="stable")]
        # Of rows that nobody has placed: what is given for a test says nothing about how many are held out for validation.
        most = max(0, (len(rows) - 1) // 2)
        held = [min(max(1, round(len(rows) * share)), most) if share else 0 for share in shares]
        ends = [len(rows) - sum(held), len(rows) - held[1]]
        for part, chosen in zip(parts, np.split(rows, ends), strict=True):
            part.append(chosen)
    train, validation, test = (np.sort(np.concatenate(part)) for part in parts)
    return Split(train, validation, test)


def folds(strata: np.ndarray, sample_ids: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The fold of each row from 0, int64 (rows), with about the same shares of what `strata` says in all of them."""
    order = _scattered(sample_ids, seed)
    found = np.zeros(len(strata), np.int64)
    first = 0
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        rows = rows[np.argsort(order[rows], kind="stable")]
        # Each goes on where the one before has ended, so that rare ones do not all lie in the first fold.
        found[rows] = (first + np.arange(len(rows))) % count
        first += len(rows)
    return found


def _given(names: Sequence[str | None], rows: int) -> np.ndarray:
    """The part of each row, int; rows that nobody has placed are trained on like those that are to be."""
    places = np.zeros(rows, np.int64)
    for row, name in enumerate(names):
        if name is not None:
            part = _PARTS.get(SPLITS.get(name.lower(), ""))
            if part is None:
                raise InvalidData(
                    f"The split '{name}' is none that training knows: train, validation and test."
                )
            places[row] = part
    return places


def check_counts(counts: Mapping[str, int], least_classes: int = 2) -> None:
    """Raise InvalidData, saying what to label, unless labels counted by class are enough.

    Args:
        counts: class to the samples that have it.
        least_classes: how many classes need enough of them; one is enough where a sample may have none.
    """
    total = sum(counts.values())
    if not total:
        raise InvalidData("There are no labels to train on. Label some samples first.")
    enough = [name for name, count in counts.items() if count >= LEAST_OF_A_CLASS]
    if len(enough) >= least_classes:
        return
    found = ", ".join(f"{name} {count}" for name, count in counts.items())
    needed = "each of two classes" if least_classes > 1 else "one class"
    raise InvalidData(
        f"Training needs at least {LEAST_OF_A_CLASS} labels in {needed}, but the {total} labels are: {found}. Label more samples of the rare classes, then train."
    )


def check_numbers(count: int) -> None:
    """Raise InvalidData, saying what to do, unless so many numbers are enough to train and test on."""
    if count < LEAST_NUMBERS:
        raise InvalidData(
            f"Training needs at least {LEAST_NUMBERS} samples with a number, but there are {count}. "
            "Give more of them their number, then train."
        )


def _scattered(ids: np.ndarray, seed: int) -> np.ndarray:
    """A random-looking number for each id: SplitMix64 (Steele et al., "Fast splittable generators", 2014)."""
    with np.errstate(over="ignore"):
        z = ids.astype(np.uint64) + np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
