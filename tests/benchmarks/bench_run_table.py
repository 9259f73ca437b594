"""How long the first 100 of 10,000 runs take, filtered and sorted, with 20 and with 100 columns, over HTTP.

Half of the columns are parameters, half are metrics. The limit in the same run is DuckDB: the same values
as one wide table in memory. The peer, with --mlflow, is MLflow's own client on its SQLite file, without HTTP;
its runs are written straight into that file.

Run as `python -m tests.benchmarks.bench_run_table [--runs 10000] [--mlflow]`; prints one JSON line.
"""

import argparse
import json
import sqlite3
import subprocess
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import httpx
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tests.benchmarks.bench_metric_read import Server, milliseconds
from tests.environments import MLFLOW, python_with

AT_ONCE = 8
PARAMS = METRICS = 50
SHOWN = 100

Values = NDArray[np.float64]

SEARCH = """
import json, statistics, sys, time
from mlflow.tracking import MlflowClient
uri, filter_, order, times, script = sys.argv[1:]
client = MlflowClient(tracking_uri=uri)
if script:
    print(client.create_experiment("bench"), flush=True)
    sys.stdin.readline()
(experiment,) = [one.experiment_id for one in client.search_experiments() if one.name == "bench"]
taken = []
for _ in range(int(times)):
    start = time.perf_counter()
    found = client.search_runs([experiment], filter_, max_results=100, order_by=[order])
    taken.append((time.perf_counter() - start) * 1e3)
    assert len(found) == 100 and len(found[0].data.metrics) == 50
print(json.dumps({"median_ms": round(statistics.median(taken), 1), "best_ms": round(min(taken), 1)}))
"""


def fill(http: httpx.Client, params: Values, metrics: Values) -> float:
    """Make the runs; returns the seconds that it takes."""

    def make(number: int) -> None:
        given = {f"p{column}": value for column, value in enumerate(params[number].tolist())}
        run = http.post("runs", json={"name": f"run {number}", "params": given}).raise_for_status().json()
        points = [{"name": f"m{column}", "value": value} for column, value in enumerate(metrics[number])]
        http.post(f"runs/{run['id']}/metrics", json={"points": points}).raise_for_status()

    start = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(make, range(len(params))))
    return round(time.perf_counter() - start, 1)


def wanted(columns: int) -> dict[str, Any]:
    names = [f"{kind}{column}" for kind in ("params.p", "metrics.m") for column in range(columns // 2)]
    return {
        "filter": "params.p0 < 0.5 and metrics.m1 > 0.2",
        "sort": ["-metrics.m0"],
        "columns": names,
        "limit": SHOWN,
    }


def answered(http: httpx.Client, columns: int) -> dict[str, Any]:
    asked = wanted(columns)
    everything = {**asked, "filter": ""}
    answer = http.get("runs/table", params=asked).raise_for_status().json()
    assert len(answer["items"]) == SHOWN and len(answer["items"][0]["values"]) == columns
    return {
        "found": answer["total"],
        "table": milliseconds(lambda: http.get("runs/table", params=asked)),
        "unfiltered": milliseconds(lambda: http.get("runs/table", params=everything)),
    }


def limit(params: Values, metrics: Values, columns: int) -> dict[str, float]:
    """One wide table in DuckDB's memory."""
    arrays = {f"p{column}": params[:, column] for column in range(PARAMS)}
    arrays |= {f"m{column}": metrics[:, column] for column in range(METRICS)}
    names = ", ".join(f"{kind}{column}" for kind in "pm" for column in range(columns // 2))
    with duckdb.connect() as connection:
        connection.register("incoming", pa.table(arrays))
        connection.execute("CREATE TABLE wide AS SELECT * FROM incoming")
        sql = f"SELECT {names} FROM wide WHERE p0 < 0.5 AND m1 > 0.2 ORDER BY m0 DESC LIMIT {SHOWN}"
        return milliseconds(lambda: connection.sql(sql).fetchall())


def mlflow(folder: str, params: Values, metrics: Values) -> dict[str, float]:
    """MLflow's own client on its SQLite file, in its own process."""
    file = Path(folder) / "mlflow.db"
    # MLflow keeps parameters as texts, which it cannot compare as numbers.
    words = (f"sqlite:///{file}", "metrics.m0 < 0.5 and metrics.m1 > 0.2", "metrics.m0 DESC", "15", "fill")
    with subprocess.Popen(
        [python_with(MLFLOW), "-c", SEARCH, *words],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        write_mlflow(file, int(process.stdout.readline()), params, metrics)
        out, _ = process.communicate("\n", timeout=300)
    found: dict[str, float] = json.loads(out)
    return found


def write_mlflow(file: Path, experiment: int, params: Values, metrics: Values) -> None:
    ids = [uuid.uuid4().hex for _ in params]
    run = (
        "INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, lifecycle_stage, "
        "artifact_uri, experiment_id) VALUES (?, ?, 'LOCAL', 'bench', 'FINISHED', 1, 'active', ?, ?)"
    )
    latest = (
        "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, 1, 0, 0, ?)"
    )
    with sqlite3.connect(file) as database:
        database.executemany(run, ((one, f"run {at}", f"x/{one}", experiment) for at, one in enumerate(ids)))
        for sql, letter, values in (
            ("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", "p", params.astype(str).tolist()),
            (latest, "m", metrics.tolist()),
        ):
            rows = (
                (f"{letter}{at}", value, one)
                for one, given in zip(ids, values, strict=True)
                for at, value in enumerate(given)
            )
            database.executemany(sql, rows)
    database.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--mlflow", action="store_true", help="measure MLflow, too")
    options = parser.parse_args()
    params, metrics = np.random.default_rng(1).random((2, options.runs, PARAMS))
    result: dict[str, Any] = {"benchmark": "run_table", "runs": options.runs}
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        server.start()
        try:
            http = server.http()
            result["fill_s"] = fill(http, params, metrics)
            for columns in (20, PARAMS + METRICS):
                result[f"columns_{columns}"] = {
                    **answered(http, columns),
                    "limit_duckdb": limit(params, metrics, columns),
                }
            result["columns_of_runs"] = milliseconds(lambda: http.get("runs/columns"))
        finally:
            server.stop()
        if options.mlflow:
            result["mlflow_100_columns"] = mlflow(folder, params, metrics)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
