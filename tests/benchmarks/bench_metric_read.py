"""How fast metrics are taken in as Arrow batches, and how fast a chart of them is answered.

The limit in the same run is DuckDB alone: the same batches into a table of the same columns, and the
reduction of the same series by one query. Over HTTP, from another process than the server's.

Run as `python -m tests.benchmarks.bench_metric_read [--millions 10]`; prints one JSON line.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import httpx
import numpy as np
import pyarrow as pa

ARROW = "application/vnd.apache.arrow.stream"
BATCH = 100_000
SERIES = 10


def table(first_step: int, points: int, series: int = SERIES) -> pa.Table:
    """Points of `series` metrics that are logged in turn, from `first_step` on."""
    place = np.arange(points)
    steps = first_step + place // series
    names = pa.DictionaryArray.from_arrays(
        pa.array(place % series, pa.int32()), pa.array([f"metric_{number}" for number in range(series)])
    )
    return pa.table(
        {
            "name": names,
            "step": steps,
            "time": pa.array(1_795_272_601_000_000 + steps * 1000).cast(pa.timestamp("us", "UTC")),
            "value": np.sin(steps / 5000) + np.random.default_rng(first_step).normal(0, 0.1, points),
        }
    )


def stream(points: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, points.schema) as writer:
        writer.write_table(points)
    return bytes(sink.getvalue())


def milliseconds(call: Callable[[], Any], times: int = 15) -> dict[str, float]:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append((time.perf_counter() - start) * 1e3)
    return {"median_ms": round(statistics.median(taken), 1), "best_ms": round(min(taken), 1)}


class Server:
    """A lab server in a process of its own."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def start(self) -> float:
        """Start it; returns after how many seconds it answers."""
        began = time.perf_counter()
        (Path(self.folder) / "server.json").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "modelship_lab.server", "--port", "0", "--data-dir", self.folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while not (Path(self.folder) / "server.json").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.told = json.loads((Path(self.folder) / "server.json").read_text())
        self.http().get("runs").raise_for_status()
        return time.perf_counter() - began

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def http(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.told['token']}"}
        return httpx.Client(base_url=f"{self.told['url']}mlship/api/", headers=headers, timeout=120)

    def new_run(self, name: str) -> int:
        return int(self.http().post("runs", json={"name": name}).raise_for_status().json()["id"])


def send(http: httpx.Client, run: int, bodies: Iterator[bytes] | list[bytes]) -> None:
    for body in bodies:
        http.post(f"runs/{run}/metrics", content=body, headers={"Content-Type": ARROW}).raise_for_status()


def ingest(server: Server, clients: int, batches: int) -> int:
    """Points a second, from so many connections with a run each."""
    runs = [server.new_run(f"ingest {clients} {number}") for number in range(clients)]
    bodies = [stream(table(number * BATCH // SERIES, BATCH)) for number in range(batches)]
    https = [server.http() for _ in runs]
    with ThreadPoolExecutor(clients) as threads:
        start = time.perf_counter()
        list(threads.map(lambda pair: send(pair[0], pair[1], bodies), zip(https, runs, strict=True)))
        return round(clients * batches * BATCH / (time.perf_counter() - start))


def ingest_limit(folder: str, batches: int) -> int:
    connection = duckdb.connect(f"{folder}/limit.duckdb")
    connection.execute("CREATE TABLE m (series_id INTEGER, step BIGINT, time TIMESTAMP, value DOUBLE)")
    tables = []
    for number in range(batches):
        points = table(number * BATCH // SERIES, BATCH)
        ids = points["name"].combine_chunks().indices
        times = points["time"].cast(pa.timestamp("us"))
        tables.append(
            pa.table({"series_id": ids, "step": points["step"], "time": times, "value": points["value"]})
        )
    start = time.perf_counter()
    for incoming in tables:
        connection.register("incoming", incoming)
        connection.execute("INSERT INTO m SELECT * FROM incoming")
        connection.unregister("incoming")
    took = time.perf_counter() - start
    connection.close()
    return round(batches * BATCH / took)


def chart(server: Server, folder: str) -> dict[str, Any]:
    """One metric of a million points."""
    run, http = server.new_run("a million"), server.http()
    whole = table(0, 1_000_000, 1)
    send(http, run, [stream(whole.slice(start, BATCH)) for start in range(0, whole.num_rows, BATCH)])
    path = f"runs/{run}/metrics"
    limit = duckdb.connect(f"{folder}/chart.duckdb")
    limit.register("whole", whole.drop_columns("name"))
    limit.execute("CREATE TABLE m AS SELECT 1 AS series_id, * FROM whole")
    limit.execute("CHECKPOINT")
    reduce = (
        "SELECT step // 1000 AS piece, min(step), arg_min(time, step), avg(value), min(value), max(value), count(*) "
        "FROM m WHERE series_id = 1 GROUP BY piece ORDER BY piece"
    )
    answer = http.get(path)
    steps = {"start": 500_000, "end": 509_999}
    return {
        "answer": milliseconds(lambda: http.get(path)),
        "answer_bytes": len(answer.content),
        "limit_duckdb": milliseconds(lambda: limit.sql(reduce).to_arrow_table()),
        "over_time": milliseconds(lambda: http.get(path, params={"x": "time"})),
        "zoom_to_1_percent": milliseconds(lambda: http.get(path, params=steps)),
        "zoom_raw_1000": milliseconds(lambda: http.get(path, params={**steps, "end": 500_999})),
        "summary": milliseconds(lambda: http.get(f"{path}/summary")),
        "delete": milliseconds(lambda: http.delete(f"runs/{run}").raise_for_status(), 1),
    }


def interleaved(server: Server, millions: int) -> dict[str, Any]:
    """A hundred runs of ten metrics, whose batches come in turn."""
    runs, http = [server.new_run(f"interleaved {number}") for number in range(100)], server.http()
    rounds = 10
    each = millions * 1_000_000 // len(runs) // rounds
    start = time.perf_counter()
    for number in range(rounds):
        body = stream(table(number * each // SERIES, each))
        for run in runs:
            send(http, run, [body])
    took = time.perf_counter() - start
    history = {"names": "metric_3", "max_points": 100_000}
    path = f"runs/{runs[50]}/metrics"
    points = http.get(path, params=history).json()["series"][0]["points"]
    found = {
        "points": millions * 1_000_000,
        "ingest_points_per_s": round(millions * 1_000_000 / took),
        "history_points": points,
        "one_history": milliseconds(lambda: http.get(path, params=history)),
        "one_chart": milliseconds(lambda: http.get(path, params={"names": "metric_3"})),
        "all_ten_charts": milliseconds(lambda: http.get(path)),
    }
    server.stop()
    found["start_s"] = round(server.start(), 2)
    found["file_megabytes"] = round(os.path.getsize(Path(server.folder) / "lab.duckdb") / 1e6)
    return found


def backward(server: Server) -> dict[str, float]:
    """A run that was resumed: batches of 10,000 points whose steps were stored before."""
    run, http = server.new_run("resumed"), server.http()
    bodies = [stream(table(number * 1000, 10_000)) for number in range(20)]
    send(http, run, bodies)
    again = iter(bodies)
    return milliseconds(lambda: send(http, run, [next(again)]), len(bodies))


def names(server: Server) -> dict[str, float]:
    run, http = server.new_run("names"), server.http()
    points = table(0, BATCH, BATCH)
    later = points.set_column(1, "step", pa.array(np.ones(BATCH, np.int64)))
    return {
        "new_s": round(milliseconds(lambda: send(http, run, [stream(points)]), 1)["best_ms"] / 1e3, 2),
        "known_s": round(milliseconds(lambda: send(http, run, [stream(later)]), 1)["best_ms"] / 1e3, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--millions", type=int, default=10)
    parser.add_argument("--batches", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        server.start()
        try:
            result = {
                "benchmark": "metric_read",
                "chart_1m": chart(server, folder),
                "ingest_limit_duckdb": ingest_limit(folder, arguments.batches),
                "ingest_1_connection": ingest(server, 1, arguments.batches),
                "ingest_4_connections": ingest(server, 4, arguments.batches // 4),
                "backward_10k": backward(server),
                "names_100k": names(server),
                "interleaved": interleaved(server, arguments.millions),
            }
        finally:
            server.stop()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
