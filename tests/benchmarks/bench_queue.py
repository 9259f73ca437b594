"""The next sample of 1,000,000, through the HTTP API of a real server, alone and while four others label.

Run as `python -m tests.benchmarks.bench_queue`; prints one JSON line. Beside it, what cannot be beaten: an empty request
to the same server.
"""

import json
import random
import statistics
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow as pa

from tests.benchmarks.bench_labeling import ARROW, WORDS, Line, milliseconds, p50
from tests.conftest import LabServer, run_server

ROWS = 1_000_000
REQUESTS = 600
OTHERS = 4


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = run_server(Path(folder) / "lab")
        try:
            figures = measure(server)
        finally:
            server.stop()
    print(json.dumps({"benchmark": "queue", "rows": ROWS, **figures}))


def measure(server: LabServer) -> dict[str, Any]:
    fill(server.client)
    line = Line(server.url, server.token)
    figures: dict[str, Any] = {"request_p50_ms": p50(lambda: line("GET", "health"), 300)}
    for order in ("uncertainty", "margin", "entropy", "random", "sequential"):
        started = time.perf_counter()
        line("GET", "projects/spam/queue", order=order, limit=1)
        figures[f"first_{order}_ms"] = milliseconds(time.perf_counter() - started)
        if order != "entropy":
            figures.update(at_work(line, order, f"next_{order}", REQUESTS))
    stop = threading.Event()
    others = [
        threading.Thread(target=label_on, args=(Line(server.url, server.token), f"other {number}", stop))
        for number in range(OTHERS)
    ]
    for other in others:
        other.start()
    figures.update(at_work(line, "uncertainty", "next_while_others_label", REQUESTS))
    stop.set()
    for other in others:
        other.join()
    started = time.perf_counter()
    asked = {"samples": {"status": ["labeled"]}, "purpose": "review"}
    figures["requested"] = line("POST", "projects/spam/queue/requests", asked)["added"]
    figures["request_ms"] = milliseconds(time.perf_counter() - started)
    figures.update(at_work(line, "uncertainty", "next_requested", 300))
    figures["server_mb"] = round(psutil.Process(server.process.pid).memory_info().rss / 1e6)
    return figures


def fill(client: httpx.Client) -> None:
    """A project of a million texts, each with a suggestion."""
    client.post(
        "projects", json={"name": "spam", "task": "text_classification", "classes": ["ham", "spam"]}
    ).raise_for_status()
    mixed = random.Random(7)
    texts = [" ".join(mixed.choices(WORDS, k=24)) + f" {row}" for row in range(ROWS)]
    begun = client.post(
        "projects/spam/imports", params={"format": "arrow"}, content=stream(pa.table({"text": texts}))
    ).json()
    while client.get(f"imports/{begun['id']}", params={"wait_s": 30}).json()["status"] == "running":
        pass
    first = client.get("projects/spam/samples", params={"limit": 1}).json()["items"][0]["id"]
    confidences = [mixed.uniform(0.5, 1) for _ in range(ROWS)]
    suggestions = pa.table(
        {
            "sample_id": pa.array(range(first, first + ROWS), pa.int64()),
            "label": mixed.choices(["ham", "spam"], k=ROWS),
            "confidence": confidences,
            "margin": [2 - 2 * one for one in confidences],
            "entropy": [1 - one for one in confidences],
        }
    )
    for start in range(0, ROWS, 250_000):
        client.put(
            "projects/spam/suggestions",
            params={"source": "bench"},
            content=stream(suggestions.slice(start, 250_000)),
            headers={"Content-Type": ARROW},
        ).raise_for_status()


def stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def step(line: Line, order: str, holder: str) -> tuple[float, float]:
    """Fetch the next sample and save its label; the seconds of both."""
    started = time.perf_counter()
    (sample,) = line("GET", "projects/spam/queue", order=order, limit=1, holder=holder)["samples"]
    fetched = time.perf_counter()
    label = {
        "sample_id": sample["id"],
        "label": "ham",
        "key": uuid.uuid4().hex,
        "duration_ms": 900,
        "purpose": sample["purpose"],
    }
    line("POST", "projects/spam/labels", {"labels": [label]})
    return fetched - started, time.perf_counter() - fetched


def label_on(line: Line, holder: str, stop: threading.Event) -> None:
    """Label as fast as a person with a good keyboard, four times a second."""
    while not stop.is_set():
        step(line, "uncertainty", holder)
        stop.wait(0.25)


def at_work(line: Line, order: str, name: str, times: int) -> dict[str, float]:
    steps = [step(line, order, "measured") for _ in range(times)]
    figures = {}
    for what, seconds in ((name, [one for one, _ in steps]), (f"{name}_saved", [one for _, one in steps])):
        figures[f"{what}_p50_ms"] = milliseconds(statistics.median(seconds))
        figures[f"{what}_p99_ms"] = milliseconds(sorted(seconds)[int(0.99 * len(seconds))])
        figures[f"{what}_max_ms"] = milliseconds(max(seconds))
    return figures


if __name__ == "__main__":
    main()
