"""Labeling at 100,000 samples, through the HTTP API of a real server.

Run as `python -m tests.benchmarks.bench_labeling`; prints one JSON line.

Figures: importing 100,000 text rows from the first byte sent to the answer that all are stored; then
milliseconds for the next sample and for a saved label; then, among 1,000,000 texts, for pages of samples by
filter and order, the first time and once more. Beside them, measured in the same run, what
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
MANY = 1_000_000
PAGES: dict[str, dict[str, Any]] = {
    "all": {},
    "unlabeled": {"status": "unlabeled"},
    "of_class": {"label": "spam"},
    "confidence_range": {"min_confidence": 0.5, "max_confidence": 0.6},
    "search": {"search": "lunch 99"},
    "search_longer": {"search": "lunch 999"},
    "by_confidence": {"sort": "-confidence"},
    "by_length": {"sort": "-length"},
    "by_time": {"sort": "-updated_at"},
    "unlabeled_by_confidence": {"status": "unlabeled", "sort": "-confidence"},
}
"""Queries for samples; each is asked for its first page, and then for one in the middle."""
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
    suggest(client, 1, range(1, ROWS + 1))
    figures["suggestions_100k_s"] = round(time.perf_counter() - started, 3)
    figures.update(at_work(line, "uncertainty"))
    figures["single_sample_p50_ms"] = p50(lambda: line("GET", "samples/50000"), 100)
    figures["labels_1000_at_once_ms"] = milliseconds(statistics.median(bulk(line) for _ in range(5)))
    started = time.perf_counter()
    client.post("projects/spam/snapshots", json={}).raise_for_status()
    figures["snapshot_s"] = round(time.perf_counter() - started, 3)
    figures.update(among_many(client, line))
    return figures


def among_many(client: httpx.Client, line: Line) -> dict[str, Any]:
    """Milliseconds for pages of 100 of a million samples, a tenth of them labeled, all with suggestions."""
    project = client.post(
        "projects", json={"name": "many", "task": "text_classification", "classes": ["ham", "spam"]}
    ).json()["id"]
    mixed = random.Random(11)
    texts = [f"{' '.join(mixed.choices(WORDS, k=mixed.randint(8, 24)))} {row}" for row in range(MANY)]
    labels = [mixed.choice(["ham", "spam"]) if row % 10 == 0 else None for row in range(MANY)]
    begun = client.post(
        f"projects/{project}/imports",
        params={"format": "arrow", "text": "text", "label": "label"},
        content=stream(pa.table({"text": texts, "label": labels})),
    ).json()
    while client.get(f"imports/{begun['id']}", params={"wait_s": 60}).json()["status"] == "running":
        pass
    first = line("GET", f"projects/{project}/samples", limit=1)["items"][0]["id"]
    suggest(client, project, range(first, first + MANY))
    figures = {}
    for name, query in PAGES.items():
        begin = time.perf_counter()
        total = line("GET", f"projects/{project}/samples", limit=100, **query)["total"]
        seen = time.perf_counter()
        line("GET", f"projects/{project}/samples", limit=100, offset=total // 2, **query)
        deep = time.perf_counter()
        again = p50(
            lambda query=query, total=total: line(
                "GET", f"projects/{project}/samples", limit=100, offset=total // 2, **query
            ),
            10,
        )
        figures[f"page_{name}_ms"] = {
            "samples": total,
            "first": milliseconds(seen - begin),
            "middle": milliseconds(deep - seen),
            "again": again,
        }
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


def suggest(client: httpx.Client, project: int, samples: range) -> None:
    mixed = random.Random(3)
    table = pa.table(
        {
            "sample_id": pa.array(samples, pa.int64()),
            "label": [mixed.choice(["ham", "spam"]) for _ in samples],
            "confidence": [mixed.uniform(0.5, 1) for _ in samples],
        }
    )
    client.put(
        f"projects/{project}/suggestions",
        params={"source": "bench"},
        content=stream(table),
        headers={"Content-Type": ARROW},
    ).raise_for_status()


def stream(table: pa.Table) -> bytes:
    """A table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


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
