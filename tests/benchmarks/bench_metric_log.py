"""How long `run.log()` takes in a training loop, and how many points a second are durably stored.

The limits in the same run: appending to a `collections.deque` for a call, and Arrow batches inserted into a
DuckDB file for what is stored. The peer, with --trackio, is trackio in an environment of its own, which queues
in memory and writes to a local SQLite file.

Run as `python -m tests.benchmarks.bench_metric_log [--points 1000000] [--trackio]`; prints one JSON line.
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
from typing import Any

import numpy as np
import pyarrow as pa

from modelship_lab import client
from tests.benchmarks.bench_sockets import listening
from tests.environments import TRACKIO, python_with


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


def stored_per_second(
    lab: client.Lab, points: int, metrics_a_call: int, run: client.RunHandle | None = None
) -> dict[str, float]:
    """Log as fast as it goes, and count until the server has acknowledged the last point."""
    values = {f"metric_{number}": float(number) for number in range(metrics_a_call)}
    calls = points // metrics_a_call
    run = run or lab.start_run(f"bench {metrics_a_call} a call", system_metrics=False, source=False)
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


CLIENT = """
import sys
from modelship_lab import client
run = client.connect(start=False).start_run("one of several", system_metrics=False, source=False)
values = {f"metric_{number}": float(number) for number in range(10)}
run.log(values)
run.flush()
print(flush=True)
sys.stdin.readline()
for step in range(1, int(sys.argv[1])):
    run.log(values, step, context="train")
assert run.flush(120)
print(flush=True)
run.finish()
"""


def stored_by_clients(points: int, clients: int) -> dict[str, float]:
    """The same from several processes at once, ten metrics a call, until the last of them is acknowledged."""
    calls = points // 10 // clients
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(calls)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(clients)
    ]
    for process in started:
        process.stdout.readline()
    start = time.perf_counter()
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        process.stdout.readline()
    seconds = time.perf_counter() - start
    for process in started:
        process.communicate(timeout=60)
    return {"clients": clients, "points_per_s": round(calls * clients * 10 / seconds)}


def limit_of_duckdb(folder: Path, points: int) -> dict[str, float]:
    """Points inserted as Arrow batches of ten thousand into a file, with a commit each."""
    import duckdb

    batch = pa.table(
        {
            "name": pa.array(["metric"] * 10_000),
            "step": np.arange(10_000),
            "time": np.zeros(10_000, "datetime64[us]"),
            "value": np.ones(10_000),
        }
    )
    with duckdb.connect(folder / "limit.duckdb") as database:
        database.execute("CREATE TABLE metrics (name VARCHAR, step BIGINT, time TIMESTAMP, value DOUBLE)")
        start = time.perf_counter()
        for _ in range(points // len(batch)):
            database.register("batch", batch)
            database.execute("INSERT INTO metrics SELECT * FROM batch")
        return {"points_per_s": round(points / (time.perf_counter() - start))}


def stored_beside_sockets(lab: client.Lab, token: str, points: int, idle: int, deaf: int) -> dict[str, Any]:
    """Ten metrics a call, alone, and while others listen to something else or never read what they asked for."""
    run, quiet = (lab.start_run(name, system_metrics=False, source=False) for name in ("heard", "quiet"))
    live = f"{lab.url.replace('http', 'ws', 1)}mlship/live"
    about_quiet, about_run = (
        json.dumps({"op": "subscribe", "topics": [f"run:{one.id}"]}) for one in (quiet, run)
    )
    alone = stored_per_second(lab, points, 10)
    with listening(live, token, about_quiet, idle), listening(live, token, about_run, deaf, "deaf"):
        beside = stored_per_second(lab, points, 10, run)
    quiet.finish()
    return {"idle": idle, "never_read": deaf, "alone": alone, "beside": beside}


TRACKIO_CLIENT = """
import json, sys, time
import trackio
points = int(sys.argv[1])
values = {f"metric_{number}": float(number) for number in range(10)}
trackio.init(project="bench", embed=False)
start = time.perf_counter()
for _ in range(points // 10):
    trackio.log(values)
logged = time.perf_counter()
trackio.finish()
print(json.dumps([points / (time.perf_counter() - start), points / (logged - start)]))
"""


def stored_by_trackio(folder: Path, points: int) -> dict[str, float]:
    """What trackio does with ten metrics a call, until it has written the last."""
    told = subprocess.run(
        [python_with(TRACKIO), "-c", TRACKIO_CLIENT, str(points)],
        env={**os.environ, "TRACKIO_DIR": str(folder / "trackio"), "PYTHONPATH": ""},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    stored, logged = json.loads(told.splitlines()[-1])
    return {"points_per_s": round(stored), "log_only_points_per_s": round(logged)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--idle", type=int, default=1000, help="sockets that listen to something else")
    parser.add_argument("--deaf", type=int, default=50, help="sockets that never read")
    parser.add_argument("--trackio", action="store_true", help="measure trackio, too")
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
            result = measure(lab, arguments.points, arguments.calls)
            result["stored_10_a_call_by_4"] = stored_by_clients(arguments.points, 4)
            result["limit_duckdb_arrow"] = limit_of_duckdb(Path(folder), arguments.points)
            result["beside_sockets"] = stored_beside_sockets(
                lab,
                json.loads((Path(folder) / "server.json").read_text())["token"],
                arguments.points,
                arguments.idle,
                arguments.deaf,
            )
            if arguments.trackio:
                result["trackio_10_a_call"] = stored_by_trackio(Path(folder), arguments.points)
            print(json.dumps(result))
        finally:
            server.terminate()
            server.wait(20)


def measure(lab: client.Lab, points: int, calls: int) -> dict[str, Any]:
    queue: deque[tuple[int, dict[str, float]]] = deque()
    run = lab.start_run("bench of one call", system_metrics=False, source=False)
    one = {"loss": 0.5}
    ten = {f"metric_{number}": float(number) for number in range(10)}
    result: dict[str, Any] = {
        "benchmark": "metric_log",
        "limit_deque_append": percentiles(lambda call: queue.append((call, dict(one))), calls, 50),
        "log_1_metric": percentiles(lambda call: run.log(one, call), calls, 50),
        "log_10_metrics": percentiles(lambda call: run.log(ten, call), calls, 50),
        "log_10_metrics_in_context": percentiles(lambda call: run.log(ten, call, {"rank": "0"}), calls, 50),
        "log_10_metrics_no_pause": percentiles(lambda call: run.log(ten, call), calls, 0),
    }
    run.finish()
    for metrics_a_call in (1, 10, 1000):
        result[f"stored_{metrics_a_call}_a_call"] = stored_per_second(lab, points, metrics_a_call)
    return result


if __name__ == "__main__":
    main()
