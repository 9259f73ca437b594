"""1,000,000 texts in, 100,000 labels out, through the HTTP API of a real server.

Run as `python -m tests.benchmarks.bench_import_export`; prints one JSON line.

Figures: seconds for the import of a CSV file, from the first byte sent to the answer that all are stored, and for
exports in several formats, from the request to the last byte; and how much memory the server took at most. Beside them,
measured in the same run, what cannot be beaten: DuckDB alone reading the same file into a table, and the bytes of an
export written to disk.
"""

import csv
import io
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
import httpx
import psutil

from tests.conftest import run_server

ROWS = int(os.environ.get("ROWS", "1000000"))
LABELS = ROWS // 10
FORMATS = ("csv", "jsonl", "json", "label_studio", "parquet", "hf", "tfrecord")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        content = messages()
        server = run_server(Path(folder) / "lab")
        try:
            figures = measure(server.client, content, psutil.Process(server.process.pid))
        finally:
            server.stop()
        figures["duckdb_read_csv_s"] = duckdb_alone(Path(folder), content)
    print(json.dumps({"benchmark": "import_export", "rows": ROWS, "labels": LABELS, **figures}))


def messages() -> bytes:
    """A CSV file of as many different messages of about 80 characters, every tenth with a label."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["id", "body", "label"])
    words = [
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
    ]
    for row in range(ROWS):
        start = row % len(words)
        text = " ".join((words[start:] + words[:start])[:11])
        writer.writerow([row, f'{text}, "{row}"', "spam" if row % 10 == 0 else ""])
    return file.getvalue().encode()


def measure(client: httpx.Client, content: bytes, process: psutil.Process) -> dict[str, Any]:
    client.post("projects", json={"name": "spam", "task": "text_classification", "classes": ["ham", "spam"]})
    started = time.perf_counter()
    options = {"format": "csv", "text": "body", "label": "label", "name": "id"}
    done = client.post("projects/spam/imports", params=options, content=content).json()
    while done["status"] == "running":
        done = client.get(f"imports/{done['id']}", params={"wait_s": 30}).json()
    figures: dict[str, Any] = {
        "import_s": round(time.perf_counter() - started, 2),
        "import_mb": round(len(content) / 1e6, 1),
    }
    if (done["samples_added"], done["labels_added"]) != (ROWS, LABELS):
        raise SystemExit(f"The import failed: {done}")
    for format in FORMATS:
        started = time.perf_counter()
        answer = client.get("projects/spam/export", params={"format": format}).raise_for_status()
        figures[f"export_{format}_s"] = round(time.perf_counter() - started, 2)
        figures[f"export_{format}_mb"] = round(len(answer.content) / 1e6, 1)
    figures["server_peak_mib"] = peak_mib(process)
    return figures


def peak_mib(process: psutil.Process) -> int:
    """The most memory that a process has taken at once."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    return int(process.memory_info().rss) >> 20


def duckdb_alone(folder: Path, content: bytes) -> float:
    path = folder / "messages.csv"
    path.write_bytes(content)
    started = time.perf_counter()
    connection = duckdb.connect(str(folder / "alone.duckdb"))
    connection.execute(f"CREATE TABLE messages AS SELECT * FROM read_csv('{path}', all_varchar = true)")
    connection.close()
    return round(time.perf_counter() - started, 2)


if __name__ == "__main__":
    main()
