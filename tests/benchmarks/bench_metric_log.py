"""How long `run.log()` takes in a training loop, and how many points a second are durably stored.

The peer in the same run is the physical limit of a queue: appending to a `collections.deque`.

Run as `python -m tests.benchmarks.bench_metric_log [--points 1000000]`; prints one JSON line.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

from modelship_lab import client


def percentiles(log: Callable[[int], None], calls: int, work_us: float) -> dict[str, float]:
    """Microseconds of one call, at a pace of one call each `work_us` of other work."""
    times = np.empty(calls)
    for call in range(calls):
        until = time.perf_counter() + work_us / 1e6
        while time.perf_counter() < until:
            pass
        start = time.perf_counter_ns()
        log(call)
        times[call] = time.perf_counter_ns() - start
    return {
        "p50_us": round(float(np.percentile(times, 50)) / 1e3, 2),
        "p99_us": round(float(np.percentile(times, 99)) / 1e3, 2),
        "max_us": round(float(times.max()) / 1e3, 1),
    }


def stored_per_second(lab: client.Lab, points: int, metrics_a_call: int) -> dict[str, float]:
    """Log as fast as it goes, and count until the server has acknowledged the last point."""
    values = {f"metric_{number}": float(number) for number in range(metrics_a_call)}
    calls = points // metrics_a_call
    run = lab.start_run(f"bench {metrics_a_call} a call")
    start = time.perf_counter()
    for step in range(calls):
        run.log(values, step)
    logged = time.perf_counter()
    acknowledged = run.flush(120)
    stored = time.perf_counter()
    run.finish()
    count = len(run.metrics_frame())
    if not acknowledged or count != calls * metrics_a_call:
        raise SystemExit(f"stored {count} of {calls * metrics_a_call} points")
    return {
        "points_per_s": round(points / (stored - start)),
        "log_only_points_per_s": round(points / (logged - start)),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=20_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLSHIP_HOME"] = folder
        server = subprocess.Popen(
            [sys.executable, "-m", "modelship_lab.server", "--port", "0", "--data-dir", folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 30
            while not (Path(folder) / "server.json").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            lab = client.connect(start=False)
            print(json.dumps(measure(lab, arguments.points, arguments.calls)))
        finally:
            server.terminate()
            server.wait(20)


def measure(lab: client.Lab, points: int, calls: int) -> dict[str, object]:
    queue: deque[tuple[int, dict[str, float]]] = deque()
    run = lab.start_run("bench of one call")
    one = {"loss": 0.5}
    ten = {f"metric_{number}": float(number) for number in range(10)}
    result: dict[str, object] = {
        "benchmark": "metric_log",
        "limit_deque_append": percentiles(lambda call: queue.append((call, dict(one))), calls, 50),
        "log_1_metric": percentiles(lambda call: run.log(one, call), calls, 50),
        "log_10_metrics": percentiles(lambda call: run.log(ten, call), calls, 50),
        "log_10_metrics_no_pause": percentiles(lambda call: run.log(ten, call), calls, 0),
    }
    run.finish()
    for metrics_a_call in (1, 10, 1000):
        result[f"stored_{metrics_a_call}_a_call"] = stored_per_second(lab, points, metrics_a_call)
    return result


if __name__ == "__main__":
    main()
