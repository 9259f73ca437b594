"""Percentiles from counts in bins, against those of the latencies themselves."""

import math

import numpy as np
import pytest

from modelship_lab.records.serving import LATENCY_BOUNDS_MS
from modelship_lab.server.monitoring.latency import BINS, percentile


def counted(latencies_ms: np.ndarray) -> np.ndarray:
    bins = np.searchsorted(LATENCY_BOUNDS_MS, latencies_ms, side="left")
    return np.bincount(bins, minlength=BINS)[None]


@pytest.mark.parametrize("percent", [50, 95, 99])
@pytest.mark.parametrize("median_ms", [0.3, 5.0, 800.0])
def test_a_percentile_is_off_by_less_than_a_bin(percent: int, median_ms: float) -> None:
    latencies = np.random.default_rng(0).lognormal(math.log(median_ms), 0.8, 20_000)
    (found,) = percentile(counted(latencies), percent)
    assert found == pytest.approx(np.percentile(latencies, percent), rel=0.05)


def test_edges() -> None:
    assert math.isnan(percentile(np.zeros((1, BINS), np.int64), 50)[0])
    # All in one bin: between its bounds.
    (one,) = percentile(counted(np.array([3.0])), 99)
    assert 2.5 < one < 3.5
    # Beyond the last bound nothing more is known.
    (late,) = percentile(counted(np.array([1e6])), 50)
    assert late == LATENCY_BOUNDS_MS[-1]
    (quick,) = percentile(counted(np.array([0.01])), 50)
    assert 0 < quick <= 0.1
    both = percentile(np.concatenate([counted(np.full(9, 1.0)), counted(np.full(9, 100.0))]), 50)
    assert both[1] > 50 * both[0]
