"""Whether one run's model is better than another's, judged on the same held-out samples."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelship_lab.records.errors import NotFound

if TYPE_CHECKING:
    import pyarrow as pa

    from modelship_lab.client.recorded_run import RecordedRun

__all__ = ["Significance", "significance"]

FILE = "predictions.arrow"
RESAMPLES = 10_000
AT_ONCE = 2_000_000
"""Random numbers that are drawn at a time."""


@dataclass(frozen=True)
class Significance:
    """How two runs differ on the samples that were held out in both, by a paired bootstrap (Efron and Tibshirani, 1993)."""

    run: int
    other: int
    metric: str
    """`accuracy`, or `mae` where numbers are predicted."""
    rows: int
    """Samples that both were tested on, with the same answer expected."""
    only_run: int
    """Samples that only the first was tested on."""
    only_other: int
    changed: int
    """Samples that have another label in the one than in the other; they are left out."""
    score: float
    other_score: float
    difference: float
    """The other's score less the first one's."""
    low: float
    """Between `low` and `high` the difference lies with 95 % confidence."""
    high: float
    p_value: float
    """How probable so large a difference would be, were there none."""

    def __str__(self) -> str:
        said = (
            f"Run {self.other} less run {self.run} on {self.rows:,} held-out samples of both: {self.metric} "
            f"{self.difference:+.4f} (95 % between {self.low:+.4f} and {self.high:+.4f}), p = {self.p_value:.3f}"
        )
        differing = self.only_run + self.only_other + self.changed
        return f"{said}; {differing:,} samples were not the same and are left out" if differing else said


def significance(run: "RecordedRun", other: "RecordedRun") -> Significance | None:
    """Compare two runs; None if one has kept no predictions, or they share no held-out sample.

    Args:
        run: what the other is compared with.
        other: of the same kind of model.
    """
    import numpy as np

    try:
        one, two = _table(run), _table(other)
    except NotFound:
        return None
    if one.schema.field("actual").type != two.schema.field("actual").type:
        return None
    one, two = one.sort_by("sample_id"), two.sort_by("sample_id")
    ids, others = one["sample_id"].to_numpy(), two["sample_id"].to_numpy()
    _, here, there = np.intersect1d(ids, others, assume_unique=True, return_indices=True)
    one, two = one.take(here), two.take(there)
    actual, actual_two = one["actual"].to_pylist(), two["actual"].to_pylist()
    same = np.array([left == right for left, right in zip(actual, actual_two, strict=True)], bool)
    if not same.any():
        return None
    metric, scores, other_scores = _scores(one.filter(same), two.filter(same))
    differences = other_scores - scores
    drawn = _resampled(differences)
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Significance(
        run=run.id,
        other=other.id,
        metric=metric,
        rows=int(same.sum()),
        only_run=len(ids) - len(here),
        only_other=len(others) - len(there),
        changed=int((~same).sum()),
        score=float(scores.mean()),
        other_score=float(other_scores.mean()),
        difference=float(differences.mean()),
        low=float(low),
        high=float(high),
        p_value=float(min(1.0, 2 * (tail + 1) / (RESAMPLES + 1))),
    )


def _table(run: "RecordedRun") -> "pa.Table":
    import pyarrow as pa

    return pa.ipc.open_file(io.BytesIO(run.artifact(FILE))).read_all()


def _scores(one: "pa.Table", two: "pa.Table") -> tuple[str, Any, Any]:
    import numpy as np
    import pyarrow as pa

    if pa.types.is_floating(one.schema.field("actual").type):
        actual = one["actual"].to_numpy()
        errors = [np.abs(table["predicted"].to_numpy() - actual) for table in (one, two)]
        return "mae", errors[0], errors[1]
    right = []
    for table in (one, two):
        pairs = zip(table["actual"].to_pylist(), table["predicted"].to_pylist(), strict=True)
        right.append(np.array([actual == predicted for actual, predicted in pairs], float))
    return "accuracy", right[0], right[1]


def _resampled(differences: Any) -> Any:
    """The mean difference in each of many samples of as many rows, drawn with replacement."""
    import numpy as np

    random = np.random.default_rng(0)
    values, counts = np.unique(differences, return_counts=True)
    rows = len(differences)
    if len(values) <= 16:
        # Right or wrong: how often each value is drawn is all that matters.
        return random.multinomial(rows, counts / rows, RESAMPLES) @ values / rows
    each = max(1, AT_ONCE // rows)
    means = [
        differences[random.integers(0, rows, (min(each, RESAMPLES - start), rows))].mean(1)
        for start in range(0, RESAMPLES, each)
    ]
    return np.concatenate(means)
