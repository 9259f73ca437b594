"""Labeling at 100,000 samples, through the HTTP API of a real server.

Run as `python -m tests.benchmarks.bench_labeling`; prints one JSON line.

Figures: importing 100,000 text rows from the first byte sent to the answer that all are stored; then
milliseconds for the next sample and for a saved label. Beside them, measured in the same run, what
cannot be beaten: an empty request to the same server, a 4 KiB write that is forced to disk, and
DuckDB alone reading the same file into a table.
"""

import csv
import http.client
import io
import json
import os
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import duckdb
import httpx
import pyarrow as pa

from tests.conftest import run_server

ROWS = 100_000
REQUESTS = 300
ARROW = "application/vnd.apache.arrow.stream"
WORDS = [
    "free",
    "prize",
    "call",
    "now",
    "meeting",
    "lunch",
    "tomorrow",
    "report",
    "invoice",
    "win",
    "urgent",
    "account",
    "click",
    "thanks",
    "see",
    "you",
]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        content = messages()
        server = run_server(Path(folder) / "lab")
        try:
            figures = measure(server.client, Line(server.url, server.token), content)
        finally:
            server.stop()
        figures["fsync_4k_p50_ms"] = p50(lambda: forced_write(Path(folder)), 50)
        figures["duckdb_read_csv_s"] = duckdb_alone(Path(folder), content)
    print(json.dumps({"benchmark": "labeling", "rows": ROWS, **figures}))


def messages() -> bytes:
    """A CSV file of as many different messages, half of them with a quote in them."""
    mixed = random.Random(7)
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["id", "body", "label"])
    for row in range(ROWS):
        words = " ".join(mixed.choices(WORDS, k=mixed.randint(5, 40)))
        writer.writerow([row, f'{words}, said "{row}"' if row % 2 else f"{words} {row}", ""])
    return file.getvalue().encode()


class Line:
    """One open connection with as little of a client as there can be: the server is what is measured."""

    def __init__(self, url: str, token: str) -> None:
        where = httpx.URL(url)
        self._connection = http.client.HTTPConnection(where.host, where.port)
        self._path = f"{where.path}mlship/api/"
        self._headers = {"Authorization": f"Bearer {token}"}

    def __call__(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        target = f"{self._path}{path}" + (f"?{urlencode(query, doseq=True)}" if query else "")
        content = None if body is None else json.dumps(body).encode()
        self._connection.request(method, target, content, self._headers)
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise SystemExit(data.decode())
        return json.loads(data)


def measure(client: httpx.Client, line: Line, content: bytes) -> dict[str, Any]:
    client.post("projects", json={"name": "spam", "task": "text_classification", "classes": ["ham", "spam"]})
    started = time.perf_counter()
    begun = client.post(
        "projects/spam/imports", params={"format": "csv", "text": "body"}, content=content
    ).json()
    done = client.get(f"imports/{begun['id']}", params={"wait_s": 60}).json()
    import_s = time.perf_counter() - started
    if done["samples_added"] != ROWS:
        raise SystemExit(f"The import failed: {done}")
    figures: dict[str, Any] = {
        "import_s": round(import_s, 3),
        "import_mb": round(len(content) / 1e6, 1),
        "request_p50_ms": p50(lambda: line("GET", "health"), REQUESTS),
        **at_work(line, "sequential"),
        **at_work(line, "random"),
    }
    started = time.perf_counter()
    suggest(client)
    figures["suggestions_100k_s"] = round(time.perf_counter() - started, 3)
    figures.update(at_work(line, "uncertainty"))
    figures["single_sample_p50_ms"] = p50(lambda: line("GET", "samples/50000"), 100)
    figures["labels_1000_at_once_ms"] = milliseconds(statistics.median(bulk(line) for _ in range(5)))
    started = time.perf_counter()
    client.post("projects/spam/snapshots", json={}).raise_for_status()
    figures["snapshot_s"] = round(time.perf_counter() - started, 3)
    return figures


def at_work(line: Line, order: str) -> dict[str, Any]:
    """One person labeling: fetch the next sample, save its label, again and again."""
    fetching, saving = [], []
    for _ in range(REQUESTS):
        started = time.perf_counter()
        sample = line("GET", "projects/1/queue", order=order, limit=1)["samples"][0]
        fetched = time.perf_counter()
        label = {"sample_id": sample["id"], "label": "ham", "key": uuid.uuid4().hex, "duration_ms": 900}
        saved = line("POST", "projects/1/labels", {"labels": [label]})["saved"]
        fetching.append(fetched - started)
        saving.append(time.perf_counter() - fetched)
        if saved != 1:
            raise SystemExit("A label was not saved.")
    return {
        f"next_{order}_p50_ms": milliseconds(statistics.median(fetching)),
        f"next_{order}_p99_ms": milliseconds(sorted(fetching)[int(0.99 * len(fetching))]),
        f"saved_{order}_p50_ms": milliseconds(statistics.median(saving)),
        f"saved_{order}_p99_ms": milliseconds(sorted(saving)[int(0.99 * len(saving))]),
    }


def suggest(client: httpx.Client) -> None:
    mixed = random.Random(3)
    table = pa.table(
        {
            "sample_id": pa.array(range(1, ROWS + 1), pa.int64()),
            "label": [mixed.choice(["ham", "spam"]) for _ in range(ROWS)],
            "confidence": [mixed.uniform(0.5, 1) for _ in range(ROWS)],
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    client.put(
        "projects/spam/suggestions",
        params={"source": "bench"},
        content=sink.getvalue().to_pybytes(),
        headers={"Content-Type": ARROW},
    ).raise_for_status()


def bulk(line: Line) -> float:
    """Seconds for saving 1,000 labels in one request."""
    samples: list[int] = []
    while len(samples) < 1000:
        queue = line("GET", "projects/1/queue", order="sequential", limit=200, exclude=samples)
        samples += [one["id"] for one in queue["samples"]]
    labels = [{"sample_id": one, "label": "spam", "key": uuid.uuid4().hex} for one in samples]
    started = time.perf_counter()
    line("POST", "projects/1/labels", {"labels": labels})
    return time.perf_counter() - started


def forced_write(folder: Path) -> None:
    with (folder / "forced").open("wb") as file:
        file.write(b"x" * 4096)
        file.flush()
        os.fsync(file.fileno())


def duckdb_alone(folder: Path, content: bytes) -> float:
    path = folder / "messages.csv"
    path.write_bytes(content)
    started = time.perf_counter()
    connection = duckdb.connect(str(folder / "alone.duckdb"))
    connection.execute(f"CREATE TABLE messages AS SELECT * FROM read_csv('{path}', all_varchar = true)")
    connection.close()
    return round(time.perf_counter() - started, 3)


def p50(call: Callable[[], Any], times: int) -> float:
    measured = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        measured.append(time.perf_counter() - started)
    return milliseconds(statistics.median(measured))


def milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)


if __name__ == "__main__":
    main()
