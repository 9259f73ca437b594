"""Groups of held-out rows in which a model does worse than in all."""

import math
from collections.abc import Iterable, Iterator, Sequence
from statistics import NormalDist

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelship_lab.learning.objectives import Objective, OneClass, SeveralClasses
from modelship_lab.learning.samples import Samples
from modelship_lab.records.evaluation import Slice

__all__ = ["slices_of", "worst_slices"]

LEAST_ROWS = 8
"""Of fewer rows a score says nothing."""
MOST_SLICES = 10
MOST_FEATURES = 60
MOST_VALUES = 12
"""A column with more values than this is no category to slice by."""
QUARTERS = (0.25, 0.5, 0.75)
Z_95 = 1.96


def slices_of(
    samples: Samples, test: np.ndarray, train: np.ndarray, objective: Objective, targets: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    """Names of groups of the test rows, and which rows are in each, bool (test rows).

    They are by class, by the length of texts, by the quarters and the categories of a table's features, and
    whether the same content is among the training rows.

    Args:
        samples: all of the snapshot.
        test: positions of the test rows.
        train: positions of the training rows.
        objective: what was trained for.
        targets: of the test rows.
    """
    if isinstance(objective, OneClass):
        yield from ((f"class: {name}", targets == place) for place, name in enumerate(objective.classes))
    elif isinstance(objective, SeveralClasses):
        yield from ((f"class: {name}", targets[:, place] > 0) for place, name in enumerate(objective.classes))
        yield "class: none", targets.sum(1) == 0
    table = samples.table
    content = _content(samples, table)
    seen = pc.is_in(content.take(pa.array(test)), value_set=content.take(pa.array(train)).combine_chunks())
    yield "the same content is among the training rows", seen.to_numpy()
    chosen = table.take(pa.array(test))
    if "text" in table.column_names and not samples.features:
        yield from _quarters("length", pc.utf8_length(chosen["text"]).to_numpy().astype(float), " characters")
    for name in samples.features[:MOST_FEATURES]:
        yield from _by_feature(name, chosen[name])
    if "group" in table.column_names and "group" not in samples.features:
        yield from _by_value("group", chosen["group"])


def worst_slices(
    slices: Iterable[tuple[str, np.ndarray]], score: np.ndarray, is_error: bool = False
) -> tuple[Slice, ...]:
    """The slices in which the score is worse than in all rows, beyond what is to be expected by chance of so many.

    Args:
        slices: names, and which rows are in each, bool (rows).
        score: float (rows): 1 for what is right, or errors.
        is_error: whether a high score is a bad one.
    """
    whole = float(score.mean())
    scored = [(name, score[rows].astype(float)) for name, rows in slices]
    scored = [(name, there) for name, there in scored if LEAST_ROWS <= len(there) < len(score)]
    interval = _of_errors if is_error else _wilson
    # Bonferroni's correction: the more slices are looked at, the surer one must be.
    strict = NormalDist().inv_cdf(1 - 0.025 / max(1, len(scored)))
    found = []
    for name, there in scored:
        low, high = interval(there, strict)
        better_end = low - whole if is_error else whole - high
        if better_end > 0:
            low, high = interval(there, Z_95)
            one = Slice(name=name, rows=len(there), score=float(there.mean()), low=low, high=high)
            found.append((better_end, one))
    found.sort(key=lambda each: -each[0])
    return tuple(one for _, one in found[:MOST_SLICES])


def _wilson(right: np.ndarray, z: float) -> tuple[float, float]:
    """The interval of a share (Wilson, "Probable inference", 1927)."""
    share, rows = float(right.mean()), len(right)
    middle = share + z**2 / (2 * rows)
    reach = z * math.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    whole = 1 + z**2 / rows
    return max(0.0, (middle - reach) / whole), min(1.0, (middle + reach) / whole)


def _of_errors(errors: np.ndarray, z: float) -> tuple[float, float]:
    mean, reach = float(errors.mean()), z * float(errors.std(ddof=1)) / math.sqrt(len(errors))
    return max(0.0, mean - reach), mean + reach


def _content(samples: Samples, table: pa.Table) -> pa.ChunkedArray:
    """Of each row what it is, as a text."""
    if samples.features:
        columns = [pc.fill_null(table[name].cast(pa.string()), "") for name in samples.features]
        return pc.binary_join_element_wise(*columns, "\x1f")
    if "image" in table.column_names:
        return table["image"]
    return pc.utf8_lower(pc.utf8_trim_whitespace(table["text"]))


def _by_feature(name: str, column: pa.ChunkedArray) -> Iterator[tuple[str, np.ndarray]]:
    missing = np.asarray(column.is_null().to_numpy())
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        missing |= np.isnan(values)
        yield from _quarters(name, values)
    else:
        yield from _by_value(name, column)
    yield f"{name}: missing", missing


def _by_value(name: str, column: pa.ChunkedArray) -> Iterator[tuple[str, np.ndarray]]:
    values: Sequence[object] = column.to_pylist()
    different = set(values) - {None}
    if len(different) <= MOST_VALUES:
        for value in sorted(different, key=str):
            yield f"{name}: {value}", np.array([each == value for each in values], bool)


def _quarters(name: str, values: np.ndarray, unit: str = "") -> Iterator[tuple[str, np.ndarray]]:
    there = values[~np.isnan(values)]
    if not len(there):
        return
    edges = np.unique(np.quantile(there, QUARTERS))
    parts = np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="right"))
    for part in range(len(edges) + 1):
        low = f"from {edges[part - 1]:.6g}" if part else ""
        high = f"below {edges[part]:.6g}" if part < len(edges) else ""
        yield f"{name}: {' '.join(filter(None, (low, high)))}{unit}", parts == part
