"""The light model among 1,000,000 texts: how long a round takes, and what labeling feels of it.

Run as `python -m tests.benchmarks.bench_light_model [ROWS]`; prints one JSON line.

Figures: seconds of a round over a random 20,000 candidates and over all samples, of embedding all of them; the
largest memory of the job's process and of the server; milliseconds for a saved label without and during a round
over everything. Beside them the limit: scikit-learn alone, hashing the same 20,000 texts and predicting them.
"""

import json
import random
import statistics
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pyarrow as pa
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression

from tests.benchmarks.bench_labeling import ARROW, WORDS, Line
from tests.conftest import LabServer, run_server

LABELED = 500
CANDIDATES = 20_000


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        server = run_server(Path(folder) / "lab")
        try:
            figures = measure(server, texts(rows))
        finally:
            server.stop()
    print(json.dumps({"benchmark": "light_model", "rows": rows, **figures}))


def texts(rows: int) -> list[str]:
    mixed = random.Random(7)
    rare = [f"word{number}" for number in range(20_000)]
    return [
        f"{' '.join(mixed.choices(WORDS, k=mixed.randint(5, 20)))} {mixed.choice(rare)} {row}"
        for row in range(rows)
    ]


def measure(server: LabServer, content: list[str]) -> dict[str, Any]:
    client, line = server.client, Line(server.url, server.token)
    client.post("projects", json={"name": "spam", "task": "text_classification", "classes": ["ham", "spam"]})
    sink = pa.BufferOutputStream()
    table = pa.table({"text": content})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    begun = client.post(
        "projects/spam/imports",
        params={"format": "arrow"},
        content=sink.getvalue().to_pybytes(),
        headers={"Content-Type": ARROW},
        timeout=300,
    ).json()
    while client.get(f"imports/{begun['id']}", params={"wait_s": 60}).json()["status"] == "running":
        pass
    unused = iter(range(1, len(content)))

    def save() -> float:
        one = next(unused)
        label = "spam" if "prize" in content[one - 1] else "ham"
        started = time.perf_counter()
        body = {"labels": [{"sample_id": one, "label": label, "key": uuid.uuid4().hex}]}
        line("POST", "projects/spam/labels", body)
        return (time.perf_counter() - started) * 1000

    quiet = [save() for _ in range(LABELED)]
    round_s, some, _ = run_job(client, {"kind": "light_model"})
    busy: list[float] = []
    everything_s, all_of_them, memory = run_job(
        client, {"kind": "light_model", "everything": True}, lambda: busy.append(save()), server.process.pid
    )
    embed_s, _, embed_memory = run_job(client, {"kind": "embeddings"}, lambda: None, server.process.pid)
    return {
        "round_s": round(round_s, 2),
        "round_accuracy": round(some["accuracy"], 3),
        "sklearn_alone_s": round(alone(content), 2),
        "everything_s": round(everything_s, 1),
        "suggestions": all_of_them["suggestions"],
        "embeddings_s": round(embed_s, 1),
        "job_mb": round(memory["job"]),
        "embeddings_job_mb": round(embed_memory["job"]),
        "server_mb": round(max(memory["server"], embed_memory["server"])),
        "save_p50_ms": round(statistics.median(quiet), 2),
        "save_during_p50_ms": round(statistics.median(busy), 2),
        "save_during_p99_ms": round(float(np.quantile(busy, 0.99)), 2),
        "saves_during": len(busy),
    }


def run_job(
    client: httpx.Client, body: dict[str, Any], meanwhile: Any = None, pid: int | None = None
) -> tuple[float, dict[str, Any], dict[str, float]]:
    """Seconds of a job, its result, and the largest memory of its process and of the server in MB."""
    memory = {"job": 0.0, "server": 0.0}
    is_over = threading.Event()

    def look() -> None:
        while pid is not None and not is_over.wait(0.2):
            server = psutil.Process(pid)
            memory["server"] = max(memory["server"], server.memory_info().rss / 1e6)
            for child in server.children():
                try:
                    memory["job"] = max(memory["job"], child.memory_info().rss / 1e6)
                except psutil.Error:
                    continue

    watcher = threading.Thread(target=look)
    watcher.start()
    started = time.perf_counter()
    job = client.post("projects/spam/jobs", json=body).raise_for_status().json()
    while job["status"] in ("waiting", "running"):
        if meanwhile is None:
            job = client.get(f"jobs/{job['id']}", params={"wait_s": 60}).json()
        else:
            meanwhile()
            time.sleep(0.1)
            job = client.get(f"jobs/{job['id']}").json()
    took = time.perf_counter() - started
    is_over.set()
    watcher.join()
    if job["status"] != "finished":
        raise SystemExit(job["error"])
    return took, job["result"], memory


def alone(content: list[str]) -> float:
    hashing = HashingVectorizer(n_features=1 << 18, ngram_range=(1, 2), alternate_sign=False)
    seen = content[:LABELED]
    model = LogisticRegression(C=10).fit(hashing.transform(seen), ["prize" in text for text in seen])
    started = time.perf_counter()
    model.predict_proba(hashing.transform(content[:CANDIDATES]))
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
