"""One million points from a TensorBoard event file and from an MLflow database, into the lab and out to Parquet.

Beside it: how long the same file takes to be read by TensorBoard itself, which stores nothing.
"""

import json
import sqlite3
import tempfile
import time
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from modelship_lab import client
from tests.conftest import run_server

NAMES = ("train/loss", "train/accuracy", "lr", "gradient", "seconds")
STEPS = 200_000


def write_events(path: Path) -> None:
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for step in range(STEPS):
            for name in NAMES:
                value = Summary.Value(tag=name, simple_value=step)
                event = Event(wall_time=1.7e9 + step, step=step, summary=Summary(value=[value]))
                writer.write(event.SerializeToString())


def write_database(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.executescript(
            """
            CREATE TABLE experiments (experiment_id INTEGER, name TEXT);
            CREATE TABLE runs (run_uuid TEXT, name TEXT, experiment_id INTEGER, status TEXT, start_time INTEGER);
            CREATE TABLE metrics (key TEXT, value REAL, timestamp INTEGER, run_uuid TEXT, step INTEGER, is_nan INTEGER);
            CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);
            CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT);
            CREATE INDEX of_run ON metrics (run_uuid);
            INSERT INTO experiments VALUES (1, 'bench');
            INSERT INTO runs VALUES ('one', 'one', 1, 'FINISHED', 1700000000000);
            """
        )
        database.executemany(
            "INSERT INTO metrics VALUES (?, ?, ?, 'one', ?, 0)",
            ((name, step, 1_700_000_000_000 + step, step) for step in range(STEPS) for name in NAMES),
        )


def timed(work: object) -> float:
    began = time.perf_counter()
    work()
    return round(time.perf_counter() - began, 2)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "logs").mkdir()
        events, database = folder / "logs" / "events.out.tfevents.1.bench", folder / "mlflow.db"
        write_events(events)
        write_database(database)
        server = run_server(folder / "lab")
        lab = client.connect(server.url, server.token, data_dir=folder / "client")
        figures = {
            "points": STEPS * len(NAMES),
            "tensorboard_s": timed(lambda: lab.import_runs(folder / "logs")),
            "mlflow_s": timed(lambda: lab.import_runs(database)),
            "again_s": timed(lambda: lab.import_runs(database)),
            "tensorboard_itself_reads_s": timed(
                lambda: sum(1 for _ in RawEventFileLoader(str(events)).Load())
            ),
        }
        lab.close()
        server.stop()
    print(json.dumps({"benchmark": "exchange", **figures}))


if __name__ == "__main__":
    main()
