"""How long a question over all points takes through `lab.sql`, beside DuckDB over the same Arrow table.

A lab server gets the points of ten runs; then `select name, max(value) from metrics group by name` is
asked. What `lab.sql` takes longer than raw DuckDB is the server's scan and the way of the two columns.

Run as `python -m tests.benchmarks.bench_sql [--points 1000000]`; prints one JSON line.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from modelship_lab import client
from tests.conftest import run_server

RUNS = 10
STATEMENT = "select name, max(value) from metrics group by name"
ARROW = "application/vnd.apache.arrow.stream"


def fill(lab: client.Lab, points: int) -> list[int]:
    """Store the points of ten runs, ten metrics each."""
    each = points // RUNS
    table = pa.table(
        {
            "name": pa.array([f"metric_{number % 10}" for number in range(each)]),
            "step": pa.array(np.arange(each) // 10),
            "time": pa.array(np.arange(each) * 1000, pa.timestamp("us", "UTC")),
            "value": pa.array(np.random.default_rng(0).normal(size=each)),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    body = sink.getvalue().to_pybytes()
    made = []
    for number in range(RUNS):
        with lab.start_run(f"bench-{number}") as run:
            lab.request("POST", f"runs/{run.id}/metrics", content=body, headers={"Content-Type": ARROW})
        made.append(run.id)
    return made


def median_ms(work: Callable[[], Any], times: int = 7) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - started))
    return round(statistics.median(taken), 1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=1_000_000)
    points = parser.parse_args().points
    with tempfile.TemporaryDirectory() as folder:
        server = run_server(Path(folder) / "lab")
        try:
            lab = client.connect(server.url, server.token, data_dir=Path(folder) / "client")
            runs = fill(lab, points)
            metrics = lab.sql("select * from metrics").to_arrow()
            assert metrics.num_rows == points // RUNS * RUNS
            raw = duckdb.connect()
            raw.register("metrics", metrics)
            one = f"select name, max(value) from metrics where run_id = {runs[3]} group by name"
            figures = {
                "points": metrics.num_rows,
                "sql_ms": median_ms(lambda: lab.sql(STATEMENT)),
                "raw_duckdb_ms": median_ms(lambda: raw.sql(STATEMENT).to_arrow_table()),
                "one_run_ms": median_ms(lambda: lab.sql(one)),
                "no_table_ms": median_ms(lambda: lab.sql("select 1")),
                "all_columns_ms": median_ms(lambda: lab.sql("select * from metrics"), 3),
            }
            lab.close()
        finally:
            server.stop()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
