"""Percentiles of latencies that were counted in bins."""

import numpy as np
from numpy.typing import NDArray

from modelship_lab.records.serving import LATENCY_BOUNDS_MS

BINS = len(LATENCY_BOUNDS_MS) + 1

_LOWER = np.array([0.0, *LATENCY_BOUNDS_MS])
# Above the last bound nothing is known but the bound itself.
_UPPER = np.array([*LATENCY_BOUNDS_MS, LATENCY_BOUNDS_MS[-1]])


def percentile(histograms: NDArray[np.int64], percent: float) -> NDArray[np.float64]:
    """The latency below which `percent` of the requests were, interpolated inside its bin.

    Args:
        histograms: int64 (n, BINS), counts of latencies (see `LATENCY_BOUNDS_MS`).
        percent: 0 to 100.

    Returns:
        float64 (n,) in ms; NaN where nothing was counted. Off by less than a bin, which is 15 % wide.
    """
    cumulated = histograms.cumsum(axis=1)
    total = cumulated[:, -1]
    rank = total * (percent / 100.0)
    bin = np.minimum((cumulated < rank[:, None]).sum(axis=1), BINS - 1)
    row = np.arange(len(histograms))
    count = histograms[row, bin]
    inside = (rank - (cumulated[row, bin] - count)) / np.maximum(count, 1)
    value = _LOWER[bin] + np.clip(inside, 0.0, 1.0) * (_UPPER[bin] - _LOWER[bin])
    return np.where(total > 0, value, np.nan)
